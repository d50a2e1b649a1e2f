/* test_memory_watch.c - the engine looks at the memory all the time while
 * scripts and the host open and close descriptors: none is closed by another.
 * What it is for is the thread sanitizer's build. SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "rt/rt.h"

/* Each round: files, pipes of a child, sockets. */
static const char code[] =
    "local fs, tcp, exec = require('fs'), require('tcp'), require('exec')\n"
    "local server = assert(tcp.listen('127.0.0.1', 0))\n"
    "local done, all = channel.new(8), 4\n"
    "coroutine.spawn(function()\n"
    "  while true do\n"
    "    local peer = server:accept()\n"
    "    if not peer then return end\n"
    "    peer:write('x') peer:close()\n"
    "  end\n"
    "end)\n"
    "for i = 1, all do coroutine.spawn(function()\n"
    "  for round = 1, 20 do\n"
    "    assert(#fs.read('/proc/self/statm') > 0)\n"
    "    local conn = assert(tcp.connect('127.0.0.1', server:port()))\n"
    "    assert(conn:read('all') == 'x') conn:close()\n"
    "    if round % 5 == 0 then assert(exec.run('true').code == 0) end\n"
    "  end\n"
    "  done:send(true)\n"
    "end) end\n"
    "for i = 1, all do done:receive() end\n"
    "server:close()\n";

/* A descriptor that is ours stays ours: what was written comes back. */
static void open_and_close(void *arg) {
  atomic_bool *stop = arg;
  unsigned wrong = 0;
  while (!atomic_load(stop)) {
    int ends[2];
    char got = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) continue;
    wrong += write(ends[1], "y", 1) != 1;
    wrong += read(ends[0], &got, 1) != 1 || got != 'y';
    wrong += close(ends[0]) != 0;
    wrong += close(ends[1]) != 0;
    uv_sleep(0);
  }
  assert_int_equal(wrong, 0);
}

static void no_descriptor_is_closed_by_another(void **state) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_script script = RT_SCRIPT_INIT;
  rt_runtime *rt;
  atomic_bool stop = false;
  uv_thread_t threads[2];
  int exit_code = -1;
  (void)state;
  opts.workers = 2;
  opts.memory_check = 0.0005;
  assert_int_equal(rt_runtime_new(&rt, &opts, NULL), RT_OK);
  for (int i = 0; i < 2; i++)
    assert_int_equal(uv_thread_create(&threads[i], open_and_close, &stop), 0);
  script.code = code;
  script.code_size = strlen(code);
  assert_int_equal(rt_runtime_run(rt, &script, &exit_code, NULL), RT_OK);
  assert_int_equal(exit_code, 0);
  atomic_store(&stop, true);
  for (int i = 0; i < 2; i++) uv_thread_join(&threads[i]);
  rt_runtime_free(rt);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_descriptor_is_closed_by_another),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
