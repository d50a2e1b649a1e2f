/* test_events_quiet.c - a program ends when nothing can happen any more, and
 * not while an event is on its way to a process that could act on it.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "rt/rt.h"

typedef struct output {
  uv_mutex_t lock;
  char text[4000];
} output;

static void on_output(int fd, const char *text, size_t size, void *arg) {
  output *o = arg;
  (void)fd;
  uv_mutex_lock(&o->lock);
  size_t n = strlen(o->text);
  if (n + size < sizeof(o->text)) {
    memcpy(o->text + n, text, size);
    o->text[n + size] = '\0';
  }
  uv_mutex_unlock(&o->lock);
}

static void run(const char *code, output *o) {
  rt_runtime *rt;
  rt_error err = RT_ERROR_INIT;
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_script script = RT_SCRIPT_INIT;
  int exit_code = -1;
  opts.workers = 3;
  opts.output = on_output;
  opts.output_arg = o;
  uv_mutex_init(&o->lock);
  o->text[0] = '\0';
  if (rt_runtime_new(&rt, &opts, &err) != RT_OK) fail_msg("%s", err.message);
  script.code = code;
  script.code_size = strlen(code);
  script.name = "test";
  assert_int_equal(rt_runtime_run(rt, &script, &exit_code, &err), RT_OK);
  rt_runtime_free(rt);
  uv_mutex_destroy(&o->lock);
  if (exit_code != 0) fail_msg("%s", o->text);
}

static size_t lines_of(const char *text) {
  size_t n = 0;
  for (; *text; text++) n += *text == '\n';
  return n;
}

/* The last event goes from hand to hand after main has returned. */
static const char *const chain =
    "local events = require('events')\n"
    "local ready = assert(events.subscribe('ready')):channel()\n"
    "for i = 1, 8 do\n"
    "  assert(process.spawn(function(i)\n"
    "    local events = require('events')\n"
    "    local sub = assert(events.subscribe('hop' .. i))\n"
    "    assert(events.send('ready', 'k', 'p'))\n"
    "    for event in sub:channel():values() do\n"
    "      print(i)\n"
    "      assert(events.send('hop' .. i + 1, 'k', 'p', { i }))\n"
    "    end\n"
    "  end, i))\n"
    "end\n"
    "for _ = 1, 8 do ready:receive() end\n"
    "assert(events.send('hop1', 'k', 'p'))\n";

static void events_on_their_way_are_awaited(void **state) {
  static output o;
  (void)state;
  for (int round = 0; round < 10; round++) {
    run(chain, &o);
    assert_string_equal(o.text, "1\n2\n3\n4\n5\n6\n7\n8\n");
  }
}

/* A burst is read to its end. */
static const char *const burst =
    "local events = require('events')\n"
    "local ready = assert(events.subscribe('ready')):channel()\n"
    "for i = 1, 3 do\n"
    "  assert(process.spawn(function()\n"
    "    local events = require('events')\n"
    "    local sub = assert(events.subscribe('burst'))\n"
    "    assert(events.send('ready', 'k', 'p'))\n"
    "    local n = 0\n"
    "    for event in sub:channel():values() do\n"
    "      n = n + 1\n"
    "      if event.path == 'last' then print(n) end\n"
    "    end\n"
    "  end))\n"
    "end\n"
    "for _ = 1, 3 do ready:receive() end\n"
    "for i = 1, 2999 do assert(events.send('burst', 'k', 'p', i)) end\n"
    "assert(events.send('burst', 'k', 'last'))\n";

static void a_burst_is_read_to_its_end(void **state) {
  static output o;
  (void)state;
  for (int round = 0; round < 5; round++) {
    run(burst, &o);
    assert_string_equal(o.text, "3000\n3000\n3000\n");
  }
}

static const char *const idle =
    "local events = require('events')\n"
    "local sub = assert(events.subscribe('**'))\n"
    "assert(events.on('x', nil, print))\n"
    "assert(events.awaiter('x'))\n"
    "for i = 1, 5 do\n"
    "  process.spawn(function()\n"
    "    local sub = require('events').subscribe('never')\n"
    "    sub:channel():receive()\n"
    "  end)\n"
    "end\n"
    "print('main')\n";

static void waiting_for_events_keeps_nothing_alive(void **state) {
  static output o;
  (void)state;
  for (int round = 0; round < 10; round++) {
    run(idle, &o);
    assert_int_equal(lines_of(o.text), 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(events_on_their_way_are_awaited),
      cmocka_unit_test(a_burst_is_read_to_its_end),
      cmocka_unit_test(waiting_for_events_keeps_nothing_alive),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
