/* test_vms.c - a worker with several VMs: placement, mail, preemption, ends.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "process/sched.h"
#include "runner.h"

enum { FULL = 20 };

static runner *small_vms(unsigned workers) {
  runner *r = runner_new(workers, 0);
  runner_runtime(r)->vm_processes = FULL;
  return r;
}

static void check(runner *r, const char *code, const char *wanted) {
  int rc = runner_run(r, code);
  const char *output = runner_output(r);
  if (rc != 0 || !strstr(output, wanted))
    fail_msg("exit %d, no '%s' in: %s %s", rc, wanted, output, runner_log(r));
}

static unsigned vms_of(runner *r, unsigned worker) {
  unsigned count = 0;
  while (rt__worker_vm(rt__runtime_worker(runner_runtime(r), worker), count))
    count++;
  return count;
}

/* Those in other VMs answer, are watched and listed like any. */
static void a_full_vm_is_joined_by_another(void **state) {
  (void)state;
  runner *r = small_vms(1);
  check(r,
        "local events = process.events()\n"
        "local pids, answers = {}, process.listen('answer')\n"
        "for i = 1, 95 do\n"
        "  pids[i] = assert(process.spawn_monitored(function(parent)\n"
        "    for msg in process.inbox():values() do\n"
        "      local n = msg:payload()\n"
        "      if n < 0 then return n end\n"
        "      process.send(parent, 'answer', n * 2) end\n"
        "  end, process.pid()))\n"
        "end\n"
        "local sum = 0\n"
        "for i = 1, 95 do assert(process.send(pids[i], 'n', i)) end\n"
        "for i = 1, 95 do sum = sum + answers:receive() end\n"
        "assert(sum == 95 * 96, sum)\n"
        "assert(#process.list() == 96)\n"
        "for i = 1, 95 do process.send(pids[i], 'n', -i) end\n"
        "sum = 0\n"
        "for i = 1, 95 do sum = sum + events:receive().result.value end\n"
        "assert(sum == -95 * 48)\n"
        "assert(#process.list() == 1)\n"
        "print('all answered')",
        "all answered");
  assert_int_equal(vms_of(r, 0), 5);
  runner_free(r);
}

/* What has room again is filled before another is made. */
static void room_is_used_again(void **state) {
  (void)state;
  runner *r = small_vms(2);
  check(r,
        "local events = process.events()\n"
        "for round = 1, 10 do\n"
        "  local pids = {}\n"
        "  for i = 1, 70 do pids[i] = process.spawn_monitored(function()\n"
        "    return (process.inbox():receive()) end) end\n"
        "  for i = 1, 70 do process.send(pids[i], 'end') end\n"
        "  for i = 1, 70 do events:receive() end\n"
        "end\n"
        "print('done')",
        "done");
  assert_in_range(vms_of(r, 0) + vms_of(r, 1), 4, 6);
  runner_free(r);
}

static void loops_of_all_vms_share_the_worker(void **state) {
  (void)state;
  runner *r = small_vms(1);
  check(r,
        "local events, time = process.events(), require('time')\n"
        "local loops, others = {}, {}\n"
        "local ticks = process.listen('tick')\n"
        "for i = 1, 60 do\n"
        "  if i % 20 == 0 then\n"
        "    loops[#loops + 1] = process.spawn_monitored(function()\n"
        "      while true do pcall(function() while true do end end) end\n"
        "    end)\n"
        "  else\n"
        "    others[#others + 1] = process.spawn(function(parent)\n"
        "      local time = require('time')\n"
        "      for i = 1, 3 do time.sleep(0.001) end\n"
        "      process.send(parent, 'tick')\n"
        "      process.inbox():receive()\n"
        "    end, process.pid())\n"
        "  end\n"
        "end\n"
        "for i = 1, #others do ticks:receive() end\n"
        "for i = 1, #loops do\n"
        "  assert(process.terminate(loops[i]))\n"
        "  local event = events:receive()\n"
        "  assert(event.result.error:kind() == 'CANCELED')\n"
        "end\n"
        "for i = 1, #others do process.terminate(others[i]) end\n"
        "print('all ended')",
        "all ended");
  assert_int_equal(vms_of(r, 0), 4);
  runner_free(r);
}

static void links_and_names_reach_across(void **state) {
  (void)state;
  runner *r = small_vms(1);
  check(r,
        "process.set_options { trap_links = true }\n"
        "local events = process.events()\n"
        "local first = process.spawn_linked(function(parent)\n"
        "  for i = 1, 50 do\n"
        "    process.spawn_linked(function(i)\n"
        "      process.registry.register('name' .. i)\n"
        "      process.inbox():receive() end, i)\n"
        "  end\n"
        "  process.inbox():receive()\n"
        "  error('over')\n"
        "end)\n"
        "local time = require('time')\n"
        "while not process.registry.lookup('name50') do time.sleep(0.001) end\n"
        "process.send(first, 'end')\n"
        "assert(events:receive().kind == 'LINK_DOWN')\n"
        "while #process.list() > 1 do time.sleep(0.001) end\n"
        "assert(not process.registry.lookup('name50'))\n"
        "print('all linked')",
        "all linked");
  assert_int_equal(vms_of(r, 0), 3);
  runner_free(r);
}

/* Past the last VM no process is started, and the spawner told. */
static void there_are_only_so_many(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  runner_runtime(r)->vm_processes = 2;
  check(r,
        "local count, err = 0\n"
        "while true do\n"
        "  local pid\n"
        "  pid, err = process.spawn(function() process.inbox():receive() end)\n"
        "  if not pid then break end\n"
        "  count = count + 1\n"
        "end\n"
        "assert(count == 31, count)\n"
        "assert(err:kind() == 'UNAVAILABLE', tostring(err))\n"
        "print('full')",
        "full");
  assert_int_equal(vms_of(r, 0), RT__VMS);
  runner_free(r);
}

static void stopping_ends_those_of_every_vm(void **state) {
  (void)state;
  runner *r = small_vms(2);
  check(r,
        "for i = 1, 100 do process.spawn(function(i)\n"
        "  if i % 10 == 0 then while true do end end\n"
        "  if i % 2 == 0 then process.events():receive() end\n"
        "  process.inbox():receive() end, i) end\n"
        "print('started') os.exit(0)",
        "started");
  rt_runtime_stop(runner_runtime(r), 0.2);
  runner_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_full_vm_is_joined_by_another),
      cmocka_unit_test(room_is_used_again),
      cmocka_unit_test(loops_of_all_vms_share_the_worker),
      cmocka_unit_test(links_and_names_reach_across),
      cmocka_unit_test(there_are_only_so_many),
      cmocka_unit_test(stopping_ends_those_of_every_vm),
  };
  return cmocka_run_group_tests_name("vms", tests, NULL, NULL);
}
