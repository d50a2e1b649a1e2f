/* fuzz_api.c - each byte pair is a call of the public API and what it is about:
 * any order of calls that the headers allow, on a few of each thing, with
 * whatever is there at that moment, in one runtime or two, with threads of
 * their own or on a loop of ours. In the end all is released, in any order;
 * calls and jobs may be ended after that. What is looked for are crashes,
 * leaks, and calls that do not return. SPDX-License-Identifier: MIT */
#include "api_durable.h"
#include "api_world.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static const char *const codes[] = {
    "return 1",
    "error('x')",
    "process.inbox():receive()",
    "require('time').sleep(0.001) return {1, {a = 2}}",
    "for m in process.inbox():values() do"
    " process.send(m:from(), m:topic(), m:payload()) end",
    "local e = require('events') e.send('a.b', 'c', 'p', {1})"
    " local s = e.subscribe('a.*') s:close()",
    "return (require('m1').f(1, 'x'))",
    "process.registry.register('n1') process.events():receive()",
    "x = = 1",
    "while true do end",
    "local m = require('m1') for i = 1, 4 do"
    " coroutine.spawn(function() m.f(i) end) end",
};
static const char *const texts[] = {
    "{\"a\":[1,2.5,null]}", "[]", "[1,\"x\"]", "{", "\"text\"", "[[[]]]"};

static void on_event(const rt_event *event, void *arg) {
  (void)arg;
  if (strlen(event->path) == 0) abort();
}

static rt_err on_routed(const rt_event *event, void *arg, rt_error *err) {
  (void)arg;
  return event->data ? RT_OK : rt_fail(err, RT_EINVAL, "no data");
}

static void on_exit_of(rt_pid pid, rt_value *result, rt_value *error,
                       void *arg) {
  (void)pid, (void)arg;
  rt_value_unref(result);
  rt_value_unref(error);
}

static void on_mail(rt_runtime *rt, rt_pid self, const rt_mail *mail,
                    void *arg) {
  (void)arg;
  if (mail->kind == RT_MAIL_CANCEL)
    rt_process_end(rt, self, NULL, NULL);
  else if (mail->from)
    rt_process_send_as(rt, self, mail->from, "answer", mail->payloads, NULL);
}

static void f(rt_call *call, const rt_value *args, void *arg) {
  rt_error err = RT_ERROR_INIT;
  unsigned count = rt_view_count(rt_value_view(args));
  if (count == 1 && keep_call(arg, call, (unsigned)rt_call_process(call)))
    return;
  if (count > 1) {
    rt_call_return(call, args);
    return;
  }
  rt_fail(&err, RT_EINVAL, "too few");
  rt_call_fail(call, &err);
}

/* --- calls, by group; `a` chooses among what there is ----------------------
 */

static void use_value(world *w, unsigned op, unsigned a) {
  rt_value **at = &w->values[a % FEW];
  const char *text = texts[a % 6];
  char *json = NULL;
  size_t size = 0;
  switch (op % 5) {
  case 0:
    rt_value_unref(*at);
    rt_value_from_json(at, text, strlen(text), NULL);
    break;
  case 1:
    rt_value_unref(*at);
    *at = rt_value_ref(w->values[(a + 1) % FEW]);
    break;
  case 2:
    if (rt_value_to_json(&json, &size, *at, NULL) == RT_OK) rt_free(json);
    break;
  case 3: {
    rt_value *copy = NULL;
    rt_view view = rt_view_at(rt_value_view(*at), a);
    if (rt_view_copy(&copy, view, NULL) == RT_OK) rt_value_unref(copy);
    break;
  }
  default:
    if (*at) {
      rt_value *parsed = NULL;
      if (rt_value_from_data(&parsed, rt_value_data(*at), rt_value_size(*at),
                             NULL) != RT_OK ||
          !rt_value_equal(parsed, *at))
        abort();
      rt_value_unref(parsed);
    }
  }
}

