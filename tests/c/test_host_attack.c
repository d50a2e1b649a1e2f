/* test_host_attack.c - callbacks that do what they may: take themselves away,
 * close what calls them, free the runtime; and loops that do not run as they
 * should. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host_kit.h"

typedef struct host {
  host_loop on;
  rt_runtime *rt;
  rt_bus *bus;
  rt_session *session;
  rt_subscriber *subscriber;
  rt_router *router;
  uint64_t id;
  char dir[64];
  unsigned heard, replies, ends;
  bool free_at_reply; /* the runtime, from inside the next reply */
  rt_err code;
} host;

static void open_host(host *h) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  memset(h, 0, sizeof(*h));
  host_loop_open(&h->on);
  host_make_dir(h->dir);
  opts.workers = 2;
  opts.loop = &h->on.loop;
  if (rt_runtime_new(&h->rt, &opts, &err) != RT_OK) fail_msg("%s", err.message);
  h->bus = rt_runtime_bus(h->rt);
}

static void free_rt(host *h) {
  rt_runtime_free(h->rt);
  h->rt = NULL;
}

static void close_host(host *h) {
  free_rt(h);
  host_loop_close(&h->on);
  host_remove_dir(h->dir);
}

static void sell(host *h, int times) {
  while (times-- > 0)
    assert_int_equal(rt_bus_send(h->bus, "shop", "sold", "1", NULL), RT_OK);
}

/* Until what was sent so far has been heard. */
static void on_flush(const rt_event *event, void *arg) {
  (void)event;
  ++*(unsigned *)arg;
}

static void flush(host *h) {
  unsigned seen = 0;
  uint64_t id;
  assert_int_equal(
      rt_bus_subscribe(h->bus, &id, "flush", NULL, on_flush, &seen, NULL),
      RT_OK);
  assert_int_equal(rt_bus_send(h->bus, "flush", "x", "y", NULL), RT_OK);
  host_loop_until(&h->on, &seen, 1);
  rt_bus_unsubscribe(h->bus, id);
}

/* --- subscriptions that take themselves away ------------------------------ */

static void on_once(const rt_event *event, void *arg) {
  host *h = arg;
  (void)event;
  h->heard++;
  rt_bus_unsubscribe(h->bus, h->id);
  rt_bus_unsubscribe(h->bus, h->id);
}

static void on_once_subscriber(const rt_event *event, void *arg) {
  host *h = arg;
  (void)event;
  h->heard++;
  rt_subscriber_close(h->subscriber);
  h->subscriber = NULL;
}

static rt_err on_once_routed(const rt_event *event, void *arg, rt_error *err) {
  host *h = arg;
  (void)event;
  h->heard++;
  rt_router_free(h->router);
  h->router = NULL;
  return rt_fail(err, RT_EUNAVAIL, "after the free");
}

static void on_failed(const rt_event *event, const rt_error *why, void *arg) {
  host *h = arg;
  assert_string_equal(event->system, "shop");
  assert_string_equal(why->message, "after the free");
  h->replies++;
}

static void on_first(const rt_event *event, void *arg) {
  host *h = arg;
  (void)event;
  h->heard++;
  rt_bus_unsubscribe(h->bus, h->id);
  assert_int_equal(
      rt_bus_subscribe(h->bus, &h->id, "shop", NULL, on_once, h, NULL), RT_OK);
  sell(h, 1);
}

static void once_each(void **state) {
  host h;
  (void)state;
  open_host(&h);
  rt_bus_subscribe(h.bus, &h.id, "shop", NULL, on_once, &h, NULL);
  sell(&h, 3);
  flush(&h);
  assert_int_equal(h.heard, 1);
  rt_subscriber_new(&h.subscriber, h.bus, "shop", NULL, on_once_subscriber, &h,
                    NULL);
  sell(&h, 3);
  flush(&h);
  assert_int_equal(h.heard, 2);
  rt_router_new(&h.router, h.bus, on_failed, &h, NULL);
  rt_router_add(h.router, "shop", NULL, on_once_routed, &h, NULL);
  sell(&h, 3);
  flush(&h);
  assert_int_equal(h.heard, 3);
  assert_int_equal(h.replies, 1);
  rt_bus_subscribe(h.bus, &h.id, "shop", NULL, on_first, &h, NULL);
  sell(&h, 1);
  flush(&h);
  flush(&h); /* what was sent from inside */
  assert_int_equal(h.heard, 5);
  close_host(&h);
}

