/* engine_kit.c - see engine_kit.h. SPDX-License-Identifier: MIT */
#include "engine_kit.h"

#include <dirent.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <uv.h>

#define THREADS 4

typedef struct task {
  struct task *next;
  rt__order *order;
  rt__prepare *batch;
} task;

typedef struct pool {
  uv_thread_t threads[THREADS];
  uv_mutex_t lock;
  uv_cond_t wake;
  task *first, **last;
  bool stop;
  struct {
    char name[64];
    kit_opts opts;
  } caps[16];
  size_t cap_count;
} pool;

/* --- the executor ------------------------------------------------------------
 */
static void push(pool *p, rt__order *order, rt__prepare *batch) {
  task *t = calloc(1, sizeof(*t));
  t->order = order;
  t->batch = batch;
  uv_mutex_lock(&p->lock);
  *p->last = t;
  p->last = &t->next;
  uv_cond_signal(&p->wake);
  uv_mutex_unlock(&p->lock);
}

static void on_start(void *self, rt__order *order) {
  push(((kit *)self)->pool, order, NULL);
}

static void on_prepare(void *self, rt__prepare *batch) {
  push(((kit *)self)->pool, NULL, batch);
}

static void on_cancel(void *self, rt_session *session, rt__lease lease,
                      const char *reason, bool kill) {
  (void)self, (void)session, (void)lease, (void)reason, (void)kill;
}

static kit_opts opts_of(pool *p, const char *name) {
  kit_opts none = {0};
  uv_mutex_lock(&p->lock);
  for (size_t i = 0; i < p->cap_count; i++) {
    if (strcmp(p->caps[i].name, name) == 0) none = p->caps[i].opts;
  }
  uv_mutex_unlock(&p->lock);
  return none;
}

static void copy_value(const rt_value *asset, char *out, size_t size) {
  size_t n = 0;
  const char *text =
      rt_view_string(rt_view_get(rt_value_view(asset), "value"), &n);
  snprintf(out, size, "%.*s", (int)n, text ? text : "");
}

static void run_order(kit *k, rt__order *order) {
  kit_job job = {.k = k, .order = order};
  copy_value(order->asset, job.value, sizeof(job.value));
  kit_opts opts = opts_of(k->pool, order->capability->name);
  rt__end end = {
      .lease = order->lease, .kind = RT__END_COMPLETED, .seconds = 1e-5};
  (opts.fn ? opts.fn : kit_expand)(&job, &end);
  rt__engine_end(order->engine, order->session, &end);
  rt__order_free(order);
}

static void run_prepare(rt__prepare *batch) {
  for (size_t i = 0; i < batch->count; i++) {
    rt__prepare_item *item = &batch->items[i];
    char value[256];
    copy_value(item->asset, value, sizeof(value));
    if (batch->capability->has_match && value[0] == 'x') {
      item->skip = true;
      item->reason = strdup("begins with x");
    }
    if (batch->capability->has_rate_key) {
      value[strcspn(value, ".")] = '\0';
      item->rate_key = strdup(value);
    }
  }
  rt__engine_prepared(batch->engine, batch);
}

static void pool_thread(void *arg) {
  kit *k = arg;
  pool *p = k->pool;
  for (;;) {
    uv_mutex_lock(&p->lock);
    while (!p->first && !p->stop) uv_cond_wait(&p->wake, &p->lock);
    task *t = p->first;
    if (t) p->first = t->next;
    if (!p->first) p->last = &p->first;
    uv_mutex_unlock(&p->lock);
    if (!t) return;
    if (t->order) run_order(k, t->order);
    if (t->batch) run_prepare(t->batch);
    free(t);
  }
}

/* --- life ------------------------------------------------------------ */
kit *kit_start_in(const char *dir) {
  kit *k = calloc(1, sizeof(*k));
  pool *p = calloc(1, sizeof(*p));
  snprintf(k->dir, sizeof(k->dir), "%s", dir);
  k->pool = p;
  p->last = &p->first;
  uv_mutex_init(&p->lock);
  uv_cond_init(&p->wake);
  rt__executor executor = {k, on_start, on_prepare, on_cancel, NULL};
  KIT_OK(rt_bus_new(&k->bus, NULL, err));
  KIT_OK(rt__registry_new(&k->registry, NULL, err));
  KIT_OK(rt__engine_new(&k->engine, NULL, k->bus, k->registry, &executor, err));
  for (int i = 0; i < THREADS; i++) {
    uv_thread_create(&p->threads[i], pool_thread, k);
  }
  return k;
}

