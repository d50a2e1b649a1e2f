/* test_mail_bound.c - what all processes of a VM leave unread has a bound; who
 * reads goes on getting mail.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "process/sched.h"
#include "runner.h"

#define VM_MEMORY ((uint64_t)64 << 20)

/* Beside an innocent that answers: to `want` processes that do not read, until
 * each refuses. `bytes`: of one message. */
static const char code[] =
    "local want, bytes = %d, %d\n"
    "local time = require('time')\n"
    "local function idle() require('time').sleep('1h') end\n"
    "local innocent = process.spawn(function()\n"
    "  for msg in process.inbox():values() do\n"
    "    process.send(msg:from(), 'pong', msg:payload()) end\n"
    "end)\n"
    "local pong = process.listen('pong')\n"
    "local function ping(n)\n"
    "  assert(process.send(innocent, 'ping', n))\n"
    "  assert(pong:receive(30) == n)\n"
    "end\n"
    "local text = ('x'):rep(bytes)\n"
    "local pids, taken, refused = {}, 0, 0\n"
    "for i = 1, want do pids[i] = assert(process.spawn(idle)) end\n"
    "for i = 1, want do\n"
    "  repeat\n"
    "    local ok, err = process.send(pids[i], 'more', text)\n"
    "    if ok then taken = taken + bytes else refused = refused + 1\n"
    "      assert(err:kind() == 'UNAVAILABLE', err:kind()) end\n"
    "  until not ok or taken > 2^30\n"
    "  if i %% 100 == 1 then ping(i) end\n"
    "end\n"
    "ping(0)\n"
    "print(('taken %%d'):format(taken / 2^20))\n"
    "for i = 1, want do process.terminate(pids[i]) end\n"
    "local last, ok = assert(process.spawn(idle))\n"
    "local due = time.monotonic() + 30\n"
    "repeat ok = process.send(last, 'more', text) time.sleep(0.001)\n"
    "until ok or time.monotonic() > due\n"
    "assert(ok, 'what ended with them still counts')\n"
    "for _ = 1, 8 do assert(process.send(last, 'more', text)) end\n"
    "ping(-1)\n"
    "process.terminate(last)\n"
    "print('done')\n"
    "os.exit(0)\n";

/* Answers how many MB were taken. */
static int flood(int want, int bytes) {
  char text[sizeof(code) + 32];
  int taken = -1;
  runner *r = runner_new(1, VM_MEMORY);
  snprintf(text, sizeof(text), code, want, bytes);
  int rc = runner_run(r, text);
  const char *output = runner_output(r);
  if (rc != 0 || !strstr(output, "done"))
    fail_msg("exit %d: %s %s", rc, output, runner_log(r));
  sscanf(strstr(output, "taken"), "taken %d", &taken);
  runner_free(r);
  return taken;
}

/* A quarter of the memory, and what one message is more. */
static void one_that_does_not_read(void **state) {
  (void)state;
  assert_in_range(flood(1, 60000), 14, 18);
}

/* Half of the memory: each gets little beyond a quarter. */
static void many_that_do_not_read(void **state) {
  (void)state;
  assert_in_range(flood(2000, 30000), 28, 36);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_that_does_not_read),
      cmocka_unit_test(many_that_do_not_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
