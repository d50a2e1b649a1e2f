/* test_native.c - processes and modules in C, memory and limits of the host.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "rt/rt.h"
#include "runner.h"

static void check_run(runner *r, const char *code, const char *output) {
  int exit_code = runner_run(r, code);
  const char *got = runner_output(r);
  if (exit_code != 0 || strcmp(got, output) != 0)
    fail_msg("exit code %d, output: %s", exit_code, got);
}

/* --- processes in C with a callback --------------------------------------- */

typedef struct echo {
  atomic_uint messages, cancels, exits, ended;
  atomic_uint_fast64_t last;
} echo;

static void on_echo(rt_runtime *rt, rt_pid self, const rt_mail *mail,
                    void *arg) {
  echo *e = arg;
  if (mail->kind == RT_MAIL_CANCEL) {
    atomic_fetch_add(&e->cancels, 1);
    rt_process_end(rt, self, NULL, NULL);
    return;
  }
  if (mail->kind == RT_MAIL_EXIT) {
    atomic_store(&e->last, mail->from);
    atomic_fetch_add(&e->exits, 1);
    return;
  }
  atomic_fetch_add(&e->messages, 1);
  rt_process_send_as(rt, self, mail->from, mail->topic, mail->payloads, NULL);
}

static void on_ended(rt_pid self, void *arg) {
  echo *e = arg;
  (void)self;
  atomic_fetch_add(&e->ended, 1);
}

static rt_pid start_echo(rt_runtime *rt, echo *e, const char *name) {
  rt_process_opts opts = RT_PROCESS_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_pid pid;
  opts.name = name;
  opts.receive = on_echo;
  opts.ended = on_ended;
  opts.arg = e;
  if (rt_process_start(rt, &pid, &opts, &err) != RT_OK)
    fail_msg("%s", err.message);
  return pid;
}

static void lua_talks_to_c(void **state) {
  runner *r = runner_new(2, 0);
  echo e = {0};
  (void)state;
  rt_pid pid = start_echo(runner_runtime(r), &e, "echo");
  check_run(r,
            "local answers = process.listen('ping', {message = true})\n"
            "local echo = process.registry.lookup('echo')\n"
            "for i = 1, 100 do\n"
            "  assert(process.send(i % 2 == 0 and 'echo' or echo, 'ping', i))\n"
            "  local m = answers:receive()\n"
            "  assert(m:from() == echo and m:payload() == i)\n"
            "end\n"
            "print('good')",
            "good\n");
  assert_int_equal(atomic_load(&e.messages), 100);
  assert_int_equal(rt_process_lookup(runner_runtime(r), "echo"), pid);
  assert_int_equal(rt_process_end(runner_runtime(r), pid, NULL, NULL), RT_OK);
  assert_int_equal(atomic_load(&e.ended), 1);
  assert_int_equal(rt_process_lookup(runner_runtime(r), "echo"), 0);
  assert_int_equal(rt_process_end(runner_runtime(r), pid, NULL, NULL),
                   RT_ENOTFOUND);
  assert_int_equal(rt_process_send(runner_runtime(r), pid, "ping", NULL, NULL),
                   RT_ENOTFOUND);
  runner_free(r);
  assert_int_equal(atomic_load(&e.ended), 1);
}

static void lua_watches_c(void **state) {
  runner *r = runner_new(2, 0);
  echo e = {0};
  (void)state;
  start_echo(runner_runtime(r), &e, "echo");
  check_run(r,
            "local events = process.events()\n"
            "local echo = process.registry.lookup('echo')\n"
            "assert(process.monitor(echo))\n"
            "assert(process.cancel(echo, 'enough'))\n"
            "local e = events:receive()\n"
            "assert(e.kind == process.event.EXIT and e.from == echo)\n"
            "assert(process.monitor(echo))\n"
            "e = events:receive()\n"
            "print(e.kind == process.event.EXIT, e.result.error:kind())",
            "true\tNOT_FOUND\n");
  assert_int_equal(atomic_load(&e.cancels), 1);
  assert_int_equal(atomic_load(&e.ended), 1);
  runner_free(r);
}

