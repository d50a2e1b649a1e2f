/* capability.c - one capability: made of its declaration, then constant.
 *
 * Both kinds, Lua and C, are described by the same map (API 4.1 without its
 * functions); what the engine asks often is unpacked from it once. Counted
 * references; the rest of a capability never changes, so any thread reads it.
 *
 * SPDX-License-Identifier: MIT */
#include "registry/capability_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES   100
#define DEFAULT_TIMEOUT  3600.0
#define DEFAULT_PRIORITY 5

/* --- unpacking the map ------------------------------------------------- */
static char *copy_text(rt_view view) {
  size_t size;
  const char *text = rt_view_string(view, &size);
  if (!text) return NULL;
  char *copy = malloc(size + 1);
  if (!copy) return NULL;
  memcpy(copy, text, size);
  copy[size] = '\0';
  return copy;
}

static bool name_ok(rt_view view) {
  size_t size;
  const char *text = rt_view_string(view, &size);
  if (!text || size == 0 || size > NAME_MAX_BYTES || text[0] == '.')
    return false;
  for (size_t i = 0; i < size; i++) {
    unsigned char c = (unsigned char)text[i];
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (!word) return false;
  }
  return true;
}

static rt_err copy_list(char ***out, size_t *count, rt_view list,
                        const char *field, rt_error *err) {
  uint32_t n = rt_view_count(list);
  *out = calloc(n ? n : 1, sizeof(**out));
  if (!*out) return rt_fail(err, RT_ENOMEM, "no memory for a capability");
  rt_iter iter = rt_iter_of(list);
  rt_view item;
  while (rt_iter_next(&iter, NULL, &item)) {
    size_t size = 0;
    if (!rt_view_string(item, &size) || size == 0)
      return rt_fail(err, RT_EINVAL, "%s: expected non-empty class names",
                     field);
    char *text = copy_text(item);
    if (!text) return rt_fail(err, RT_ENOMEM, "no memory for a capability");
    (*out)[(*count)++] = text;
  }
  return RT_OK;
}

static double read_timeout(rt_view view) {
  if (rt_view_type(view) == RT_BOOL) return -1;
  double seconds = rt_view_number(view, DEFAULT_TIMEOUT);
  return seconds == 0 ? DEFAULT_TIMEOUT : seconds;
}

static int read_priority(rt_view view) {
  int64_t priority = rt_view_int(view, 0);
  if (priority == 0) return DEFAULT_PRIORITY;
  return priority < 1 ? 1 : priority > 9 ? 9 : (int)priority;
}

/* `every` in seconds or as a cron expression. */
static rt_err read_schedule(rt_capability *c, rt_view map, rt_error *err) {
  rt_view every = rt_view_get(map, "every");
  rt_error why = RT_ERROR_INIT;
  if (rt_view_type(every) != RT_STRING) {
    c->every = rt_view_number(every, 0);
    return RT_OK;
  }
  char *text = copy_text(every);
  if (!text) return rt_fail(err, RT_ENOMEM, "no memory for a capability");
  rt_err rc = rt__cron_parse(&c->cron, text, &why);
  c->has_cron = rc == RT_OK;
  free(text);
  return rc == RT_OK ? rc : rt_fail(err, rc, "every: %s", why.message);
}

static rt_err unpack_rerun(rt_capability *c, rt_view map, rt_error *err) {
  char *rerun = copy_text(rt_view_get(map, "rerun"));
  bool good = !rerun || rt__rerun_parse(rerun, &c->rerun, &c->rerun_after);
  free(rerun);
  if (!good)
    return rt_fail(err, RT_EINVAL,
                   "rerun: expected once, on_change, always or after: and a "
                   "duration such as after:24h");
  c->version = copy_text(rt_view_get(map, "version"));
  c->modules = copy_text(rt_view_get(map, "modules_version"));
  for (size_t i = 0; i < c->input_count; i++)
    c->watches = c->watches || rt__input_is_event(c->input[i]);
  return RT_OK;
}

