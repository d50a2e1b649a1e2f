/* cli/config.c - a file of settings for run and resume (`--config FILE`).
 *
 * The file is Lua and returns a table whose keys are the options of run without
 * their dashes (`max_depth = 3`), and `options`, a table for each capability.
 * It is evaluated in a runtime of its own, written out as arguments, and these
 * are parsed like those of the command line, which go before them.
 *
 * SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rt/process.h"

enum { CONFIG_SECONDS = 5 };

/* --- evaluating -------------------------------------------------------- */

typedef struct evaluation {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  /* guarded by lock */
  bool over;
  rt_value *result, *error; /* [own] */
} evaluation;

static void on_exit_of_file(rt_pid pid, rt_value *result, rt_value *error,
                            void *arg) {
  evaluation *e = arg;
  (void)pid;
  pthread_mutex_lock(&e->lock);
  e->result = result; /* takes both */
  e->error = error;
  e->over = true;
  pthread_cond_broadcast(&e->changed);
  pthread_mutex_unlock(&e->lock);
}

/* False: it did not return in time. */
static bool wait_over(evaluation *e) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += CONFIG_SECONDS;
  pthread_mutex_lock(&e->lock);
  int rc = 0;
  while (!e->over && rc != ETIMEDOUT) {
    rc = pthread_cond_timedwait(&e->changed, &e->lock, &until);
  }
  bool over = e->over;
  pthread_mutex_unlock(&e->lock);
  return over;
}

static int told(cli *c, const char *path, const rt_value *error) {
  size_t size = 0;
  const char *text =
      rt_view_string(rt_view_get(rt_value_view(error), "message"), &size);
  static const char returned[] = "result.";
  if (text && size >= sizeof(returned) &&
      !memcmp(text, returned, sizeof(returned) - 1)) {
    char place[300];
    const char *field = text + sizeof(returned) - 1;
    const char *colon = memchr(field, ':', size - (sizeof(returned) - 1));
    int length = colon ? (int)(colon - field) : 0;
    char *name = colon ? strndup(field, (size_t)length) : NULL;
    cli_config_place(path, NULL, name ? name : "?", place, sizeof(place));
    free(name);
    return cli_usage(c, "--config %s: %.*s: expected plain values, got%.*s",
                     place, length, field,
                     colon ? (int)(text + size - colon - 1) : 0,
                     colon ? colon + 1 : "");
  }
  return cli_usage(c, "--config %s: %.*s", path, text ? (int)size : 14,
                   text ? text : "it has no value");
}

static const char *kind_of(rt_view view) {
  switch (rt_view_type(view)) {
  case RT_NIL:
    return "nothing";
  case RT_ARRAY:
    return "a list";
  case RT_STRING:
    return "a string";
  case RT_BOOL:
    return "a boolean";
  case RT_INT:
  case RT_NUMBER:
    return "a number";
  default:
    return "a table";
  }
}

/* The table that the file returns, [own]. */
static int evaluate(cli *c, const char *path, rt_value **out) {
  evaluation e = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false,
                  NULL, NULL};
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt = NULL;
  char *source = NULL;
  rt_pid pid = 0;
  int status = 0;
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT; /* says and logs nothing */
  opts.workers = 1;
  if (asprintf(&source, "%s%s", strchr(path, '/') ? "" : "./", path) < 0 ||
      rt_runtime_new(&rt, &opts, &err) != RT_OK ||
      rt_process_spawn(rt, &pid, source, NULL, on_exit_of_file, &e, &err) !=
          RT_OK) {
    status = cli_fail(c, "--config %s: %s", path, err.message);
  } else if (!wait_over(&e)) {
    status = cli_usage(c, "--config %s: it did not return within %d s", path,
                       CONFIG_SECONDS);
  } else if (e.error) {
    status = told(c, path, e.error);
  } else if (rt_view_type(rt_value_view(e.result)) != RT_MAP) {
    status =
        cli_usage(c, "--config %s: expected a table of settings, returned %s",
                  path, kind_of(rt_value_view(e.result)));
  }
  free(source);
  if (rt) rt_runtime_stop(rt, 0);
  rt_runtime_free(rt);
  if (!status) *out = rt_value_ref(e.result);
  rt_value_unref(e.result);
  rt_value_unref(e.error);
  return status;
}

/* --- as arguments ------------------------------------------------------ */

typedef struct writing {
  cli *c;
  const char *path;
  cli_list args; /* [own strings] */
  int status;
} writing;

RT_PRINTF(2, 3)
static void add(writing *w, const char *fmt, ...) {
  char *text = NULL;
  va_list args;
  va_start(args, fmt);
  int n = vasprintf(&text, fmt, args);
  va_end(args);
  if (n < 0 || !cli_list_add(&w->args, text)) {
    if (n >= 0) free(text);
    w->status = cli_fail(w->c, "out of memory");
  }
}