kit *kit_start(void **state) {
  char dir[] = "/tmp/engine-XXXXXX";
  (void)state;
  assert_non_null(mkdtemp(dir));
  return kit_start_in(dir);
}

void kit_stop_keep(kit *k) {
  pool *p = k->pool;
  rt__engine_stop(k->engine, 5);
  uv_mutex_lock(&p->lock);
  p->stop = true;
  uv_cond_broadcast(&p->wake);
  uv_mutex_unlock(&p->lock);
  for (int i = 0; i < THREADS; i++) uv_thread_join(&p->threads[i]);
  rt__engine_free(k->engine);
  rt__registry_free(k->registry);
  rt_bus_free(k->bus);
  uv_cond_destroy(&p->wake);
  uv_mutex_destroy(&p->lock);
  free(p);
  free(k);
}

static void remove_dir(const char *dir) {
  DIR *d = opendir(dir);
  struct dirent *entry;
  while (d && (entry = readdir(d))) {
    char path[400];
    snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
    unlink(path);
  }
  if (d) closedir(d);
  rmdir(dir);
}

void kit_stop(kit *k) {
  char dir[64];
  memcpy(dir, k->dir, sizeof(dir));
  kit_stop_keep(k);
  remove_dir(dir);
}

void kit_never(rt_job *job, void *arg) {
  (void)job, (void)arg;
}

static bool match_any(const rt_value *asset, char *why, size_t size,
                      void *arg) {
  (void)asset, (void)why, (void)size, (void)arg;
  return true;
}

void kit_fn_of(kit *k, const char *name, kit_fn fn) {
  pool *p = k->pool;
  uv_mutex_lock(&p->lock);
  snprintf(p->caps[p->cap_count].name, 64, "%s", name);
  p->caps[p->cap_count++].opts = (kit_opts){.fn = fn};
  uv_mutex_unlock(&p->lock);
}

void kit_cap(kit *k, const char *name, kit_opts opts) {
  kit_fn_of(k, name, opts.fn);
  const char *input = opts.input ? opts.input : "node";
  const char *output = opts.output ? opts.output : "node";
  rt_capability_opts o = RT_CAPABILITY_OPTS_INIT;
  o.name = name;
  o.input = &input;
  o.input_count = 1;
  o.output = &output;
  o.output_count = 1;
  o.priority = opts.priority;
  o.max_instances = opts.max_instances;
  o.retries = opts.retries;
  o.rate = opts.rate;
  o.rerun = opts.rerun;
  o.version = opts.version;
  o.match = opts.match ? match_any : NULL;
  o.invoke = kit_never;
  KIT_OK(rt_registry_add(k->registry, &o, err));
}

/* --- sessions -------------------------------------------------------- */
rt_session *kit_open(kit *k, const char *name, const rt_session_opts *opts) {
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_session *s = NULL;
  if (opts) o = *opts;
  o.name = name;
  o.dir = k->dir;
  KIT_OK(rt__session_open(&s, k->engine, &o, err));
  return s;
}

static rt_value *asset_of(const char *class_, const char *value) {
  rt_value *asset = NULL;
  rt_builder *b = rt_builder_new();
  rt_builder_begin_map(b);
  rt_builder_key(b, "class");
  rt_builder_string(b, class_);
  rt_builder_key(b, "value");
  rt_builder_string(b, value);
  rt_builder_end(b);
  KIT_OK(rt_builder_finish(b, &asset, err));
  rt_builder_free(b);
  return asset;
}

int kit_dispatch(rt_session *s, const char *class_, const char *value) {
  rt_outcome outcome = RT_QUEUED;
  rt_value *asset = asset_of(class_, value);
  rt_err rc = rt_session_dispatch(s, asset, NULL, &outcome, NULL);
  rt_value_unref(asset);
  return rc == RT_OK ? (int)outcome : (int)rc;
}