static void links_end_lua(void **state) {
  runner *r = runner_new(1, 0);
  echo e = {0};
  (void)state;
  start_echo(runner_runtime(r), &e, "echo");
  check_run(r,
            "local events = process.events()\n"
            "local child = process.spawn_monitored(function()\n"
            "  process.link(process.registry.lookup('echo'))\n"
            "  process.registry.register('linked')\n"
            "  process.inbox():receive()\n"
            "end)\n"
            "while not process.registry.lookup('linked') do\n"
            "  require('time').sleep(0.001)\n"
            "end\n"
            "assert(process.terminate(process.registry.lookup('echo')))\n"
            "local e = events:receive()\n"
            "print(e.from == child, e.result.error:kind())",
            "true\tCANCELED\n");
  assert_int_equal(atomic_load(&e.ended), 1);
  runner_free(r);
}

static bool comes_true(atomic_uint *count, unsigned at_least) {
  uint64_t end = uv_hrtime() + 30000000000u;
  while (atomic_load(count) < at_least && uv_hrtime() < end) uv_sleep(1);
  return atomic_load(count) >= at_least;
}

static void c_watches_lua(void **state) {
  static const char code[] = "process.inbox():receive()";
  runner *r = runner_new(2, 0);
  rt_runtime *rt = runner_runtime(r);
  echo e = {0};
  rt_error err = RT_ERROR_INIT;
  rt_pid lua, echo_pid = start_echo(rt, &e, NULL);
  (void)state;
  assert_int_equal(rt_process_spawn_code(rt, &lua, code, sizeof(code) - 1,
                                         "waits", NULL, NULL, NULL, &err),
                   RT_OK);
  assert_int_equal(rt_process_monitor(rt, echo_pid, lua), RT_OK);
  assert_int_equal(rt_process_send(rt, lua, "go", NULL, &err), RT_OK);
  assert_true(comes_true(&e.exits, 1));
  assert_int_equal(atomic_load(&e.last), lua);
  assert_int_equal(rt_process_monitor(rt, echo_pid, lua), RT_OK); /* dead */
  assert_true(comes_true(&e.exits, 2));
  assert_int_equal(rt_process_monitor(rt, lua, echo_pid), RT_ENOTFOUND);
  runner_free(r);
  assert_int_equal(atomic_load(&e.ended), 1);
}

static void names_and_options(void **state) {
  struct small {
    size_t size;
    const char *name;
  } small = {sizeof(small), "short"};
  runner *r = runner_new(1, 0);
  rt_runtime *rt = runner_runtime(r);
  rt_process_opts opts = RT_PROCESS_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_pid pid;
  (void)state;
  assert_int_equal(
      rt_process_start(rt, &pid, (const rt_process_opts *)&small, &err), RT_OK);
  opts.name = "short";
  assert_int_equal(rt_process_start(rt, &pid, &opts, &err), RT_EEXIST);
  assert_int_equal(pid, 0);
  opts.name = "{no name}";
  assert_int_equal(rt_process_start(rt, &pid, &opts, &err), RT_EINVAL);
  assert_non_null(strstr(err.message, "name '{no name}'"));
  assert_int_equal(rt_process_start(rt, &pid, NULL, &err), RT_OK);
  runner_free(r);
}