/* A scalar as it would stand on the command line [own], or NULL. */
static char *word_of(rt_view view) {
  size_t size = 0;
  char *text = NULL;
  const char *string = rt_view_string(view, &size);
  int n = 0;
  switch (rt_view_type(view)) {
  case RT_STRING:
    return strndup(string, size);
  case RT_BOOL:
    return strdup(rt_view_bool(view, false) ? "true" : "false");
  case RT_INT:
    n = asprintf(&text, "%lld", (long long)rt_view_int(view, 0));
    return n < 0 ? NULL : text;
  case RT_NUMBER:
    n = asprintf(&text, "%.15g", rt_view_number(view, 0));
    return n < 0 ? NULL : text;
  default:
    return NULL;
  }
}

static void refuse(writing *w, const char *field, const char *expected,
                   rt_view got) {
  char place[300];
  cli_config_place(w->path, NULL, field, place, sizeof(place));
  w->status = cli_usage(w->c, "--config %s: %s: expected %s, got %s", place,
                        field, expected, kind_of(got));
}

static void refuse_option(writing *w, const char *capability,
                          const char *option, rt_view got) {
  char place[300];
  cli_config_place(w->path, capability, option, place, sizeof(place));
  w->status = cli_usage(w->c,
                        "--config %s: options.%s.%s: expected a string, a "
                        "number or a boolean, got %s",
                        place, capability, option, kind_of(got));
}

/* options = { capability = { option = value } } */
static void add_options(writing *w, rt_view capabilities) {
  rt_view name, options, key, value;
  if (rt_view_type(capabilities) != RT_MAP) {
    refuse(w, "options", "a table for each capability", capabilities);
    return;
  }
  rt_iter each = rt_iter_of(capabilities);
  while (!w->status && rt_iter_next(&each, &name, &options)) {
    char *capability = word_of(name);
    rt_iter iter = rt_iter_of(options);
    if (rt_view_type(options) != RT_MAP) {
      refuse(w, capability ? capability : "options", "a table of options",
             options);
    }
    while (!w->status && rt_iter_next(&iter, &key, &value)) {
      char *option = word_of(key), *text = word_of(value);
      if (capability && option && text) {
        add(w, "--set=%s.%s=%s", capability, option, text);
      } else {
        refuse_option(w, capability ? capability : "?", option ? option : "?",
                      value);
      }
      free(option);
      free(text);
    }
    free(capability);
  }
}

/* Files are meant as seen from the folder of the configuration. */
static void add_word(writing *w, const char *name, const char *text) {
  const char *slash = strrchr(w->path, '/');
  bool beside = !strcmp(name, "capabilities") && text[0] != '/' && slash;
  add(w, "--%s=%.*s%s", name, beside ? (int)(slash - w->path + 1) : 0, w->path,
      text);
}

/* An option that takes no value, such as --watch. */
static bool is_flag(const char *name) {
  for (const cli_option *o = cli_run_options; o->name; o++) {
    if (o->kind == CLI_FLAG && !strcmp(o->name + 2, name)) return true;
  }
  return false;
}

static void add_flag(writing *w, const char *name, rt_view value) {
  if (rt_view_type(value) != RT_BOOL)
    refuse(w, name, "true or false", value);
  else if (rt_view_bool(value, false))
    add(w, "--%s", name);
}

static bool is_known(const char *name) {
  for (const cli_option *o = cli_run_options; o->name; o++)
    if (!strcmp(o->name + 2, name)) return true;
  return false;
}

static void add_setting(writing *w, const char *name, rt_view value) {
  rt_view item;
  if (!is_known(name)) { /* which the parser says best */
    add(w, "--%s", name);
    return;
  }
  if (is_flag(name)) {
    add_flag(w, name, value);
    return;
  }
  bool empty = rt_view_type(value) == RT_MAP && !rt_view_count(value);
  if (rt_view_type(value) != RT_ARRAY && !empty) {
    char *text = word_of(value);
    if (text)
      add_word(w, name, text);
    else
      refuse(w, name, "a value or a list of values", value);
    free(text);
    return;
  }
  rt_iter iter = rt_iter_of(value);
  while (!w->status && rt_iter_next(&iter, NULL, &item)) {
    char *text = word_of(item);
    if (text)
      add_word(w, name, text);
    else
      refuse(w, name, "a list of values", item);
    free(text);
  }
}

/* What is said on the command line only. */
static bool is_private(const char *name) {
  static const char *const names[] = {"config", "data", "session", "record",
                                      "seed",   "set",  NULL};
  for (const char *const *at = names; *at; at++) {
    if (!strcmp(*at, name)) return true;
  }
  return false;
}