/* What is queued when it is taken away from another thread. */
typedef struct remover {
  host *h;
  atomic_bool done;
} remover;

static void remove_it(void *arg) {
  remover *r = arg;
  rt_bus_unsubscribe(r->h->bus, r->h->id);
  atomic_store(&r->done, true);
}

static void on_slow(const rt_event *event, void *arg) {
  remover *r = arg;
  (void)event;
  uv_sleep(20);
  assert_false(atomic_load(&r->done)); /* it waits for us */
  r->h->heard++;
}

static void taken_away_by_another_thread(void **state) {
  host h;
  remover r = {&h, false};
  uv_thread_t thread;
  (void)state;
  open_host(&h);
  rt_bus_subscribe(h.bus, &h.id, "shop", NULL, on_slow, &r, NULL);
  sell(&h, 50);
  uv_run(&h.on.loop, UV_RUN_NOWAIT);
  assert_int_equal(uv_thread_create(&thread, remove_it, &r), 0);
  while (!atomic_load(&r.done)) uv_run(&h.on.loop, UV_RUN_NOWAIT);
  uv_thread_join(&thread);
  unsigned before = h.heard;
  flush(&h);
  assert_int_equal(h.heard, before);
  close_host(&h);
}

/* --- sessions from inside their replies ----------------------------------- */

static void on_invoke(rt_job *job, void *arg) {
  (void)arg;
  rt_job_complete(job, NULL);
}

static void add_capability(host *h, rt_invoke_fn invoke) {
  static const char *const in[] = {"a"}, *const out[] = {"b"};
  rt_capability_opts opts = RT_CAPABILITY_OPTS_INIT;
  opts.name = "from-c";
  opts.input = in;
  opts.input_count = 1;
  opts.output = out;
  opts.output_count = 1;
  opts.invoke = invoke;
  opts.arg = h;
  assert_int_equal(rt_registry_add(rt_runtime_registry(h->rt), &opts, NULL),
                   RT_OK);
}

static void on_reply(rt_err code, const rt_error *err, rt_value *result,
                     void *arg) {
  host *h = arg;
  (void)err;
  rt_value_unref(result);
  h->code = code;
  h->replies++;
  if (!h->free_at_reply) return;
  h->free_at_reply = false;
  free_rt(h);
}

static void on_opened(rt_err code, const rt_error *err, rt_session *session,
                      void *arg) {
  if (code != RT_OK) fail_msg("%s", err->message);
  ((host *)arg)->session = session;
  ((host *)arg)->replies++;
}

static void open_session(host *h) {
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  opts.name = "one";
  opts.dir = h->dir;
  unsigned before = h->replies;
  rt_session_open_async(h->rt, &opts, on_opened, h);
  host_loop_until(&h->on, &h->replies, before + 1);
}

static void dispatch(host *h, rt_reply_fn fn) {
  rt_value *asset = host_json("{\"class\":\"a\",\"value\":\"1\"}");
  rt_session_dispatch_async(h->session, asset, NULL, fn, h);
  rt_value_unref(asset);
}

/* Closed, and let go of, inside the callback that tells that it is finished. */
static void on_finished(rt_err code, const rt_error *err, rt_value *result,
                        void *arg) {
  host *h = arg;
  (void)err;
  assert_int_equal(code, RT_OK);
  rt_value_unref(result);
  rt_session_close_async(h->session, on_reply, h);
  rt_session_close_async(h->session, on_reply, h);
  rt_session_unref(h->session);
  h->session = NULL;
}

static void a_session_closed_by_its_reply(void **state) {
  host h;
  (void)state;
  open_host(&h);
  add_capability(&h, on_invoke);
  open_session(&h);
  dispatch(&h, NULL);
  rt_session_wait_async(h.session, on_finished, &h);
  host_loop_until(&h.on, &h.replies, 3);
  open_session(&h); /* its file is free again */
  rt_session_unref(h.session);
  close_host(&h);
}