static void use_builder(world *w, unsigned op, unsigned a) {
  rt_builder *b = w->builder;
  rt_value *made = NULL;
  switch (op % 8) {
  case 0:
    rt_builder_begin_array(b);
    break;
  case 1:
    rt_builder_begin_map(b);
    break;
  case 2:
    rt_builder_end(b);
    break;
  case 3:
    rt_builder_key(b, names[a % 6]);
    break;
  case 4:
    rt_builder_int(b, (int64_t)a - 100);
    break;
  case 5:
    rt_builder_value(b, w->values[a % FEW]);
    break;
  case 6:
    rt_builder_lstring(b, (const char *)&a, sizeof(a));
    break;
  default:
    if (rt_builder_finish(b, &made, NULL) == RT_OK) {
      rt_value_unref(w->values[a % FEW]);
      w->values[a % FEW] = made;
    }
  }
}

static void on_waited(rt_err code, const rt_error *err, bool accepted,
                      rt_value *data, void *arg) {
  if (accepted && code != RT_OK) abort();
  on_told(code, err, data, arg);
}

static void use_waiters(world *w, unsigned op, unsigned a) {
  rt_value *data = NULL;
  bool accepted;
  unsigned i = a % FEW;
  switch (op % 5) {
  case 0:
    if (!w->awaiters[i])
      rt_awaiter_new(&w->awaiters[i], w->bus, names[a % 6], NULL, NULL);
    break;
  case 1:
    if (w->awaiters[i] && !w->waiters[i])
      rt_awaiter_prepare(&w->waiters[i], w->awaiters[i], "p", 0.001, NULL);
    break;
  case 2:
    if (!w->waiters[i]) break;
    rt_waiter_wait(w->waiters[i], &accepted, &data, NULL);
    rt_value_unref(data);
    rt_waiter_event(w->waiters[i]);
    break;
  case 3:
    if (w->waiters[i])
      rt_waiter_wait_async(w->waiters[i], on_waited, w->kept, NULL);
    break;
  default:
    rt_waiter_close(w->waiters[i]);
    w->waiters[i] = NULL;
    if (a & 16) {
      rt_awaiter_free(w->awaiters[i]);
      w->awaiters[i] = NULL;
    }
  }
}

static void use_bus(world *w, unsigned op, unsigned a) {
  unsigned i = a % FEW;
  rt_bus_stats stats;
  switch (op % 9) {
  case 0:
    if (!w->ids[i])
      rt_bus_subscribe(w->bus, &w->ids[i], names[a % 6], NULL, on_event, w,
                       NULL);
    break;
  case 1:
    rt_bus_unsubscribe(w->bus, w->ids[i]);
    w->ids[i] = 0;
    break;
  case 2:
    rt_bus_send(w->bus, names[a % 6], "accept", "p", w->values[i]);
    break;
  case 3:
    if (!w->subscribers[i])
      rt_subscriber_new(&w->subscribers[i], w->bus, names[a % 6], "**",
                        on_event, w, NULL);
    break;
  case 4:
    rt_subscriber_close(w->subscribers[i]);
    w->subscribers[i] = NULL;
    break;
  case 5:
    if (!w->routers[i]) rt_router_new(&w->routers[i], w->bus, NULL, NULL, NULL);
    break;
  case 6:
    if (w->routers[i])
      rt_router_add(w->routers[i], names[a % 6], "c", on_routed, w, NULL);
    break;
  case 7:
    if (w->routers[i] && (a & 16)) rt_router_stop(w->routers[i]);
    rt_router_free(w->routers[i]);
    w->routers[i] = NULL;
    break;
  default:
    rt_bus_get_stats(w->bus, &stats);
    rt_bus_wanted(w->bus, names[a % 6], "c");
  }
}

