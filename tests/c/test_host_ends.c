/* test_host_ends.c - how a runtime on a host's loop ends: freed from inside its
 * callbacks, stopped by another thread while nobody runs the loop; and main
 * scripts one after the other. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/host.h"
#include "dispatcher/executor.h"
#include "host_kit.h"

#define LIMIT_MS   HOST_LIMIT_MS
#define OUTPUT_MAX ((size_t)4 << 20) /* of the runtime */
#define SCRIPTS    20

typedef struct host {
  host_loop on;
  rt_runtime *rt;
  rt_bus *bus;
  bool gone;
  unsigned callbacks, after, ended, complaints;
} host;

static void on_log(rt_log_level level, const char *message,
                   const rt_value *fields, void *arg) {
  host *h = arg;
  (void)message, (void)fields;
  h->complaints += level >= RT_LOG_ERROR;
}

static void on_output(int fd, const char *text, size_t size, void *arg) {
  host *h = arg;
  (void)fd, (void)text, (void)size;
  h->callbacks++;
}

static void open_loop(host *h) {
  memset(h, 0, sizeof(*h));
  host_loop_open(&h->on);
}

static void open_host(host *h) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  open_loop(h);
  opts.workers = 2;
  opts.loop = &h->on.loop;
  opts.log = on_log;
  opts.log_arg = h;
  opts.output = on_output;
  opts.output_arg = h;
  if (rt_runtime_new(&h->rt, &opts, &err) != RT_OK) fail_msg("%s", err.message);
  h->bus = rt_runtime_bus(h->rt);
}

static void until_gone(host *h) {
  while (!h->gone) uv_run(&h->on.loop, UV_RUN_ONCE);
}

static void close_loop(host *h) {
  host_loop_close(&h->on);
}

/* --- freed from inside a callback ----------------------------------------- */

/* The rest is delivered inside of the free. */
static void let_go(host *h) {
  h->callbacks++;
  if (h->gone) return;
  h->gone = true;
  if (h->rt)
    rt_runtime_free(h->rt);
  else
    rt_bus_free(h->bus);
}

static void on_event(const rt_event *event, void *arg) {
  assert_string_equal(event->system, "shop");
  let_go(arg);
}

static void send_three(host *h) {
  uint64_t id;
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(
      rt_bus_subscribe(h->bus, &id, "shop", NULL, on_event, h, &err), RT_OK);
  for (int i = 0; i < 3; i++)
    assert_int_equal(rt_bus_send(h->bus, "shop", "sold", "1", NULL), RT_OK);
}

static void an_event_frees_the_runtime(void **state) {
  host h;
  (void)state;
  open_host(&h);
  send_three(&h);
  until_gone(&h);
  assert_int_equal(h.callbacks, 3);
  close_loop(&h);
}

static void an_event_frees_its_bus(void **state) {
  host h;
  rt_bus_opts opts = RT_BUS_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  (void)state;
  open_loop(&h);
  opts.loop = &h.on.loop;
  assert_int_equal(rt_bus_new(&h.bus, &opts, &err), RT_OK);
  send_three(&h);
  until_gone(&h);
  assert_int_equal(h.callbacks, 3);
  close_loop(&h);
}

static void on_mail(rt_runtime *rt, rt_pid self, const rt_mail *mail,
                    void *arg) {
  (void)rt, (void)self;
  assert_string_equal(mail->topic, "stop");
  let_go(arg);
}

static void on_ended(rt_pid self, void *arg) {
  host *h = arg;
  (void)self;
  assert_true(h->gone);
  h->ended++;
}

static void mail_frees_the_runtime(void **state) {
  host h;
  rt_pid pid;
  rt_process_opts opts = RT_PROCESS_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  (void)state;
  open_host(&h);
  opts.receive = on_mail;
  opts.ended = on_ended;
  opts.arg = &h;
  assert_int_equal(rt_process_start(h.rt, &pid, &opts, &err), RT_OK);
  for (int i = 0; i < 3; i++)
    assert_int_equal(rt_process_send(h.rt, pid, "stop", NULL, &err), RT_OK);
  until_gone(&h);
  assert_int_equal(h.callbacks, 3);
  assert_int_equal(h.ended, 1); /* after the last of them */
  close_loop(&h);
}

/* --- stopped by another thread -------------------------------------------- */

static void stop(void *arg) {
  rt_runtime_stop(((host *)arg)->rt, 0);
}

/* Who prints waits for the loop, which does not run: not for ever. */
static void another_thread_stops_it(void **state) {
  host h;
  rt_script script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  uv_thread_t thread;
  (void)state;
  open_host(&h);
  script.code = "while true do print(('x'):rep(65536)) end";
  script.code_size = strlen(script.code);
  assert_int_equal(rt_runtime_run_async(h.rt, &script, NULL, NULL, &err),
                   RT_OK);
  for (int ms = 0; rt__host_waiting(rt__runtime_host(h.rt)) < OUTPUT_MAX;
       ms++) {
    assert_true(ms < LIMIT_MS);
    uv_sleep(1);
  }
  assert_int_equal(uv_thread_create(&thread, stop, &h), 0);
  assert_int_equal(uv_thread_join(&thread), 0);
  rt_runtime_free(h.rt);
  assert_int_equal(h.complaints, 0); /* no worker was left behind */
  close_loop(&h);
}

/* --- one script after the other ------------------------------------------- */

typedef struct series {
  atomic_uint ended, failed;
} series;

/* Starts the next one from inside the callback of the one before. */
static void on_main(rt_runtime *rt, int exit_code, void *arg) {
  series *s = arg;
  rt_script script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  if (exit_code != 0) atomic_fetch_add(&s->failed, 1);
  if (atomic_fetch_add(&s->ended, 1) + 1 == SCRIPTS) return;
  script.code = "return 1";
  script.code_size = strlen(script.code);
  if (rt_runtime_run_async(rt, &script, on_main, s, &err) != RT_OK)
    atomic_fetch_add(&s->failed, 1);
}

static void scripts_in_a_row(void **state) {
  series s = {0, 0};
  rt_runtime *rt;
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  (void)state;
  opts.workers = 1;
  assert_int_equal(rt_runtime_new(&rt, &opts, NULL), RT_OK);
  on_main(rt, 0, &s);
  for (int i = 0; atomic_load(&s.ended) < SCRIPTS && i < LIMIT_MS / 10; i++)
    uv_sleep(10);
  rt_runtime_free(rt);
  assert_int_equal(atomic_load(&s.ended), SCRIPTS);
  assert_int_equal(atomic_load(&s.failed), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_event_frees_the_runtime),
      cmocka_unit_test(an_event_frees_its_bus),
      cmocka_unit_test(mail_frees_the_runtime),
      cmocka_unit_test(another_thread_stops_it),
      cmocka_unit_test(scripts_in_a_row),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