static void names_are_given_and_taken(void **state) {
  static const char code[] = "process.inbox():receive()";
  runner *r = runner_new(1, 0);
  rt_runtime *rt = runner_runtime(r);
  rt_error err = RT_ERROR_INIT;
  rt_pid c, lua;
  (void)state;
  assert_int_equal(rt_process_start(rt, &c, NULL, &err), RT_OK);
  assert_int_equal(rt_process_spawn_code(rt, &lua, code, sizeof(code) - 1, NULL,
                                         NULL, NULL, NULL, &err),
                   RT_OK);
  assert_int_equal(rt_process_register(rt, c, "c", &err), RT_OK);
  assert_int_equal(rt_process_register(rt, c, "c too", &err), RT_OK);
  assert_int_equal(rt_process_register(rt, lua, "lua", &err), RT_OK);
  assert_int_equal(rt_process_lookup(rt, "c too"), c);
  assert_int_equal(rt_process_lookup(rt, "lua"), lua);
  assert_int_equal(rt_process_register(rt, lua, "c", &err), RT_EEXIST);
  assert_int_equal(rt_process_register(rt, c, "", &err), RT_EINVAL);
  assert_int_equal(rt_process_register(rt, c, NULL, &err), RT_EINVAL);
  assert_int_equal(rt_process_register(rt, 0, "none", &err), RT_ENOTFOUND);
  assert_int_equal(rt_process_unregister(rt, lua, "c"), RT_ENOTFOUND);
  assert_int_equal(rt_process_unregister(rt, c, "c"), RT_OK);
  assert_int_equal(rt_process_unregister(rt, c, "c"), RT_ENOTFOUND);
  assert_int_equal(rt_process_lookup(rt, "c"), 0);
  assert_int_equal(rt_process_end(rt, c, NULL, NULL), RT_OK);
  assert_int_equal(rt_process_lookup(rt, "c too"), 0);
  assert_int_equal(rt_process_register(rt, c, "late", &err), RT_ENOTFOUND);
  assert_int_equal(rt_process_register(rt, lua, "c too", &err), RT_OK);
  runner_free(r);
}

/* --- waiting for mail ----------------------------------------------------- */

static void mail_is_waited_for(void **state) {
  static const char code[] = "local to = ...\n"
                             "for i = 1, 3 do process.send(to, 'n', i) end";
  runner *r = runner_new(2, 0);
  rt_runtime *rt = runner_runtime(r);
  rt_error err = RT_ERROR_INIT;
  rt_pid self, child;
  rt_mail *mail;
  char args[64], text[RT_PID_TEXT];
  rt_value *value;
  (void)state;
  assert_int_equal(rt_process_start(rt, &self, NULL, &err), RT_OK);
  assert_int_equal(rt_process_receive(rt, self, 0, &mail, &err), RT_ETIMEOUT);
  rt_pid_text(self, text);
  assert_int_equal(rt_pid_parse(text), self);
  snprintf(args, sizeof(args), "[\"%s\"]", text);
  assert_int_equal(rt_value_from_json(&value, args, strlen(args), &err), RT_OK);
  assert_int_equal(rt_process_spawn_code(rt, &child, code, sizeof(code) - 1,
                                         NULL, value, NULL, NULL, &err),
                   RT_OK);
  rt_value_unref(value);
  for (int i = 1; i <= 3; i++) {
    assert_int_equal(rt_process_receive(rt, self, 30, &mail, &err), RT_OK);
    assert_int_equal(mail->kind, RT_MAIL_MESSAGE);
    assert_int_equal(mail->from, child);
    assert_string_equal(mail->topic, "n");
    assert_int_equal(
        rt_view_int(rt_view_at(rt_value_view(mail->payloads), 0), 0), i);
    rt_mail_free(mail);
  }
  assert_int_equal(rt_process_cancel(rt, self, "please"), RT_OK);
  assert_int_equal(rt_process_receive(rt, self, 30, &mail, &err), RT_OK);
  assert_int_equal(mail->kind, RT_MAIL_CANCEL);
  rt_mail_free(mail);
  assert_int_equal(rt_process_end(rt, self, NULL, NULL), RT_OK);
  assert_int_equal(rt_process_receive(rt, self, 30, &mail, &err), RT_ECLOSED);
  assert_int_equal(rt_process_receive(rt, child, 30, &mail, &err), RT_EINVAL);
  runner_free(r);
}