static rt_err unpack(rt_capability *c, rt_view map, rt_error *err) {
  if (!name_ok(rt_view_get(map, "name")))
    return rt_fail(err, RT_EINVAL,
                   "name: expected letters, digits, '.', '_' and '-', at most "
                   "100 of them");
  c->name = copy_text(rt_view_get(map, "name"));
  c->description = copy_text(rt_view_get(map, "description"));
  if (!c->description) c->description = strdup("");
  if (!c->name || !c->description)
    return rt_fail(err, RT_ENOMEM, "no memory for a capability");
  rt_err rc = read_schedule(c, map, err);
  if (rc != RT_OK) return rc;
  if (rt_view_count(rt_view_get(map, "input")) == 0 &&
      !rt_view_bool(rt_view_get(map, "scheduled"), false))
    return rt_fail(err, RT_EINVAL, "input: expected at least one class");
  rc = copy_list(&c->input, &c->input_count, rt_view_get(map, "input"), "input",
                 err);
  if (rc != RT_OK) return rc;
  rc = copy_list(&c->output, &c->output_count, rt_view_get(map, "output"),
                 "output", err);
  if (rc != RT_OK) return rc;
  c->priority = read_priority(rt_view_get(map, "priority"));
  c->max_instances =
      (uint32_t)rt_view_int(rt_view_get(map, "max_instances"), 0);
  c->timeout = read_timeout(rt_view_get(map, "timeout"));
  c->retries = (uint32_t)rt_view_int(rt_view_get(map, "retries"), 0);
  c->rate = rt_view_number(rt_view_get(map, "rate"), 0);
  c->has_match = rt_view_bool(rt_view_get(map, "has_match"), false);
  c->has_rate_key = rt_view_bool(rt_view_get(map, "has_rate_key"), false);
  c->has_prioritize = rt_view_bool(rt_view_get(map, "has_prioritize"), false);
  c->has_finish = rt_view_bool(rt_view_get(map, "has_finish"), false);
  c->active = rt_view_bool(rt_view_get(map, "active"), false);
  c->exec = rt_view_bool(rt_view_get(map, "exec"), false);
  c->has_setup = rt_view_bool(rt_view_get(map, "has_setup"), false);
  return unpack_rerun(c, map, err);
}

rt_err rt__capability_new(rt_capability **out, const rt_value *declaration,
                          rt_error *err) {
  *out = NULL;
  rt_capability *c = calloc(1, sizeof(*c));
  if (!c) return rt_fail(err, RT_ENOMEM, "no memory for a capability");
  c->refs = 1;
  rt_err rc = unpack(c, rt_value_view(declaration), err);
  if (rc != RT_OK) {
    rt__capability_unref(c);
    return rc;
  }
  c->declaration = rt_value_ref(declaration);
  *out = c;
  return RT_OK;
}

/* FNV-1a: the same on every machine, so that files tell the same. */
static uint64_t hash_more(uint64_t hash, const char *text, size_t size) {
  for (size_t i = 0; i < size; i++)
    hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
  return hash;
}

static char *hash_text(const char *source, size_t size, const char *modules) {
  uint64_t hash = hash_more(14695981039346656037u, source, size);
  char text[24];
  if (modules) hash = hash_more(hash, modules, strlen(modules));
  snprintf(text, sizeof(text), "#%016llx", (unsigned long long)hash);
  return strdup(text);
}

rt_err rt__capability_set_source(rt_capability *c, const char *file,
                                 const char *source, size_t source_size,
                                 uint32_t index, rt_error *err) {
  c->file = file ? strdup(file) : NULL;
  c->source = malloc(source_size + 1);
  if (!c->source || (file && !c->file))
    return rt_fail(err, RT_ENOMEM, "no memory for a capability");
  memcpy(c->source, source, source_size);
  c->source[source_size] = '\0';
  c->source_size = source_size;
  c->index = index;
  if (!c->version) c->version = hash_text(source, source_size, c->modules);
  return RT_OK;
}

/* --- a map from the options of a capability in C ------------------------ */
static void build_list(rt_builder *b, const char *key, const char *const *list,
                       size_t count) {
  rt_builder_key(b, key);
  rt_builder_begin_array(b);
  for (size_t i = 0; i < count; i++)
    rt_builder_string(b, list[i] ? list[i] : "");
  rt_builder_end(b);
}

static void build_numbers(rt_builder *b, const rt_capability_opts *o) {
  rt_builder_key(b, "priority");
  rt_builder_int(b, o->priority);
  rt_builder_key(b, "max_instances");
  rt_builder_int(b, o->max_instances);
  rt_builder_key(b, "timeout");
  if (o->timeout < 0)
    rt_builder_bool(b, false);
  else
    rt_builder_number(b, o->timeout == 0 ? DEFAULT_TIMEOUT : o->timeout);
  rt_builder_key(b, "retries");
  rt_builder_int(b, o->retries);
  if (o->rate <= 0) return;
  rt_builder_key(b, "rate");
  rt_builder_number(b, o->rate);
}

