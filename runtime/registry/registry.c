/* registry.c - the capabilities of one runtime.
 *
 * An array in order of registration under `lock`, a leaf. Changes are made one
 * at a time under `change`, which is held while the listener is told, so that
 * it hears of them in order and not again once rt__registry_listen() returned;
 * it may read the registry but not change it. Lock order: change, lock.
 *
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "registry/capability_make.h"

struct rt_registry {
  rt_runtime *rt; /* constant */
  uv_mutex_t change;
  /* guarded by change */
  rt__registry_fn listener;
  void *listener_arg;
  /* guarded by lock */
  uv_mutex_t lock;
  rt_capability **list;
  size_t count, room;
  uint32_t next_ordinal;
};

rt_err rt__registry_new(rt_registry **out, rt_runtime *rt, rt_error *err) {
  rt_registry *r = calloc(1, sizeof(*r));
  *out = NULL;
  if (!r) return rt_fail(err, RT_ENOMEM, "no memory for the registry");
  if (uv_mutex_init(&r->lock) < 0) goto free_registry;
  if (uv_mutex_init(&r->change) < 0) goto destroy_lock;
  r->rt = rt;
  r->next_ordinal = 1;
  *out = r;
  return RT_OK;

destroy_lock:
  uv_mutex_destroy(&r->lock);
free_registry:
  free(r);
  return rt_fail(err, RT_EUNAVAIL, "registry: cannot create its lock");
}

void rt__registry_free(rt_registry *r) {
  if (!r) return;
  for (size_t i = 0; i < r->count; i++) rt__capability_unref(r->list[i]);
  free(r->list);
  uv_mutex_destroy(&r->change);
  uv_mutex_destroy(&r->lock);
  free(r);
}

rt_runtime *rt__registry_runtime(rt_registry *registry) {
  return registry->rt;
}

void rt__registry_listen(rt_registry *r, rt__registry_fn fn, void *arg) {
  uv_mutex_lock(&r->change);
  r->listener = fn;
  r->listener_arg = arg;
  uv_mutex_unlock(&r->change);
}

/* --- changes ------------------------------------------------------------ */
static size_t find_locked(const rt_registry *r, const char *name) {
  size_t i = 0;
  while (i < r->count && strcmp(r->list[i]->name, name) != 0) i++;
  return i;
}

static bool grow_locked(rt_registry *r) {
  if (r->count < r->room) return true;
  size_t room = r->room ? r->room * 2 : 16;
  rt_capability **list = realloc(r->list, room * sizeof(*list));
  if (!list) return false;
  r->list = list;
  r->room = room;
  return true;
}