typedef struct reader {
  rt_runtime *rt;
  rt_pid pid;
  atomic_uint started;
  rt_err rc;
} reader;

static void read_once(void *arg) {
  reader *reads = arg;
  rt_mail *mail;
  atomic_store(&reads->started, 1);
  reads->rc = rt_process_receive(reads->rt, reads->pid, -1, &mail, NULL);
}

static void a_reader_wakes_when_the_runtime_stops(void **state) {
  runner *r = runner_new(1, 0);
  reader reads = {.rt = runner_runtime(r)};
  uv_thread_t thread;
  rt_pid pid;
  (void)state;
  assert_int_equal(rt_process_start(reads.rt, &reads.pid, NULL, NULL), RT_OK);
  assert_int_equal(uv_thread_create(&thread, read_once, &reads), 0);
  assert_true(comes_true(&reads.started, 1));
  rt_runtime_stop(reads.rt, 0);
  uv_thread_join(&thread);
  assert_int_equal(reads.rc, RT_ECLOSED);
  assert_int_equal(rt_process_start(reads.rt, &pid, NULL, NULL), RT_ECLOSED);
  runner_free(r);
}

typedef struct ball {
  rt_runtime *rt;
  rt_pid lua;
  atomic_uint count, ended;
} ball;

static void send_back(rt_runtime *rt, rt_pid self, const rt_mail *mail,
                      void *arg) {
  atomic_fetch_add(&((ball *)arg)->count, 1);
  rt_process_send_as(rt, self, mail->from, "back", NULL, NULL);
}

/* The runtime can still be used. */
static void last_words(rt_pid self, void *arg) {
  ball *b = arg;
  assert_int_equal(rt_process_end(b->rt, self, NULL, NULL), RT_ENOTFOUND);
  rt_process_send(b->rt, b->lua, "over", NULL, NULL);
  rt_bus_send(rt_runtime_bus(b->rt), "ball", "over", "1", NULL);
  atomic_fetch_add(&b->ended, 1);
}

/* On two workers, for ever: neither the runtime nor the message survives. */
static void a_ball_in_the_air_at_the_end(void **state) {
  static const char code[] = "process.inbox():receive()";
  ball b = {.lua = 0};
  rt_process_opts opts = RT_PROCESS_OPTS_INIT;
  rt_pid one, two;
  (void)state;
  runner *r = runner_new(2, 0);
  rt_runtime *rt = b.rt = runner_runtime(r);
  opts.receive = send_back;
  opts.ended = last_words;
  opts.arg = &b;
  assert_int_equal(rt_process_spawn_code(rt, &b.lua, code, sizeof(code) - 1,
                                         "waits", NULL, NULL, NULL, NULL),
                   RT_OK);
  assert_int_equal(rt_process_start(rt, &one, &opts, NULL), RT_OK);
  assert_int_equal(rt_process_start(rt, &two, &opts, NULL), RT_OK);
  assert_int_equal(rt_process_send_as(rt, one, two, "ball", NULL, NULL), RT_OK);
  assert_true(comes_true(&b.count, 10));
  runner_free(r);
  assert_int_equal(atomic_load(&b.ended), 2);
}

/* --- modules -------------------------------------------------------------- */

static void add(rt_call *call, const rt_value *args, void *arg) {
  rt_view view = rt_value_view(args);
  rt_builder *b = rt_builder_new();
  rt_value *results = NULL;
  (void)arg;
  rt_builder_begin_array(b);
  rt_builder_number(b, rt_view_number(rt_view_at(view, 0), 0) +
                           rt_view_number(rt_view_at(view, 1), 0));
  rt_builder_string(b, "second");
  rt_builder_end(b);
  rt_builder_finish(b, &results, NULL);
  rt_builder_free(b);
  rt_call_return(call, results);
  rt_value_unref(results);
}

static void refuse(rt_call *call, const rt_value *args, void *arg) {
  rt_error err = RT_ERROR_INIT;
  (void)args, (void)arg;
  rt_fail(&err, RT_EPERM, "not for %s", "you");
  rt_call_fail(call, &err);
}