static void add_all(writing *w, rt_view table) {
  rt_view key, value;
  rt_iter iter = rt_iter_of(table);
  while (!w->status && rt_iter_next(&iter, &key, &value)) {
    char *name = word_of(key);
    for (char *at = name; at && *at; at++) {
      if (*at == '_') *at = '-';
    }
    if (name && !strcmp(name, "options")) {
      add_options(w, value);
    } else if (!name || is_private(name)) {
      refuse(w, name ? name : "?", "an option of run that may stand here",
             value);
    } else {
      add_setting(w, name, value);
    }
    free(name);
  }
}

/* --- together ---------------------------------------------------------- */

/* One by one, so that a message can name the line: "--max-depth=3". */
static bool parse_all(cli_parse *parse, const writing *w) {
  bool ok = true;
  for (size_t i = 0; i < w->args.count && ok; i++) {
    char *word = (char *)w->args.items[i];
    char at[300], place[320];
    char *name = strndup(word + 2, strcspn(word + 2, "="));
    cli_config_place(w->path, NULL, name ? name : "?", at, sizeof(at));
    snprintf(place, sizeof(place), "--config %s", at);
    parse->command = place;
    ok = cli_parse_args(parse, 1, &word, stderr);
    free(name);
  }
  parse->command = NULL;
  return ok;
}

/* What the command line checks under its own name. */
static int check_words(cli *c, const writing *w, const cli_common *common) {
  char place[300];
  if (common->resolver && !cli_is_resolver(common->resolver)) {
    cli_config_place(w->path, NULL, "resolver", place, sizeof(place));
    return cli_usage(c,
                     "--config %s: resolver: '%s' is not an address and port "
                     "like 127.0.0.1:53",
                     place, common->resolver);
  }
  if (common->allow && !cli_is_allowed(common->allow)) {
    cli_config_place(w->path, NULL, "allow", place, sizeof(place));
    return cli_usage(c,
                     "--config %s: allow: '%s' is no list of net, fs, exec, "
                     "env (or none)",
                     place, common->allow);
  }
  return 0;
}

static int merge(cli *c, cli_settings *settings, const writing *w) {
  cli_settings base;
  cli_parse parse = {.options = cli_run_options};
  rt_error err = RT_ERROR_INIT;
  rt_value *map = NULL;
  cli_settings_init(&base, c);
  parse.fields = &base;
  int status = parse_all(&parse, w) ? 0 : EXIT_USAGE;
  if (!status) status = check_words(c, w, &base.common);
  if (!status && (cli_settings_store(&base, NULL, &map, &err) != RT_OK ||
                  !cli_settings_merge(settings, rt_value_view(map)))) {
    status = cli_fail(c, "out of memory");
  }
  if (!status && base.watch) settings->watch = true; /* it is not stored */
  rt_value_unref(map);
  cli_list_free(&parse.bare);
  cli_settings_deinit(&base);
  return status;
}

/* Of a list, those that were not there before. */
static void note_new(cli_settings *settings, const cli_list *now,
                     const cli_list *before) {
  for (size_t i = 0; i < now->count; i++) {
    bool there = false;
    for (size_t j = 0; j < before->count && !there; j++)
      there = now->items[i] == before->items[j];
    if (!there) cli_list_add(&settings->from_config, now->items[i]);
  }
}

static void copy_list(cli_list *out, const cli_list *list) {
  for (size_t i = 0; i < list->count; i++) cli_list_add(out, list->items[i]);
}

/* Notes what the configuration brings, for messages. */
static int merge_noted(cli *c, cli_settings *settings, const writing *w) {
  cli_list *lists[] = {&settings->sets, &settings->only, &settings->without,
                       &settings->scope};
  cli_list before[4] = {{NULL, 0}};
  for (int i = 0; i < 4; i++) copy_list(&before[i], lists[i]);
  int status = merge(c, settings, w);
  for (int i = 0; i < 4; i++) {
    if (!status) note_new(settings, lists[i], &before[i]);
    cli_list_free(&before[i]);
  }
  return status;
}

int cli_config(cli *c, cli_settings *settings) {
  const char *path = settings->config;
  rt_value *table = NULL;
  writing w = {.c = c, .path = path};
  if (!path) return 0;
  if (access(path, R_OK) != 0) {
    return cli_fail(c, "--config: cannot open %s: %s", path, strerror(errno));
  }
  w.status = evaluate(c, path, &table);
  if (!w.status) add_all(&w, rt_value_view(table));
  if (!w.status) w.status = merge_noted(c, settings, &w);
  for (size_t i = 0; i < w.args.count; i++) free((void *)w.args.items[i]);
  cli_list_free(&w.args);
  rt_value_unref(table);
  return w.status;
}