/* Seconds, or a cron expression, which is looked at when it is read. */
static rt_err build_every(rt_builder *b, const char *every, rt_error *err) {
  double seconds;
  rt_builder_key(b, "scheduled");
  rt_builder_bool(b, true);
  rt_builder_key(b, "every");
  if (strpbrk(every, " \t@")) {
    rt_builder_string(b, every);
    return RT_OK;
  }
  if (!rt__duration_parse(every, &seconds) || seconds < 0.01)
    return rt_fail(
        err, RT_EINVAL,
        "every: expected a duration of 10 ms or more such as \"1h\", "
        "or a cron expression such as \"0 3 * * *\", got \"%.60s\"",
        every);
  rt_builder_number(b, seconds);
  return RT_OK;
}

rt_err rt__capability_declare(rt_value **out, const rt_capability_opts *o,
                              rt_error *err) {
  *out = NULL;
  if (!o->invoke) return rt_fail(err, RT_EINVAL, "invoke: expected a function");
  if (!o->name) return rt_fail(err, RT_EINVAL, "name: expected a string");
  rt_builder *b = rt_builder_new();
  if (!b) return rt_fail(err, RT_ENOMEM, "no memory for a capability");
  rt_builder_begin_map(b);
  rt_builder_key(b, "name");
  rt_builder_string(b, o->name);
  rt_builder_key(b, "description");
  rt_builder_string(b, o->description ? o->description : "");
  build_list(b, "input", o->input, o->input_count);
  build_list(b, "output", o->output, o->output_count);
  build_numbers(b, o);
  rt_builder_key(b, "has_match");
  rt_builder_bool(b, o->match != NULL);
  rt_builder_key(b, "active");
  rt_builder_bool(b, o->active);
  if (o->version) {
    rt_builder_key(b, "version");
    rt_builder_string(b, o->version);
  }
  rt_builder_key(b, "rerun");
  rt_builder_string(b, o->rerun ? o->rerun : "once");
  rt_err rc = o->every ? build_every(b, o->every, err) : RT_OK;
  if (rc == RT_OK) rt_builder_end(b);
  if (rc == RT_OK) rc = rt_builder_finish(b, out, err);
  rt_builder_free(b);
  return rc;
}

/* --- references, classes ------------------------------------------------ */
rt_capability *rt__capability_ref(rt_capability *capability) {
  __atomic_add_fetch(&capability->refs, 1, __ATOMIC_RELAXED);
  return capability;
}

static void free_list(char **list, size_t count) {
  for (size_t i = 0; i < count; i++) free(list[i]);
  free(list);
}

void rt__capability_unref(rt_capability *c) {
  if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
  free_list(c->input, c->input_count);
  free_list(c->output, c->output_count);
  free(c->name);
  free(c->description);
  free(c->file);
  free(c->version);
  free(c->modules);
  free(c->source);
  rt_value_unref(c->declaration);
  free(c);
}

static bool any_matches(char *const *list, size_t count, const char *class_,
                        size_t size) {
  for (size_t i = 0; i < count; i++)
    if (rt_pattern_match(list[i], strlen(list[i]), class_, size)) return true;
  return false;
}

bool rt__capability_takes(const rt_capability *capability, const char *class_,
                          size_t size) {
  size_t tick = strlen(RT__TICK_CLASS);
  if (size > tick && memcmp(class_, RT__TICK_CLASS, tick) == 0)
    return rt__capability_scheduled(capability) &&
           strlen(capability->name) == size - tick &&
           memcmp(capability->name, class_ + tick, size - tick) == 0;
  for (size_t i = 0; i < capability->input_count; i++)
    if (rt__input_takes(capability->input[i], class_, size)) return true;
  return false;
}

bool rt__capability_sends(const rt_capability *capability, const char *class_,
                          size_t size) {
  return any_matches(capability->output, capability->output_count, class_,
                     size);
}

bool rt__capability_is(const rt_capability *capability, const char *word) {
  const char *name = capability->name;
  rt_view declared = rt_value_view(capability->declaration), tag;
  if (strncmp(word, "tag:", 4))
    return rt_pattern_match(word, strlen(word), name, strlen(name));
  word += 4;
  size_t size = strlen(word);
  rt_iter iter = rt_iter_of(rt_view_get(declared, "tags"));
  while (rt_iter_next(&iter, NULL, &tag)) {
    size_t length = 0;
    const char *text = rt_view_string(tag, &length);
    if (text && length == size && memcmp(text, word, size) == 0) return true;
  }
  return false;
}
