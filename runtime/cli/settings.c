/* cli/settings.c - the options of run and resume as a table, and as a map.
 *
 * A session stores every option under its name without the dashes; resume reads
 * them back through the same table, so that a new option needs one line.
 *
 * SPDX-License-Identifier: MIT */
#include "settings.h"
#include "config.h"

#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(cli_settings, field)
#define SEEDS                                                                  \
  {                                                                            \
    "--seed", 's', CLI_LIST, AT(seeds), "CLASS:VALUE",                         \
        "first assets; '-' reads them from standard input", 0                  \
  }
#define NAMES_SESSION                                                          \
  {                                                                            \
    "--session", 0, CLI_TEXT, AT(session), "NAME",                             \
        "name of the session (default: a fresh one)", 0                        \
  }
#define OTHERS                                                                  \
  {"--capabilities",                                                            \
   'c',                                                                         \
   CLI_LIST,                                                                    \
   AT(paths),                                                                   \
   "PATH",                                                                      \
   "capability files or folders",                                               \
   0},                                                                          \
      {"--data", 0,     CLI_TEXT,                                               \
       AT(data), "DIR", "data folder (default: $RUNTIME_DATA, else .runtime)",  \
       0},                                                                      \
      {"--set",                                                                 \
       0,                                                                       \
       CLI_LIST,                                                                \
       AT(sets),                                                                \
       "CAPABILITY.OPTION=VALUE",                                               \
       "option of a capability",                                                \
       0},                                                                      \
      {"--only", 0,         CLI_LIST,                                           \
       AT(only), "NAME...", "only these: names, patterns, tag:WORD",            \
       0},                                                                      \
      {"--without", 0, CLI_LIST, AT(without), "NAME...", "not these", 0},       \
      {"--scope", 0,                                                            \
       CLI_LIST,  AT(scope),                                                    \
       "RULE...", "pattern, address or CIDR; '!' excludes, 'CLASS:' limits",    \
       0},                                                                      \
      {"--allow",                                                               \
       0,                                                                       \
       CLI_TEXT,                                                                \
       AT(common.allow),                                                        \
       "LIST",                                                                  \
       "what scripts may use: of net,fs,exec,env, or none (default: all)",      \
       0},                                                                      \
      {"--resolver",                                                            \
       0,                                                                       \
       CLI_TEXT,                                                                \
       AT(common.resolver),                                                     \
       "HOST:PORT",                                                             \
       "the DNS server (default: the system's)",                                \
       0},                                                                      \
      {"--workers",                                                             \
       0,                                                                       \
       CLI_INTEGER,                                                             \
       AT(common.workers),                                                      \
       "N",                                                                     \
       "worker threads (default: one a core)",                                  \
       1},                                                                      \
      {"--memory", 0,                                                           \
       CLI_SIZE,   AT(common.memory),                                           \
       "SIZE",     "above it no new work is started (default: 3/4)",            \
       1},                                                                      \
      {"--concurrency",                                                         \
       0,                                                                       \
       CLI_INTEGER,                                                             \
       AT(concurrency),                                                         \
       "N",                                                                     \
       "jobs at once (default: 256)",                                           \
       1},                                                                      \
      {"--max-depth",       0, CLI_INTEGER, AT(max_depth), "N",                 \
       "steps from a seed", 0},                                                 \
      {"--max-assets",          0, CLI_INTEGER, AT(max_assets), "N",            \
       "assets in the session", 0},                                             \
      {"--max-descendants",     0, CLI_INTEGER, AT(max_descendants), "N",       \
       "assets below one seed", 0},                                             \
      {"--max-repeats",                                                         \
       0,                                                                       \
       CLI_INTEGER,                                                             \
       AT(max_repeats),                                                         \
       "N",                                                                     \
       "one capability on the way from a seed",                                 \
       0},                                                                      \
      {"--max-fanout",       0, CLI_INTEGER, AT(max_fanout), "N",               \
       "results of one job", 0},                                                \
      {"--deadline",           0, CLI_DURATION, AT(deadline), "D",              \
       "stop after this time", 0},                                              \
      {"--grace", 0,   CLI_DURATION,                                            \
       AT(grace), "D", "what running jobs get when stopping (default: 5s)",     \
       0},                                                                      \
      {"--patience",                                                            \
       0,                                                                       \
       CLI_TEXT,                                                                \
       AT(patience),                                                            \
       "D",                                                                     \
       "to wait for a lost or damaged file, or 'forever' (1m)",                 \
       0},                                                                      \
      {"--max-journal",                                                         \
       0,                                                                       \
       CLI_SIZE,                                                                \
       AT(max_journal),                                                         \
       "SIZE",                                                                  \
       "of the file's log, while others read it (default: 512M)",               \
       1},                                                                      \
      {"--progress",                                                            \
       0,                                                                       \
       CLI_CHOICE,                                                              \
       AT(progress),                                                            \
       "auto|always|never",                                                     \
       "a live line on stderr (auto: on a terminal)",                           \
       0},                                                                      \
      {"--config", 0, CLI_TEXT, AT(config), "FILE", "settings as a Lua table",  \
       0},                                                                      \
      {"--watch", 0,  CLI_FLAG,                                                 \
       AT(watch), "", "take in capability files that change while it runs",     \
       0},                                                                      \
      {"--record", 0,                                                           \
       CLI_TEXT,   AT(common.record),                                           \
       "FILE",     "write down what jobs send and get, for 'runtime test'",     \
       0},                                                                      \
      {"--log-level",                                                           \
       0,                                                                       \
       CLI_CHOICE,                                                              \
       AT(common.log_level),                                                    \
       "debug|info|warn|error",                                                 \
       "least level that is logged (default: info)",                            \
       0},                                                                      \
      {"--log-format",       0, CLI_CHOICE, AT(common.log_format), "text|json", \
       "how log lines look", 0},                                                \
  {                                                                             \
    NULL, 0, CLI_FLAG, 0, NULL, NULL, 0                                         \
  }