static void use_native(world *w, unsigned op, unsigned a) {
  rt_process_opts opts = RT_PROCESS_OPTS_INIT;
  unsigned i = a % FEW;
  rt_mail *mail = NULL;
  rt_error why = RT_ERROR_INIT;
  switch (op % 6) {
  case 0:
    if (w->native[i]) break;
    opts.receive = a & 16 ? on_mail : NULL;
    opts.name = a & 32 ? "n1" : NULL;
    rt_process_start(w->rt, &w->native[i], &opts, NULL);
    break;
  case 1:
    rt_fail(&why, RT_EUNKNOWN, "over");
    rt_process_end(w->rt, w->native[i], w->values[i], a & 16 ? &why : NULL);
    w->native[i] = 0;
    break;
  case 2:
    rt_process_receive(w->rt, w->native[i], a & 16 ? 0.001 : 0, &mail, NULL);
    rt_mail_free(mail);
    break;
  case 3:
    rt_process_monitor(w->rt, w->native[i], w->lua[(a >> 2) % FEW]);
    break;
  case 4:
    rt_process_unmonitor(w->rt, w->native[i], w->lua[(a >> 2) % FEW]);
    break;
  default:
    rt_process_send_as(w->rt, w->native[i], w->lua[(a >> 2) % FEW], "t",
                       w->values[i], NULL);
  }
}

static void use_process(world *w, unsigned op, unsigned a) {
  unsigned i = a % FEW;
  const char *code = codes[a % 11];
  rt_pid to = a & 64 ? w->native[i] : w->lua[i];
  char text[RT_PID_TEXT];
  rt_value *result;
  switch (op % 8) {
  case 7:
    rt_process_exec_code(w->rt, &result, code, strlen(code), "f", NULL, 0.002,
                         NULL);
    rt_value_unref(result);
    break;
  case 0:
    rt_process_spawn_code(w->rt, &w->lua[i], code, strlen(code), "f",
                          a & 16 ? w->values[i] : NULL, on_exit_of, w, NULL);
    break;
  case 1:
    rt_process_send(w->rt, to, a & 16 ? "t" : "@t", w->values[i], NULL);
    break;
  case 2:
    rt_process_cancel(w->rt, to, "why");
    break;
  case 3:
    rt_process_terminate(w->rt, to);
    break;
  case 4:
    rt_process_lookup(w->rt, names[a % 6]);
    break;
  case 5:
    rt_pid_text(to, text);
    if (rt_pid_parse(text) != to) abort();
    break;
  default:
    rt_process_spawn(w->rt, &w->lua[i], "./nowhere.lua", NULL, on_exit_of, w,
                     NULL);
  }
}

static void add_module(world *w, unsigned a) {
  const rt_function functions[] = {{"f", f, w->kept}};
  rt_module_opts opts = RT_MODULE_OPTS_INIT;
  char name[16];
  snprintf(name, sizeof(name), "m%u", w->modules++ % 3);
  opts.name = name;
  if (a & 1) {
    opts.functions = functions;
    opts.function_count = 1;
  } else {
    opts.source = "return { f = function(x) return x end }";
    opts.source_size = strlen(opts.source);
  }
  rt_runtime_add_module(w->rt, &opts, NULL);
}

/* Scripts that end by themselves. */
static void run_main(world *w, unsigned a) {
  static const char *const mains[] = {"return", "error('x')", "os.exit(3)",
                                      "process.spawn(function() end)"};
  rt_script script = RT_SCRIPT_INIT;
  int exit_code;
  script.code = mains[a % 4];
  script.code_size = strlen(script.code);
  if (a & 4)
    rt_runtime_run_async(w->rt, &script, NULL, NULL, NULL);
  else
    rt_runtime_run(w->rt, &script, &exit_code, NULL);
}

static void use_runtime(world *w, unsigned op, unsigned a) {
  switch (op % 4) {
  case 0:
    add_module(w, a);
    break;
  case 1:
    rt_runtime_interrupt(w->rt, (int)a);
    break;
  case 2:
    if (a < 8) run_main(w, a);
    break;
  default:
    if (a != 7) break;
    rt_runtime_stop(w->rt, 0);
    w->stopped = true;
  }
}

/* Calls of the modules that nobody has returned yet. */
static void use_calls(world *w, unsigned op, unsigned a) {
  rt_error why = RT_ERROR_INIT;
  rt_call *call = take_call(w->kept, a);
  if (!call) {
    turn(w);
    return;
  }
  rt_call_canceled(call);
  rt_fail(&why, RT_ECONFLICT, "on purpose");
  if (op % 2)
    rt_call_return(call, w->values[a % FEW]);
  else
    rt_call_fail(call, a & 16 ? &why : NULL);
}