void kit_on_waited(rt_err code, const rt_error *err, rt_value *result,
                   void *arg) {
  (void)err;
  assert_int_equal(code, RT_OK);
  atomic_store((atomic_int *)arg,
               (int)rt_view_int(rt_view_get(rt_value_view(result), "done"), 0));
  rt_value_unref(result);
}

void kit_wait(rt_session *s) {
  KIT_OK(rt_session_wait(s, 250, NULL, err));
}

rt_value *kit_stats(rt_session *s) {
  rt_value *stats = NULL;
  KIT_OK(rt_session_stats(s, &stats, err));
  return stats;
}

int64_t kit_stat(rt_session *s, const char *name) {
  rt_value *stats = kit_stats(s);
  int64_t value = rt_view_int(rt_view_get(rt_value_view(stats), name), -1);
  rt_value_unref(stats);
  return value;
}

/* Those stored, each once: the keys are compared too. */
int64_t kit_assets(kit *k, const char *session) {
  rt_report *report = NULL;
  int64_t after = 0, count = 0;
  KIT_OK(rt_report_open(&report, k->dir, session, err));
  for (;;) {
    rt_value *page = NULL;
    KIT_OK(rt_report_assets(report, after, NULL, 500, &page, err));
    rt_iter iter = rt_iter_of(rt_value_view(page));
    rt_view item;
    uint32_t got = rt_view_count(rt_value_view(page));
    while (rt_iter_next(&iter, NULL, &item)) {
      after = rt_view_int(rt_view_get(item, "id"), 0);
    }
    rt_value_unref(page);
    count += got;
    if (got == 0) break;
  }
  rt_report_close(report);
  return count;
}

void kit_close(rt_session *s) {
  rt_session_close(s);
  rt_session_unref(s);
}

/* --- jobs ------------------------------------------------------------ */
typedef struct sending {
  uv_mutex_t lock;
  uv_cond_t wake;
  bool done;
  const char *text;
} sending;

static void on_sent(rt_err code, const rt_error *err, rt_value *result,
                    void *arg) {
  sending *s = arg;
  size_t size = 0;
  const char *text =
      rt_view_string(rt_view_at(rt_value_view(result), 0), &size);
  (void)err;
  uv_mutex_lock(&s->lock);
  s->text = rt_status_kind(code);
  for (int i = RT_QUEUED; code == RT_OK && i <= RT_OVER_LIMIT; i++) {
    const char *name = rt_outcome_text((rt_outcome)i);
    if (strlen(name) == size && memcmp(name, text, size) == 0) s->text = name;
  }
  s->done = true;
  uv_cond_signal(&s->wake);
  uv_mutex_unlock(&s->lock);
  rt_value_unref(result);
}

const char *kit_send(kit_job *job, const char *class_, const char *value) {
  sending s = {.done = false};
  uv_mutex_init(&s.lock);
  uv_cond_init(&s.wake);
  rt_value *asset = asset_of(class_, value);
  rt__engine_send(job->order->engine, job->order->session, job->order->lease,
                  asset, on_sent, &s);
  rt_value_unref(asset);
  uv_mutex_lock(&s.lock);
  while (!s.done) uv_cond_wait(&s.wake, &s.lock);
  uv_mutex_unlock(&s.lock);
  uv_cond_destroy(&s.wake);
  uv_mutex_destroy(&s.lock);
  return s.text;
}

void kit_expand(kit_job *job, rt__end *end) {
  (void)end;
  long n = atol(job->value);
  for (long child = 2 * n; child <= 2 * n + 1 && child <= KIT_NODES; child++) {
    char text[32];
    snprintf(text, sizeof(text), "%ld", child);
    kit_send(job, "node", text);
  }
}

rt_value *kit_error(const char *message, const char *kind, bool retryable) {
  rt_value *value = NULL;
  rt_builder *b = rt_builder_new();
  rt_builder_begin_map(b);
  rt_builder_key(b, "message");
  rt_builder_string(b, message);
  rt_builder_key(b, "kind");
  rt_builder_string(b, kind);
  rt_builder_key(b, "retryable");
  rt_builder_bool(b, retryable);
  rt_builder_end(b);
  KIT_OK(rt_builder_finish(b, &value, err));
  rt_builder_free(b);
  return value;
}

void kit_main(int argc, char **argv) {
  (void)argc, (void)argv;
  alarm(590);
}