static void answer_later(void *arg) {
  uv_sleep(2);
  rt_call_return(arg, NULL);
}

typedef struct threads {
  uv_thread_t at[8];
  unsigned count;
} threads;

static void later(rt_call *call, const rt_value *args, void *arg) {
  threads *t = arg;
  (void)args;
  assert_int_equal(uv_thread_create(&t->at[t->count++], answer_later, call), 0);
}

static void hold(rt_call *call, const rt_value *args, void *arg) {
  (void)args;
  atomic_store((_Atomic(rt_call *) *)arg, call);
}

static void add_module(rt_runtime *rt, const char *name,
                       const rt_function *functions, size_t count,
                       const char *source) {
  rt_module_opts opts = RT_MODULE_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  opts.name = name;
  opts.functions = functions;
  opts.function_count = count;
  opts.source = source;
  opts.source_size = source ? strlen(source) : 0;
  if (rt_runtime_add_module(rt, &opts, &err) != RT_OK)
    fail_msg("%s", err.message);
}

static void functions_in_c(void **state) {
  runner *r = runner_new(1, 0);
  threads t = {.count = 0};
  const rt_function functions[] = {
      {"add", add, NULL}, {"refuse", refuse, NULL}, {"later", later, &t}};
  (void)state;
  add_module(runner_runtime(r), "host", functions, 3, NULL);
  check_run(r,
            "local host = require('host')\n"
            "print(host.add(1, 2.5))\n"
            "local v, err = host.refuse()\n"
            "print(v, err:kind(), err:message())\n"
            "print(select('#', host.later()))\n"
            "v, err = host.add({ f = print })\n"
            "print(v, err:message())\n"
            "print(pcall(function() host.add = 1 end))\n"
            "print(require('host') == host)\n",
            "3.5\tsecond\nnil\tPERMISSION_DENIED\tnot for you\n0\n"
            "nil\targument 1.f: function\n"
            "false\ttest:8: the library 'host' is frozen: cannot set 'add'\n"
            "true\n");
  for (unsigned i = 0; i < t.count; i++) uv_thread_join(&t.at[i]);
  runner_free(r);
}

static void a_caller_that_ends(void **state) {
  runner *r = runner_new(1, 0);
  _Atomic(rt_call *) held = NULL;
  const rt_function functions[] = {{"hold", hold, (void *)&held}};
  (void)state;
  add_module(runner_runtime(r), "host", functions, 1, NULL);
  check_run(r,
            "local pid = process.spawn_monitored(function()\n"
            "  require('host').hold() end)\n"
            "require('time').sleep(0.01)\n"
            "process.terminate(pid)\n"
            "local e = process.events():receive()\n"
            "print(e.kind == process.event.EXIT)\n"
            "os.exit(0)",
            "true\n");
  rt_call *call = atomic_load(&held);
  if (call) { /* it got that far */
    assert_true(rt_call_canceled(call));
    assert_ptr_equal(rt_call_runtime(call), runner_runtime(r));
    rt_call_return(call, NULL);
  }
  runner_free(r);
}

static void modules_in_lua(void **state) {
  runner *r = runner_new(2, 0);
  rt_module_opts opts = RT_MODULE_OPTS_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt = runner_runtime(r);
  (void)state;
  add_module(rt, "counter", NULL, 0,
             "local n = 0 return function() n = n + 1 return n end");
  check_run(r,
            "local c = require('counter') c() print(c(), "
            "process.exec(debug and 'x' and './nowhere.lua') == nil)\n"
            "print(require('counter') == c)",
            "2\ttrue\ntrue\n");
  check_run(r, "print(require('counter')())",
            "2\ttrue\ntrue\n1\n"); /* of its own process */
  opts.name = "counter";
  opts.source = "";
  assert_int_equal(rt_runtime_add_module(rt, &opts, &err), RT_EEXIST);
  opts.name = "events";
  assert_int_equal(rt_runtime_add_module(rt, &opts, &err), RT_EEXIST);
  opts.name = "";
  assert_int_equal(rt_runtime_add_module(rt, &opts, &err), RT_EINVAL);
  opts.name = "x";
  opts.source = NULL;
  assert_int_equal(rt_runtime_add_module(rt, &opts, &err), RT_EINVAL);
  runner_free(r);
}

