/* cli/load.c - capability files and --set against what they declare.
 * SPDX-License-Identifier: MIT */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct loading {
  cli *c;
  size_t faults;
} loading;

int cli_check_paths(cli *c, const cli_list *paths) {
  for (size_t i = 0; i < paths->count; i++) {
    if (access(paths->items[i], R_OK) == 0) continue;
    return cli_fail(c, "cannot open %s: %s", paths->items[i], strerror(errno));
  }
  return 0;
}

static const char *last_part(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* The given path whose file has the same name; else the first. */
static const char *new_place(const cli_list *paths, size_t stored,
                             const char *old) {
  for (size_t i = stored; i < paths->count; i++) {
    const char *given = paths->items[i];
    if (!strcmp(last_part(given), last_part(old))) return given;
  }
  return stored < paths->count ? paths->items[stored] : NULL;
}

int cli_moved_paths(cli *c, cli_list *paths, size_t stored) {
  size_t kept = 0;
  for (size_t i = 0; i < paths->count; i++) {
    const char *path = paths->items[i];
    bool gone = i < stored && access(path, F_OK) != 0 &&
                (errno == ENOENT || errno == ENOTDIR);
    const char *place = gone ? new_place(paths, stored, path) : NULL;
    if (gone && !place) {
      return cli_fail(c,
                      "%s is gone, which the session was made with; resume it "
                      "with -c and its new place",
                      path);
    }
    if (gone) {
      console_say(&c->console, "runtime: %s is gone; %s is taken instead\n",
                  path, place);
    } else {
      paths->items[kept++] = path;
    }
  }
  paths->count = kept;
  return 0;
}

static void tell_fault(const char *text, void *arg) {
  loading *l = arg;
  l->faults++;
  console_say(&l->c->console, "runtime: %s\n", text);
}

int cli_load(cli *c, rt_runtime *rt, const cli_list *paths) {
  rt_error err = RT_ERROR_INIT;
  loading l = {c, 0};
  size_t total = 0;
  for (size_t i = 0; i < paths->count; i++) {
    size_t loaded = 0, faults = l.faults;
    rt_err rc = rt_registry_load(rt_runtime_registry(rt), paths->items[i],
                                 tell_fault, &l, &loaded, &err);
    if (rc != RT_OK) return cli_fail(c, "%s", err.message);
    if (!loaded && l.faults == faults) {
      console_say(&c->console, "runtime: %s: no capabilities in it\n",
                  paths->items[i]);
    }
    total += loaded;
  }
  if (l.faults) {
    console_say(&c->console, "runtime: %zu %s not loaded\n", l.faults,
                l.faults == 1 ? "capability" : "capabilities");
  }
  if (paths->count && !total) {
    return cli_fail(c, "no capability could be loaded");
  }
  return 0;
}

/* --- names ------------------------------------------------------------- */

/* The member named `key` of each item of an array of maps, or (key NULL) the
 * keys of a map, as a NULL-terminated list of strings. */
static char **names_of(rt_view items, const char *key) {
  char **names = calloc(rt_view_count(items) + 1, sizeof(*names));
  size_t count = 0, size;
  rt_view name, item;
  rt_iter iter = rt_iter_of(items);
  while (names && rt_iter_next(&iter, &name, &item)) {
    const char *text =
        rt_view_string(key ? rt_view_get(item, key) : name, &size);
    if (text) names[count++] = strndup(text, size);
  }
  return names;
}

static void free_names(char **names) {
  for (char **at = names; at && *at; at++) free(*at);
  free(names);
}

static int unknown(cli *c, const char *what, const char *name, char **names) {
  const char *near =
      names ? cli_nearest(name, (const char *const *)names) : NULL;
  if (near)
    return cli_usage(c, "%s '%s'; did you mean '%s'?", what, name, near);
  return cli_usage(c, "%s '%s'", what, name);
}

/* Does a word of --only or --without choose this capability? */
bool cli_chooses(const char *word, rt_view capability) {
  size_t size = 0;
  rt_view tag;
  const char *name = rt_view_string(rt_view_get(capability, "name"), &size);
  if (strncmp(word, "tag:", 4)) {
    return name && rt_pattern_match(word, strlen(word), name, size);
  }
  rt_iter iter = rt_iter_of(rt_view_get(capability, "tags"));
  while (rt_iter_next(&iter, NULL, &tag)) {
    const char *text = rt_view_string(tag, &size);
    if (text && size == strlen(word + 4) && !memcmp(text, word + 4, size)) {
      return true;
    }
  }
  return false;
}

int cli_check_choice(cli *c, rt_runtime *rt, const char *option,
                     const char *word) {
  rt_value *list = NULL;
  rt_view item;
  bool found = false;
  if (!strpbrk(word, "*(|:")) return cli_check_capability(c, rt, option, word);
  rt_registry_list(rt_runtime_registry(rt), &list, NULL);
  rt_iter iter = rt_iter_of(rt_value_view(list));
  while (!found && rt_iter_next(&iter, NULL, &item)) {
    found = cli_chooses(word, item);
  }
  rt_value_unref(list);
  if (found) return 0;
  return cli_usage(c, "%s: '%s' chooses no capability", option, word);
}

int cli_check_capability(cli *c, rt_runtime *rt, const char *option,
                         const char *name) {
  rt_value *found = NULL, *list = NULL;
  rt_registry *registry = rt_runtime_registry(rt);
  char what[300];
  if (rt_registry_get(registry, name, &found, NULL) == RT_OK) {
    rt_value_unref(found);
    return 0;
  }
  snprintf(what, sizeof(what), "%s: no capability", option);
  rt_registry_list(registry, &list, NULL);
  char **names = names_of(rt_value_view(list), "name");
  int status = unknown(c, what, name, names);
  free_names(names);
  rt_value_unref(list);
  return status;
}

/* --- option values ----------------------------------------------------- */

typedef struct setting {
  char *capability, *option;
  const char *value, *source;
} setting;

/* "a.b=c" in parts; the capability's name may have dots, the option's not. */
static bool split(const char *text, setting *out) {
  const char *equals = strchr(text, '=');
  if (!equals) return false;
  const char *dot = equals;
  while (dot > text && *dot != '.') dot--;
  if (dot == text || dot + 1 == equals) return false;
  out->capability = strndup(text, (size_t)(dot - text));
  out->option = strndup(dot + 1, (size_t)(equals - dot - 1));
  out->value = equals + 1;
  return out->capability && out->option;
}

/* The type of an option: of its default, else as declared. */
static rt_type type_of(rt_view option) {
  size_t size = 0;
  rt_type type = rt_view_type(rt_view_get(option, "default"));
  const char *text = rt_view_string(rt_view_get(option, "type"), &size);
  if (type != RT_NIL || !text) return type;
  if (size == 6 && !memcmp(text, "number", 6)) return RT_NUMBER;
  return size == 7 && !memcmp(text, "boolean", 7) ? RT_BOOL : RT_STRING;
}

/* Put `text` as a value of this type; false: it is none. */
static bool put_typed(rt_builder *b, rt_type type, const char *text) {
  rt_value *value = NULL;
  if (type == RT_STRING || type == RT_NIL) {
    rt_builder_string(b, text);
    return true;
  }
  if (rt_value_from_json(&value, text, strlen(text), NULL) != RT_OK) {
    return false;
  }
  rt_type got = rt_view_type(rt_value_view(value));
  bool number = type == RT_INT || type == RT_NUMBER;
  bool fits = number            ? got == RT_INT || got == RT_NUMBER
              : type == RT_BOOL ? got == RT_BOOL
                                : got == RT_ARRAY || got == RT_MAP;
  if (fits) rt_builder_value(b, value);
  rt_value_unref(value);
  return fits;
}

static const char *type_name(rt_type type) {
  switch (type) {
  case RT_BOOL:
    return "true or false";
  case RT_INT:
  case RT_NUMBER:
    return "a number";
  default:
    return "a list or table as JSON";
  }
}

static int put_setting(cli *c, rt_runtime *rt, rt_builder *b,
                       const setting *s) {
  rt_value *declared = NULL;
  int status = cli_check_capability(c, rt, s->source, s->capability);
  if (status) return status;
  rt_registry_get(rt_runtime_registry(rt), s->capability, &declared, NULL);
  rt_view options = rt_view_get(rt_value_view(declared), "options");
  rt_view option = rt_view_get(options, s->option);
  if (rt_view_type(option) == RT_NIL) {
    char what[400];
    char **names = names_of(options, NULL);
    snprintf(what, sizeof(what), "%s: %s has no option", s->source,
             s->capability);
    status = unknown(c, what, s->option, names);
    free_names(names);
  } else {
    rt_type type = type_of(option);
    rt_builder_key(b, s->option);
    if (!put_typed(b, type, s->value)) {
      status = cli_usage(c, "%s %s.%s: '%s' is not %s", s->source,
                         s->capability, s->option, s->value, type_name(type));
    }
  }
  rt_value_unref(declared);
  return status;
}

/* The last setting of each option of one capability, as a map. */
static int put_capability(cli *c, rt_runtime *rt, rt_builder *b,
                          const setting *all, size_t count, size_t first) {
  int status = 0;
  rt_builder_key(b, all[first].capability);
  rt_builder_begin_map(b);
  for (size_t i = first; i < count && !status; i++) {
    if (strcmp(all[i].capability, all[first].capability)) continue;
    bool again = false;
    for (size_t j = i + 1; j < count && !again; j++) {
      again = !strcmp(all[j].capability, all[i].capability) &&
              !strcmp(all[j].option, all[i].option);
    }
    if (!again) status = put_setting(c, rt, b, &all[i]);
  }
  rt_builder_end(b);
  return status;
}

static int put_all(cli *c, rt_runtime *rt, rt_builder *b, const setting *all,
                   size_t count) {
  int status = 0;
  rt_builder_begin_map(b);
  for (size_t i = 0; i < count && !status; i++) {
    bool seen = false;
    for (size_t j = 0; j < i && !seen; j++) {
      seen = !strcmp(all[j].capability, all[i].capability);
    }
    if (!seen) status = put_capability(c, rt, b, all, count, i);
  }
  rt_builder_end(b);
  return status;
}

int cli_typed_options(cli *c, rt_runtime *rt, const cli_list *sets,
                      cli_source_fn source, void *arg, rt_value **out) {
  rt_error err = RT_ERROR_INIT;
  int status = 0;
  *out = NULL;
  if (!sets->count) return 0;
  rt_builder *b = rt_builder_new();
  setting *all = calloc(sets->count, sizeof(*all));
  if (!b || !all) status = cli_fail(c, "out of memory");
  for (size_t i = 0; i < sets->count && !status; i++) {
    all[i].source = source ? source(sets->items[i], arg) : "--set";
    if (split(sets->items[i], &all[i])) continue;
    status = cli_usage(c, "--set: '%s' is not CAPABILITY.OPTION=VALUE",
                       sets->items[i]);
  }
  if (!status) status = put_all(c, rt, b, all, sets->count);
  if (!status && rt_builder_finish(b, out, &err) != RT_OK) {
    status = cli_fail(c, "%s", err.message);
  }
  for (size_t i = 0; all && i < sets->count; i++) {
    free(all[i].capability);
    free(all[i].option);
  }
  free(all);
  rt_builder_free(b);
  return status;
}