const cli_option cli_run_options[] = {SEEDS, NAMES_SESSION, OTHERS};
const cli_option cli_resume_options[] = {NAMES_SESSION, OTHERS};

/* Which options a session keeps: all that say what to do, not where. */
static bool is_kept(const cli_option *o) {
  return o->kind != CLI_FLAG && o->offset != AT(session) &&
         o->offset != AT(data) && o->offset != AT(common.record) &&
         o->offset != AT(seeds);
}

void cli_settings_init(cli_settings *s, const cli *c) {
  memset(s, 0, sizeof(*s));
  s->concurrency = s->max_depth = s->max_assets = s->max_fanout = -1;
  s->max_descendants = s->max_repeats = -1;
  s->max_journal = -1;
  s->deadline = s->grace = -1;
  s->common = c->common;
}

void cli_settings_deinit(cli_settings *s) {
  for (const cli_option *o = cli_run_options; o->name; o++) {
    if (o->kind == CLI_LIST) cli_list_free((cli_list *)((char *)s + o->offset));
  }
  for (size_t i = 0; i < s->kept.count; i++) free((void *)s->kept.items[i]);
  cli_list_free(&s->kept);
  cli_list_free(&s->from_config);
}

/* As rt_session_opts has it. */
static bool patience_of(const char *text, double *seconds) {
  *seconds = 0;
  if (!text) return true;
  if (!strcmp(text, "forever")) {
    *seconds = -1;
    return true;
  }
  if (!cli_duration(text, seconds)) return false;
  if (*seconds == 0) *seconds = 1e-3;
  return true;
}

int cli_settings_check(cli *c, cli_settings *s) {
  double seconds;
  if (s->session && !cli_is_session_name(s->session)) {
    return cli_usage(c,
                     "--session: '%s' is no session name: letters, digits, "
                     "'.', '_' and '-', not beginning with '.', at most 100",
                     s->session);
  }
  if (s->concurrency > 1000000) {
    return cli_usage(c, "--concurrency: %lld is more than 1000000",
                     (long long)s->concurrency);
  }
  if (!patience_of(s->patience, &seconds)) {
    return cli_usage(c,
                     "--patience: '%s' is not 'forever' or a duration like "
                     "250ms or 1h30m",
                     s->patience);
  }
  for (size_t i = 0; i < s->scope.count; i++) {
    const char *rule = s->scope.items[i];
    if (!*rule || !strcmp(rule, "!")) {
      return cli_usage(c, "%s: a rule is empty",
                       cli_settings_source(s, "--scope", rule));
    }
  }
  return cli_check_common(c, &s->common);
}

static const char *keep(cli_settings *s, char *text) {
  if (!text) return NULL;
  if (cli_list_add(&s->kept, text)) return text;
  free(text);
  return NULL;
}

/* Where "CAPABILITY.OPTION=VALUE" stands, or else a field. */
static void place_of(const char *path, const char *set, const char *field,
                     char *out, size_t size) {
  const char *equals = set ? strchr(set, '=') : NULL, *dot = equals;
  while (dot && dot > set && *dot != '.') dot--;
  char *group = dot ? strndup(set, (size_t)(dot - set)) : NULL;
  char *name = dot ? strndup(dot + 1, (size_t)(equals - dot - 1)) : NULL;
  cli_config_place(path, group, name ? name : field, out, size);
  free(group);
  free(name);
}

const char *cli_settings_source(cli_settings *s, const char *option,
                                const char *value) {
  char *text = NULL;
  for (size_t i = 0; i < s->from_config.count; i++) {
    if (s->from_config.items[i] != value) continue;
    bool set = !strcmp(option, "--set");
    const char *field = set ? "options" : option + 2;
    char place[300];
    place_of(s->config, set ? value : NULL, field, place, sizeof(place));
    if (asprintf(&text, "--config %s: %s", place, field) < 0) return option;
    const char *kept = keep(s, text);
    return kept ? kept : option;
  }
  return option;
}

bool cli_settings_absolute(cli_settings *s) {
  for (size_t i = 0; i < s->paths.count; i++) {
    const char *path = keep(s, realpath(s->paths.items[i], NULL));
    if (path) s->paths.items[i] = path;
  }
  return true;
}