/* The waiting close, from inside of a reply: the engine does not need us. */
static void on_finished_wait(rt_err code, const rt_error *err, rt_value *result,
                             void *arg) {
  host *h = arg;
  (void)code, (void)err;
  rt_value_unref(result);
  rt_session_close(h->session);
  assert_true(rt_session_done(h->session));
  rt_session_unref(h->session);
  h->replies++;
}

static void a_session_closed_waiting(void **state) {
  host h;
  (void)state;
  open_host(&h);
  add_capability(&h, on_invoke);
  open_session(&h);
  dispatch(&h, NULL);
  rt_session_wait_async(h.session, on_finished_wait, &h);
  host_loop_until(&h.on, &h.replies, 2);
  close_host(&h);
}

static void freed_by_a_reply(void **state) {
  host h;
  (void)state;
  open_host(&h);
  add_capability(&h, on_invoke);
  open_session(&h);
  rt_session *session = h.session;
  h.free_at_reply = true;
  for (int i = 0; i < 5; i++) dispatch(&h, on_reply);
  rt_session_wait_async(session, on_reply, &h);
  rt_session_stats_async(session, on_reply, &h);
  host_loop_until(&h.on, &h.replies, 8); /* each is told */
  assert_null(h.rt);
  dispatch(&h, on_reply); /* a handle of what is gone */
  assert_int_equal(h.replies, 9);
  assert_true(h.code == RT_ECANCELED || h.code == RT_ECLOSED);
  rt_session_close(session);
  rt_session_unref(session);
  close_host(&h);
}

/* --- commits ---------------------------------------------------------------
 */

typedef struct committer {
  host *h;
  atomic_bool done;
  atomic_uint calls;
} committer;

static void on_commit(int64_t last, void *arg) {
  committer *c = arg;
  (void)last;
  atomic_fetch_add(&c->calls, 1);
  uv_sleep(5);
  assert_false(atomic_load(&c->done));
}

static void stop_commits(void *arg) {
  committer *c = arg;
  rt_session_on_commit(c->h->session, NULL, NULL);
  atomic_store(&c->done, true);
}

/* From another thread: when it returns nothing runs, and nothing will. */
static void commits_taken_away_by_another_thread(void **state) {
  (void)state;
  for (int round = 0; round < 10; round++) {
    host h;
    committer c = {&h, false, 0};
    uv_thread_t thread;
    open_host(&h);
    open_session(&h);
    rt_session_on_commit(h.session, on_commit, &c);
    for (int i = 0; i < 20; i++) {
      char json[60];
      snprintf(json, sizeof(json), "{\"class\":\"a\",\"value\":\"%d\"}", i);
      rt_value *asset = host_json(json);
      rt_session_dispatch_async(h.session, asset, NULL, on_reply, &h);
      rt_value_unref(asset);
    }
    host_loop_until(&h.on, &h.replies, 2);
    assert_int_equal(uv_thread_create(&thread, stop_commits, &c), 0);
    while (!atomic_load(&c.done)) uv_run(&h.on.loop, UV_RUN_NOWAIT);
    uv_thread_join(&thread);
    unsigned before = atomic_load(&c.calls);
    host_loop_until(&h.on, &h.replies, 21);
    rt_session_close(h.session);
    uv_run(&h.on.loop, UV_RUN_NOWAIT);
    assert_int_equal(atomic_load(&c.calls), before);
    rt_session_unref(h.session);
    close_host(&h);
  }
}

/* --- scripts ----------------------------------------------------------------
 */

static void on_call(rt_call *call, const rt_value *args, void *arg) {
  ((host *)arg)->heard++;
  rt_call_return(call, args);
}

static void add_module(host *h) {
  static const char name[] = "host";
  rt_function function = {"f", on_call, h};
  rt_module_opts opts = RT_MODULE_OPTS_INIT;
  opts.name = name;
  opts.functions = &function;
  opts.function_count = 1;
  assert_int_equal(rt_runtime_add_module(h->rt, &opts, NULL), RT_OK);
}