/* --- memory and limits ---------------------------------------------------- */

typedef struct meter {
  atomic_size_t bytes, calls;
  size_t most; /* 0: no limit */
} meter;

static void *metered(void *block, size_t old, size_t size, void *arg) {
  meter *m = arg;
  atomic_fetch_add(&m->calls, 1);
  if (m->most && size > old && atomic_load(&m->bytes) + size - old > m->most)
    return NULL;
  atomic_fetch_add(&m->bytes, size - old);
  if (size > 0) return realloc(block, size);
  free(block);
  return NULL;
}

static rt_runtime *metered_runtime(meter *m, size_t most, uint32_t processes) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_runtime *rt = NULL;
  rt_error err = RT_ERROR_INIT;
  memset(m, 0, sizeof(*m));
  m->most = most;
  opts.workers = 1;
  opts.alloc = metered;
  opts.alloc_arg = m;
  opts.max_processes = processes;
  if (rt_runtime_new(&rt, &opts, &err) != RT_OK) return NULL;
  return rt;
}

static int run(rt_runtime *rt, const char *code) {
  rt_script script = RT_SCRIPT_INIT;
  int exit_code = -1;
  script.code = code;
  script.code_size = strlen(code);
  assert_int_equal(rt_runtime_run(rt, &script, &exit_code, NULL), RT_OK);
  return exit_code;
}

static void memory_of_the_host(void **state) {
  meter m;
  (void)state;
  rt_runtime *rt = metered_runtime(&m, 0, 0);
  assert_non_null(rt);
  size_t before = atomic_load(&m.bytes);
  assert_true(before > 0);
  assert_int_equal(run(rt, "local t = {} for i = 1, 1000 do t[i] = ('x'):rep(i)"
                           " .. i end os.exit(#t == 1000 and 7 or 1)"),
                   7);
  assert_true(atomic_load(&m.calls) > 1000);
  rt_runtime_free(rt);
  assert_int_equal(atomic_load(&m.bytes), 0);
  assert_null(metered_runtime(&m, 4096, 0)); /* not even the library fits */
  assert_int_equal(atomic_load(&m.bytes), 0);
}

static void a_limit_of_processes(void **state) {
  meter m;
  (void)state;
  rt_runtime *rt = metered_runtime(&m, 0, 10);
  assert_int_equal(run(rt,
                       "local n = 0\n"
                       "local function wait() process.inbox():receive() end\n"
                       "for i = 1, 30 do\n"
                       "  local pid, err = process.spawn(wait)\n"
                       "  if pid then n = n + 1 else assert(err:kind() =="
                       " 'UNAVAILABLE') end\n"
                       "end\n"
                       "os.exit(n)"),
                   9);
  rt_runtime_free(rt);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lua_talks_to_c),
      cmocka_unit_test(lua_watches_c),
      cmocka_unit_test(links_end_lua),
      cmocka_unit_test(c_watches_lua),
      cmocka_unit_test(names_and_options),
      cmocka_unit_test(names_are_given_and_taken),
      cmocka_unit_test(mail_is_waited_for),
      cmocka_unit_test(a_reader_wakes_when_the_runtime_stops),
      cmocka_unit_test(a_ball_in_the_air_at_the_end),
      cmocka_unit_test(functions_in_c),
      cmocka_unit_test(a_caller_that_ends),
      cmocka_unit_test(modules_in_lua),
      cmocka_unit_test(memory_of_the_host),
      cmocka_unit_test(a_limit_of_processes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
