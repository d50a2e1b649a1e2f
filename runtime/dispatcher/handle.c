/* handle.c - the session's handle: made of its options, shared by reference.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dispatcher/internal.h"
#include "dispatcher/session.h"
#include "store/paths.h"

#define CONCURRENCY 256
#define GRACE       5.0

static bool copy_names(char ***out, size_t *out_count, const char *const *names,
                       size_t count) {
  if (!names) return true;
  *out = calloc(count ? count : 1, sizeof(**out));
  if (!*out) return false;
  for (size_t i = 0; i < count; i++) {
    (*out)[i] = strdup(names[i]);
    if (!(*out)[i]) return false;
    (*out_count)++;
  }
  return true;
}

static void free_names(char **names, size_t count) {
  for (size_t i = 0; i < count; i++) free(names[i]);
  free(names);
}

#define PATIENCE    60.0
#define MAX_JOURNAL (512ll << 20)

static void copy_opts(rt_session *s, const rt_session_opts *o) {
  s->mode = o->mode;
  s->sync_normal = o->sync_normal;
  s->patience = o->patience ? o->patience : PATIENCE;
  s->max_journal = o->max_journal ? o->max_journal : MAX_JOURNAL;
  s->max_depth = o->max_depth;
  s->max_assets = o->max_assets;
  s->max_fanout = o->max_fanout;
  s->max_descendants = o->max_descendants;
  s->max_repeats = o->max_repeats;
  s->concurrency = o->concurrency ? o->concurrency : CONCURRENCY;
  s->deadline = o->deadline;
  s->grace = o->grace > 0 ? o->grace : GRACE;
  s->paused = o->paused;
  s->options = rt_value_ref(o->options);
  s->config = rt_value_ref(o->config);
}

rt_err rt__session_new(rt_session **out, rt__port *port,
                       const rt_session_opts *opts, rt_error *err) {
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  *out = NULL;
  if (!opts) return rt_fail(err, RT_EINVAL, "a session needs a name");
  memcpy(&o, opts, opts->size < sizeof(o) ? opts->size : sizeof(o));
  rt_err rc = rt__session_name_check(o.name, err);
  if (rc != RT_OK) return rc;
  rt_session *s = calloc(1, sizeof(*s));
  if (!s) return rt_fail(err, RT_ENOMEM, "no memory");
  if (uv_mutex_init(&s->commit_lock) < 0) {
    free(s);
    return rt_fail(err, RT_ENOMEM, "no memory");
  }
  atomic_init(&s->refs, 1);
  s->port = rt__port_ref(port);
  s->name = strdup(o.name);
  s->dir = strdup(o.dir && *o.dir ? o.dir : RT__DIR_DEFAULT);
  s->replies_last = &s->replies;
  copy_opts(s, &o);
  bool good =
      s->name && s->dir &&
      copy_names(&s->only, &s->only_count, o.only, o.only_count) &&
      copy_names(&s->without, &s->without_count, o.without, o.without_count);
  rc = good ? rt__scope_init(&s->scope, o.scope, o.scope_count, err)
            : rt_fail(err, RT_ENOMEM, "no memory");
  if (rc != RT_OK) {
    rt_session_unref(s);
    return rc;
  }
  *out = s;
  return RT_OK;
}

rt_session *rt_session_ref(rt_session *s) {
  if (s) atomic_fetch_add(&s->refs, 1);
  return s;
}

void rt_session_unref(rt_session *s) {
  if (!s || atomic_fetch_sub(&s->refs, 1) != 1) return;
  free_names(s->only, s->only_count);
  free_names(s->without, s->without_count);
  rt__scope_deinit(&s->scope);
  rt_value_unref(s->options);
  rt_value_unref(s->config);
  rt__session_forget_commit(s);
  rt__port_unref(s->port);
  uv_mutex_destroy(&s->commit_lock);
  free(s->reason);
  free(s->name);
  free(s->dir);
  free(s);
}

const char *rt_session_name(const rt_session *s) {
  return s->name;
}

bool rt_session_done(const rt_session *s) {
  return atomic_load(&s->done);
}

const char *rt_outcome_text(rt_outcome outcome) {
  static const char *const texts[] = {
      "queued", "started", "stored", "duplicate", "out_of_scope", "over_limit"};
  return texts[outcome];
}