typedef void (*use_fn)(world *w, unsigned op, unsigned a);

static void step(world *w, unsigned op, unsigned a) {
  static const use_fn groups[] = {
      use_value,  use_builder,  use_bus,     use_bus,     use_waiters,
      use_native, use_process,  use_runtime, use_session, use_session,
      use_report, use_registry, use_jobs,    use_calls};
  const unsigned count = sizeof(groups) / sizeof(*groups);
  groups[op % count](w, op / count, a);
  if (a & 1) turn(w);
}

/* --- one input ------------------------------------------------------------ */

static void end_kept(kept *k) {
  for (unsigned i = 0; i < FEW; i++) {
    rt_job *job = take_job(k, i);
    rt_call *call = take_call(k, i);
    if (job) rt_job_complete(job, NULL);
    if (call) rt_call_return(call, NULL);
  }
}

static void leave(world *w, bool sessions_first) {
  for (int i = 0; i < FEW; i++) {
    rt_report_close(w->reports[i]);
    if (sessions_first && w->sessions[i]) rt_session_close(w->sessions[i]);
    rt_awaiter_free(w->awaiters[i]);
    rt_router_free(w->routers[i]);
    rt_subscriber_close(w->subscribers[i]);
    rt_value_unref(w->values[i]);
  }
  rt_builder_free(w->builder);
  rt_bus_free(w->alone);
  turn(w);
  rt_runtime_free(w->rt);
  for (int i = 0; i < FEW; i++) { /* may outlive it */
    rt_waiter_close(w->waiters[i]);
    rt_session_unref(w->sessions[i]);
  }
}

static void enter(world *w, kept *k, unsigned how, uv_loop_t *loop) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_bus_opts alone = RT_BUS_OPTS_INIT;
  memset(w, 0, sizeof(*w));
  w->kept = k;
  w->loop = loop;
  opts.workers = 1 + (how & 1);
  opts.vm_memory = 64u << 20;
  opts.max_processes = 50;
  opts.loop = alone.loop = loop;
  if (rt_runtime_new(&w->rt, &opts, NULL) != RT_OK) abort();
  if ((how & 2) && rt_bus_new(&w->alone, &alone, NULL) != RT_OK) abort();
  w->bus = w->alone ? w->alone : rt_runtime_bus(w->rt);
  w->builder = rt_builder_new();
}

static void remove_files(void) {
  static const char *const called[] = {"s0", "s1", "s2"};
  for (int i = 0; i < 3; i++) rt_session_remove(durable_dir, called[i], NULL);
  rmdir(durable_dir); /* made anew by the next session */
}

static void make_folder(void) {
  if (durable_dir[0]) return;
  strcpy(durable_dir, "/tmp/rt-fuzz-XXXXXX");
  if (!mkdtemp(durable_dir)) abort();
}

/* The first byte: 1 two workers, 2 a bus alone, 4 on a loop, 8 two runtimes, 16
 * what was kept is ended after the runtime, 32 sessions are closed before. */
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  world worlds[2];
  kept k = {PTHREAD_MUTEX_INITIALIZER, {0}, {0}, 0};
  uv_loop_t loop;
  if (size < 1) return 0;
  unsigned how = data[0], count = how & 8 ? 2 : 1;
  make_folder();
  uv_loop_init(&loop);
  for (unsigned i = 0; i < count; i++)
    enter(&worlds[i], &k, how, (how & 4) && i == 0 ? &loop : NULL);
  for (size_t i = 1; i + 1 < size && i < 400; i += 2)
    step(&worlds[count == 2 && data[i + 1] >= 128], data[i], data[i + 1]);
  if (!(how & 16)) end_kept(&k);
  for (unsigned i = 0; i < count; i++) leave(&worlds[i], (how & 32) != 0);
  end_kept(&k);
  uv_run(&loop, UV_RUN_DEFAULT);
  if (uv_loop_close(&loop) != 0) abort();
  remove_files();
  return 0;
}