/* --- to and from a map ------------------------------------------------- */

static void store_list(rt_builder *b, const cli_option *o,
                       const cli_list *list) {
  if (!list->count) return;
  rt_builder_key(b, o->name + 2);
  rt_builder_begin_array(b);
  for (size_t i = 0; i < list->count; i++) {
    rt_builder_string(b, list->items[i]);
  }
  rt_builder_end(b);
}

static void store_one(rt_builder *b, const cli_option *o, const void *field) {
  switch (o->kind) {
  case CLI_LIST:
    store_list(b, o, field);
    break;
  case CLI_INTEGER:
  case CLI_SIZE:
    if (*(const int64_t *)field < 0) return;
    rt_builder_key(b, o->name + 2);
    rt_builder_int(b, *(const int64_t *)field);
    break;
  case CLI_DURATION:
    if (*(const double *)field < 0) return;
    rt_builder_key(b, o->name + 2);
    rt_builder_number(b, *(const double *)field);
    break;
  default:
    if (!*(const char *const *)field) return;
    rt_builder_key(b, o->name + 2);
    rt_builder_string(b, *(const char *const *)field);
  }
}

rt_err cli_settings_store(const cli_settings *s, const rt_value *seeds,
                          rt_value **out, rt_error *err) {
  rt_builder *b = rt_builder_new();
  if (!b) return rt_fail(err, RT_ENOMEM, "out of memory");
  rt_builder_begin_map(b);
  for (const cli_option *o = cli_run_options; o->name; o++) {
    if (is_kept(o)) store_one(b, o, (const char *)s + o->offset);
  }
  if (seeds) {
    rt_builder_key(b, "seeds");
    rt_builder_value(b, seeds);
  }
  rt_builder_end(b);
  rt_err rc = rt_builder_finish(b, out, err);
  rt_builder_free(b);
  return rc;
}

static char *copy_text(rt_view view) {
  size_t size;
  const char *text = rt_view_string(view, &size);
  return text ? strndup(text, size) : NULL;
}

static bool has(const cli_list *list, const char *text) {
  for (size_t i = 0; i < list->count; i++) {
    if (!strcmp(list->items[i], text)) return true;
  }
  return false;
}

/* Stored items, then those given that are new. */
static bool merge_list(cli_settings *s, const cli_option *o, cli_list *list,
                       rt_view stored) {
  bool adds = o->offset == AT(paths) || o->offset == AT(sets);
  cli_list given = *list;
  rt_view item;
  rt_iter iter = rt_iter_of(stored);
  bool ok = true;
  if (given.count && !adds) return true;
  *list = (cli_list){NULL, 0};
  while (ok && rt_iter_next(&iter, NULL, &item)) {
    const char *text = keep(s, copy_text(item));
    ok = text && cli_list_add(list, text);
  }
  for (size_t i = 0; i < given.count && ok; i++) {
    bool twice = o->offset == AT(paths) && has(list, given.items[i]);
    ok = twice || cli_list_add(list, given.items[i]);
  }
  cli_list_free(&given);
  return ok;
}

static bool merge_one(cli_settings *s, const cli_option *o, void *field,
                      rt_view stored) {
  switch (o->kind) {
  case CLI_LIST:
    return merge_list(s, o, field, stored);
  case CLI_INTEGER:
  case CLI_SIZE:
    if (*(int64_t *)field < 0) *(int64_t *)field = rt_view_int(stored, -1);
    return true;
  case CLI_DURATION:
    if (*(double *)field < 0) *(double *)field = rt_view_number(stored, -1);
    return true;
  default:
    if (!*(const char **)field) {
      *(const char **)field = keep(s, copy_text(stored));
    }
    return true;
  }
}

bool cli_settings_merge(cli_settings *s, rt_view stored) {
  bool ok = true;
  for (const cli_option *o = cli_run_options; o->name && ok; o++) {
    rt_view item = rt_view_get(stored, o->name + 2);
    if (!is_kept(o) || rt_view_type(item) == RT_NIL) continue;
    ok = merge_one(s, o, (char *)s + o->offset, item);
  }
  return ok;
}

void cli_settings_open(const cli_settings *s, rt_session_opts *out) {
  out->name = s->session;
  out->dir = cli_data_dir(s->data);
  out->only = s->only.items;
  out->only_count = s->only.count;
  out->without = s->without.items;
  out->without_count = s->without.count;
  out->scope = s->scope.items;
  out->scope_count = s->scope.count;
  out->max_depth = s->max_depth;
  out->max_assets = s->max_assets;
  out->max_fanout = s->max_fanout;
  out->max_descendants = s->max_descendants;
  out->max_repeats = s->max_repeats;
  out->concurrency = s->concurrency > 0 ? (uint32_t)s->concurrency : 0;
  out->deadline = s->deadline < 0 ? 0 : s->deadline > 0 ? s->deadline : 1e-3;
  patience_of(s->patience, &out->patience);
  out->max_journal = s->max_journal < 0 ? 0 : s->max_journal;
  out->grace = s->grace < 0 ? 0 : s->grace > 0 ? s->grace : 1e-3;
}
