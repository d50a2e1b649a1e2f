/* many_hosted.c - as many.c, on a loop of the program, each with a session, a
 * capability in C, a module and a process in C. Arguments: how often, a folder.
 * Prints nothing when all is well. SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE
#include <rt/rt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "leak.h"

typedef struct host {
  uv_loop_t loop;
  rt_runtime *rt;
  rt_session *session;
  int finished, invoked, called, mailed, wrong;
} host;

static void on_invoke(rt_job *job, void *arg) {
  ((host *)arg)->invoked++;
  rt_job_complete(job, NULL);
}

static void on_call(rt_call *call, const rt_value *args, void *arg) {
  ((host *)arg)->called++;
  rt_call_return(call, args);
}

static void on_mail(rt_runtime *rt, rt_pid self, const rt_mail *mail,
                    void *arg) {
  host *h = (host *)arg;
  h->mailed++;
  rt_process_send_as(rt, self, mail->from, "answer", mail->payloads, NULL);
}

static void on_finished(rt_err code, const rt_error *err, rt_value *result,
                        void *arg) {
  host *h = (host *)arg;
  (void)err;
  h->wrong += code != RT_OK;
  h->finished++;
  rt_value_unref(result);
}

static void on_main(rt_runtime *rt, int exit_code, void *arg) {
  host *h = (host *)arg;
  (void)rt;
  h->wrong += exit_code != 0;
  h->finished++;
}

static void on_open(rt_err code, const rt_error *err, rt_session *session,
                    void *arg) {
  static const char json[] = "{\"class\":\"a\",\"value\":\"1\"}";
  host *h = (host *)arg;
  rt_value *asset = NULL;
  (void)err;
  h->wrong += code != RT_OK;
  h->session = session;
  if (code != RT_OK ||
      rt_value_from_json(&asset, json, sizeof(json) - 1, NULL) != RT_OK) {
    h->finished = 2;
    return;
  }
  rt_session_dispatch_async(session, asset, NULL, NULL, NULL);
  rt_session_wait_async(session, on_finished, h);
  rt_value_unref(asset);
}

static rt_err add_parts(host *h, rt_error *err) {
  static const char *const input[] = {"a"};
  rt_capability_opts capability = RT_CAPABILITY_OPTS_INIT;
  rt_module_opts module = RT_MODULE_OPTS_INIT;
  rt_process_opts process = RT_PROCESS_OPTS_INIT;
  rt_function function;
  rt_pid pid;
  rt_err rc;
  function.name = "f";
  function.fn = on_call;
  function.arg = h;
  module.name = "host";
  module.functions = &function;
  module.function_count = 1;
  capability.name = "from-c";
  capability.input = input;
  capability.input_count = 1;
  capability.invoke = on_invoke;
  capability.arg = h;
  process.name = "echo";
  process.receive = on_mail;
  process.arg = h;
  rc = rt_runtime_add_module(h->rt, &module, err);
  if (rc == RT_OK) rc = rt_process_start(h->rt, &pid, &process, err);
  if (rc == RT_OK)
    rc = rt_registry_add(rt_runtime_registry(h->rt), &capability, err);
  return rc;
}

static rt_err begin(host *h, const char *dir, int round, rt_error *err) {
  static const char code[] = "local ch = process.listen('answer')\n"
                             "process.send('echo', 'x', require('host').f(7))\n"
                             "assert((ch:receive()) == 7)";
  rt_session_opts session = RT_SESSION_OPTS_INIT;
  rt_script script = RT_SCRIPT_INIT;
  char name[32];
  rt_err rc = add_parts(h, err);
  if (rc != RT_OK) return rc;
  snprintf(name, sizeof(name), "s%d", round % 8);
  rt_session_remove(dir, name, NULL);
  session.name = name;
  session.dir = dir;
  session.sync_normal = true;
  rt_session_open_async(h->rt, &session, on_open, h);
  script.code = code;
  script.code_size = strlen(code);
  return rt_runtime_run_async(h->rt, &script, on_main, h, err);
}

static int once(int round, const char *dir, rt_error *err) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  host h;
  memset(&h, 0, sizeof(h));
  uv_loop_init(&h.loop);
  opts.loop = &h.loop;
  opts.workers = 1;
  if (rt_runtime_new(&h.rt, &opts, err) != RT_OK) return 1;
  h.wrong += begin(&h, dir, round, err) != RT_OK;
  while (h.wrong == 0 && h.finished < 2) uv_run(&h.loop, UV_RUN_ONCE);
  if (round % 2) rt_session_close(h.session); /* else the runtime does */
  rt_session_unref(h.session);
  rt_runtime_free(h.rt);
  uv_run(&h.loop, UV_RUN_DEFAULT);
  return uv_loop_close(&h.loop) != 0 || h.wrong != 0 || h.invoked != 1 ||
         h.called != 1 || h.mailed != 1;
}

int main(int argc, char **argv) {
  int rounds = argc > 2 ? atoi(argv[1]) : 0, i;
  usage before = {0, 0, 0};
  rt_error err = RT_ERROR_INIT;
  if (argc != 3) return 2;
  for (i = 0; i < rounds; i++) {
    if (i == warm_up(rounds)) measure(&before);
    if (once(i, argv[2], &err)) {
      fprintf(stderr, "many_hosted: round %d: %s\n", i, err.message);
      return 1;
    }
  }
  return grown("many_hosted", &before, rounds);
}