static bool same_text(const char *a, const char *b) {
  return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same(const rt_capability *a, const rt_capability *b) {
  return same_text(a->file, b->file) && a->index == b->index && a->source &&
         b->source && a->source_size == b->source_size &&
         memcmp(a->source, b->source, a->source_size) == 0;
}

/* Who reloads looks at what the file requires, too. */
static bool same_for(const rt_capability *a, const rt_capability *b,
                     unsigned flags) {
  return same(a, b) &&
         (!(flags & RT__PUT_REPLACE) || same_text(a->modules, b->modules));
}

static void count_user(rt_capability *c, unsigned flags) {
  if (flags & RT__PUT_BORROW)
    c->users++;
  else
    c->pinned = true;
}

static rt_err fail_taken(rt_error *err, const rt_capability *there) {
  const char *file = there->file;
  return rt_fail(
      err, RT_EEXIST, "name: a capability '%s' is registered already%s%s%s",
      there->name, file ? " (" : "", file ? file : "", file ? ")" : "");
}

static bool may_replace(const rt_capability *there, const rt_capability *c,
                        unsigned flags) {
  return flags & RT__PUT_REPLACE && there->file &&
         same_text(there->file, c->file);
}

static void replace_locked(rt_registry *r, size_t at, rt_capability *c) {
  rt_capability *old = r->list[at];
  c->ordinal = old->ordinal;
  c->users = old->users;
  c->pinned = old->pinned;
  r->list[at] = rt__capability_ref(c);
}

/* `*added` says whether it is new, `*replaced` [own] what it stands for. */
static rt_err append(rt_registry *r, rt_capability *c, unsigned flags,
                     bool *added, rt_capability **replaced, rt_error *err) {
  rt_err rc = RT_OK;
  *replaced = NULL;
  uv_mutex_lock(&r->lock);
  size_t at = find_locked(r, c->name);
  *added = at == r->count;
  if (!*added) {
    bool again = same_for(r->list[at], c, flags);
    if (flags & RT__PUT_AGAIN && again) {
      count_user(r->list[at], flags);
    } else if (!again && may_replace(r->list[at], c, flags)) {
      *added = true;
      *replaced = r->list[at];
      replace_locked(r, at, c);
    } else if (!(again && flags & RT__PUT_REPLACE))
      rc = fail_taken(err, r->list[at]);
  } else if (!grow_locked(r)) {
    rc = rt_fail(err, RT_ENOMEM, "no memory for a capability");
  } else {
    c->ordinal = r->next_ordinal++;
    count_user(c, flags);
    r->list[r->count++] = rt__capability_ref(c);
  }
  uv_mutex_unlock(&r->lock);
  return rc;
}

/* Registers `c`, which it takes in any case. */
static rt_err add(rt_registry *r, rt_capability *c, unsigned flags,
                  bool *changed, rt_error *err) {
  rt_capability *old;
  bool added;
  uv_mutex_lock(&r->change);
  rt_err rc = append(r, c, flags, &added, &old, err);
  if (rc == RT_OK && added && r->listener)
    r->listener(c, old, (flags & RT__PUT_BACKFILL) != 0, r->listener_arg);
  uv_mutex_unlock(&r->change);
  rt__capability_unref(old);
  if (changed) *changed = rc == RT_OK && added;
  rt__capability_unref(c);
  return rc;
}

rt_err rt_registry_add(rt_registry *registry, const rt_capability_opts *opts,
                       rt_error *err) {
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  rt_value *declaration;
  rt_capability *c;
  if (!opts) return rt_fail(err, RT_EINVAL, "options: expected a capability");
  memcpy(&o, opts, opts->size < sizeof(o) ? opts->size : sizeof(o));
  rt_err rc = rt__capability_declare(&declaration, &o, err);
  if (rc != RT_OK) return rc;
  rc = rt__capability_new(&c, declaration, err);
  rt_value_unref(declaration);
  if (rc != RT_OK) return rc;
  c->match = o.match;
  c->invoke = o.invoke;
  c->arg = o.arg;
  return add(registry, c, o.backfill ? RT__PUT_BACKFILL : 0, NULL, err);
}

rt_err rt__registry_put(rt_registry *registry, const rt_value *declaration,
                        const char *file, const char *source,
                        size_t source_size, uint32_t index, unsigned flags,
                        rt_error *err) {
  return rt__registry_change(registry, declaration, file, source, source_size,
                             index, flags, NULL, err);
}

rt_err rt__registry_change(rt_registry *registry, const rt_value *declaration,
                           const char *file, const char *source,
                           size_t source_size, uint32_t index, unsigned flags,
                           bool *changed, rt_error *err) {
  rt_capability *c;
  rt_err rc = rt__capability_new(&c, declaration, err);
  if (rc != RT_OK) return rc;
  rc = rt__capability_set_source(c, file, source, source_size, index, err);
  if (rc != RT_OK) {
    rt__capability_unref(c);
    return rc;
  }
  return add(registry, c, flags, changed, err);
}

rt_err rt__registry_add_lua(rt_registry *registry, const rt_value *declaration,
                            const char *file, const char *source,
                            size_t source_size, uint32_t index, bool backfill,
                            rt_error *err) {
  return rt__registry_put(registry, declaration, file, source, source_size,
                          index, backfill ? RT__PUT_BACKFILL : 0, err);
}

static rt_capability *take_out_locked(rt_registry *r, size_t at) {
  rt_capability *c = r->list[at];
  memmove(&r->list[at], &r->list[at + 1],
          (r->count - at - 1) * sizeof(*r->list));
  r->count--;
  return c;
}

static void tell_removed(rt_registry *r, rt_capability *c) {
  if (c && r->listener) r->listener(NULL, c, false, r->listener_arg);
}

rt_err rt_registry_remove(rt_registry *r, const char *name, rt_error *err) {
  rt_capability *c = NULL;
  uv_mutex_lock(&r->change);
  uv_mutex_lock(&r->lock);
  size_t at = find_locked(r, name);
  if (at < r->count) c = take_out_locked(r, at);
  uv_mutex_unlock(&r->lock);
  tell_removed(r, c);
  uv_mutex_unlock(&r->change);
  if (!c) return rt_fail(err, RT_ENOTFOUND, "no capability '%s'", name);
  rt__capability_unref(c);
  return RT_OK;
}

char *rt__registry_find(rt_registry *r, rt__capability_is_fn is, void *arg) {
  char *name = NULL;
  uv_mutex_lock(&r->lock);
  for (size_t i = 0; i < r->count && !name; i++)
    if (is(r->list[i], arg)) name = strdup(r->list[i]->name);
  uv_mutex_unlock(&r->lock);
  return name;
}

void rt__registry_give_back(rt_registry *r, const char *name) {
  rt_capability *c = NULL;
  uv_mutex_lock(&r->change);
  uv_mutex_lock(&r->lock);
  size_t at = find_locked(r, name);
  rt_capability *found = at < r->count ? r->list[at] : NULL;
  if (found && found->users > 0 && --found->users == 0 && !found->pinned)
    c = take_out_locked(r, at);
  uv_mutex_unlock(&r->lock);
  tell_removed(r, c);
  uv_mutex_unlock(&r->change);
  rt__capability_unref(c);
}

/* --- reading ------------------------------------------------------------ */
static int by_priority(const void *a, const void *b) {
  const rt_capability *x = *(rt_capability *const *)a;
  const rt_capability *y = *(rt_capability *const *)b;
  if (x->priority != y->priority) return x->priority - y->priority;
  return x->ordinal < y->ordinal ? -1 : x->ordinal > y->ordinal;
}

/* All of them in order of registration; as rt__registry_all() else. */
static rt_err snapshot(rt_registry *r, rt_capability ***out, size_t *count) {
  uv_mutex_lock(&r->lock);
  *count = r->count;
  *out = malloc((r->count ? r->count : 1) * sizeof(**out));
  for (size_t i = 0; *out && i < r->count; i++)
    (*out)[i] = rt__capability_ref(r->list[i]);
  uv_mutex_unlock(&r->lock);
  if (*out) return RT_OK;
  *count = 0;
  return RT_ENOMEM;
}

rt_err rt__registry_all(rt_registry *registry, rt_capability ***out,
                        size_t *count) {
  rt_err rc = snapshot(registry, out, count);
  if (rc == RT_OK) qsort(*out, *count, sizeof(**out), by_priority);
  return rc;
}

static void release(rt_capability **list, size_t count) {
  for (size_t i = 0; i < count; i++) rt__capability_unref(list[i]);
  free(list);
}

/* The declaration with `file`. */
static void build_one(rt_builder *b, const rt_capability *c) {
  rt_iter iter = rt_iter_of(rt_value_view(c->declaration));
  rt_view key, item;
  rt_builder_begin_map(b);
  while (rt_iter_next(&iter, &key, &item)) {
    rt_builder_view(b, key);
    rt_builder_view(b, item);
  }
  if (c->file) {
    rt_builder_key(b, "file");
    rt_builder_string(b, c->file);
  }
  rt_builder_end(b);
}

rt_err rt_registry_get(rt_registry *r, const char *name, rt_value **out,
                       rt_error *err) {
  rt_capability *c = NULL;
  *out = NULL;
  uv_mutex_lock(&r->lock);
  size_t at = find_locked(r, name);
  if (at < r->count) c = rt__capability_ref(r->list[at]);
  uv_mutex_unlock(&r->lock);
  if (!c) return rt_fail(err, RT_ENOTFOUND, "no capability '%s'", name);
  rt_builder *b = rt_builder_new();
  rt_err rc = b ? RT_OK : rt_fail(err, RT_ENOMEM, "no memory");
  if (b) build_one(b, c);
  if (b) rc = rt_builder_finish(b, out, err);
  rt_builder_free(b);
  rt__capability_unref(c);
  return rc;
}

rt_err rt_registry_list(rt_registry *registry, rt_value **out, rt_error *err) {
  rt_capability **list;
  size_t count;
  *out = NULL;
  rt_builder *b = rt_builder_new();
  if (!b) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_err rc = snapshot(registry, &list, &count);
  rt_builder_begin_array(b);
  for (size_t i = 0; i < count; i++) build_one(b, list[i]);
  rt_builder_end(b);
  if (rc == RT_OK) rc = rt_builder_finish(b, out, err);
  rt_builder_free(b);
  release(list, count);
  return rc;
}

rt_err rt_registry_target_tasks(rt_registry *registry, const char *class_name,
                                rt_value **out, rt_error *err) {
  rt_capability **list;
  size_t count, size = strlen(class_name);
  *out = NULL;
  if (size == 0) return rt_fail(err, RT_EINVAL, "class: expected a name");
  rt_builder *b = rt_builder_new();
  if (!b) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_err rc = rt__registry_all(registry, &list, &count);
  rt_builder_begin_array(b);
  for (size_t i = 0; i < count; i++)
    if (rt__capability_takes(list[i], class_name, size))
      rt_builder_string(b, list[i]->name);
  rt_builder_end(b);
  if (rc == RT_OK) rc = rt_builder_finish(b, out, err);
  rt_builder_free(b);
  release(list, count);
  return rc;
}