static void on_exit_of(rt_pid pid, rt_value *result, rt_value *error,
                       void *arg) {
  (void)pid;
  rt_value_unref(result);
  rt_value_unref(error);
  ((host *)arg)->ends++;
}

static void start(host *h, const char *code) {
  rt_pid pid;
  assert_int_equal(rt_process_spawn_code(h->rt, &pid, code, strlen(code),
                                         "test", NULL, on_exit_of, h, NULL),
                   RT_OK);
}

/* --- a loop that is not run as it should be --------------------------------
 */

/* Stopped early: what is queued is told inside of the free. */
static void a_loop_that_stopped_early(void **state) {
  host h;
  (void)state;
  open_host(&h);
  add_capability(&h, on_invoke);
  open_session(&h);
  rt_session *session = h.session;
  for (int i = 0; i < 3; i++) dispatch(&h, on_reply);
  start(&h, "return 1");
  rt_session_wait_async(session, on_reply, &h);
  uv_stop(&h.on.loop);
  uv_run(&h.on.loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&h.on.loop), UV_EBUSY);
  free_rt(&h);
  assert_int_equal(h.replies, 5);
  assert_int_equal(h.ends, 1);
  rt_session_close(session);
  rt_session_unref(session);
  close_host(&h);
}

/* Too many calls for a loop that stands still are refused. */
static void calls_that_wait_are_bounded(void **state) {
  static const char code[] =
      "local f, refused = require('host').f, 0\n"
      "local big = ('x'):rep(2 * 1024 * 1024)\n"
      "for i = 1, 100 do\n"
      "  coroutine.spawn(function()\n"
      "    local ok, err = f(big)\n"
      "    if not ok and err and err:kind() == 'UNAVAILABLE' then\n"
      "      refused = refused + 1\n"
      "    end\n"
      "  end)\n"
      "end\n"
      "local time = require('time')\n"
      "while refused == 0 do time.sleep(0.001) end\n"
      "require('events').send('refused', 'some', 'x')\n"
      "time.sleep(3600)";
  host h;
  uint64_t id;
  rt_bus_stats stats;
  (void)state;
  open_host(&h);
  add_module(&h);
  rt_bus_subscribe(h.bus, &id, "refused", NULL, on_flush, &h.ends, NULL);
  start(&h, code);
  for (int ms = 0;; ms++) { /* the loop does not run */
    rt_bus_get_stats(h.bus, &stats);
    if (stats.delivered > 0) break;
    assert_true(ms < HOST_LIMIT_MS);
    uv_sleep(1);
  }
  assert_int_equal(h.heard, 0);
  rt_runtime_stop(h.rt, 0);
  host_loop_until(&h.on, &h.heard, 20); /* what had room is called */
  close_host(&h);
}

/* --- fork ------------------------------------------------------------------
 */

static void on_fork(const rt_event *event, void *arg) {
  host *h = arg;
  int status = 0;
  (void)event;
  pid_t child = fork();
  if (child == 0) _exit(7); /* nothing of ours acts in there */
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(WEXITSTATUS(status), 7);
  h->heard++;
}

static void a_host_that_forks(void **state) {
  host h;
  (void)state;
  open_host(&h);
  rt_bus_subscribe(h.bus, &h.id, "shop", NULL, on_fork, &h, NULL);
  sell(&h, 3);
  start(&h, "local t = 0 for i = 1, 1e6 do t = t + i end return t");
  flush(&h);
  host_loop_until(&h.on, &h.ends, 1);
  assert_int_equal(h.heard, 3);
  close_host(&h);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(once_each),
      cmocka_unit_test(taken_away_by_another_thread),
      cmocka_unit_test(a_session_closed_by_its_reply),
      cmocka_unit_test(a_session_closed_waiting),
      cmocka_unit_test(freed_by_a_reply),
      cmocka_unit_test(commits_taken_away_by_another_thread),
      cmocka_unit_test(a_loop_that_stopped_early),
      cmocka_unit_test(calls_that_wait_are_bounded),
      cmocka_unit_test(a_host_that_forks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
