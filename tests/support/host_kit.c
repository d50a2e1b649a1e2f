/* host_kit.c - see host_kit.h. SPDX-License-Identifier: MIT */
#include "host_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void on_limit(uv_timer_t *timer) {
  (void)timer;
  fprintf(stderr, "the loop did not get what it waits for\n");
  abort();
}

void host_loop_open(host_loop *l) {
  memset(l, 0, sizeof(*l));
  l->thread = uv_thread_self();
  uv_loop_init(&l->loop);
  uv_timer_init(&l->loop, &l->limit);
  uv_timer_start(&l->limit, on_limit, HOST_LIMIT_MS, 0);
}

void host_loop_close(host_loop *l) {
  uv_close((uv_handle_t *)&l->limit, NULL);
  uv_run(&l->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&l->loop), 0);
}

void host_loop_until(host_loop *l, const unsigned *count, unsigned at_least) {
  while (*count < at_least) uv_run(&l->loop, UV_RUN_ONCE);
}

bool host_loop_here(const host_loop *l) {
  uv_thread_t self = uv_thread_self();
  return uv_thread_equal(&self, &l->thread) != 0;
}

rt_value *host_json(const char *text) {
  rt_value *value = NULL;
  assert_int_equal(rt_value_from_json(&value, text, strlen(text), NULL), RT_OK);
  return value;
}

void host_make_dir(char *dir) {
  strcpy(dir, "/tmp/rt-host-XXXXXX");
  assert_non_null(mkdtemp(dir));
}

void host_remove_dir(const char *dir) {
  char command[128];
  snprintf(command, sizeof(command), "rm -rf %s", dir);
  assert_int_equal(system(command), 0);
}
