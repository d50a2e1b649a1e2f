/* test_engine.c - the engine with an executor of our own: expansion, ends,
 * retries, stages, rates, control, resume after a kill.
 * SPDX-License-Identifier: MIT */
#include "engine_kit.h"

/* --- a graph that expands itself ------------------------------------------ */
static void expands_to_the_exact_set(void **state) {
  kit *k = kit_start(state);
  kit_cap(k, "left", (kit_opts){0});
  kit_cap(k, "right", (kit_opts){0});
  rt_session *s = kit_open(k, "exp", NULL);
  assert_int_equal(kit_dispatch(s, "node", "1"), RT_QUEUED);
  kit_wait(s);
  assert_int_equal(kit_assets(k, "exp"), 2000);
  assert_int_equal(kit_stat(s, "failed"), 0);
  assert_int_equal(kit_stat(s, "work_items_completed"), 4000);
  kit_close(s);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(expands_to_the_exact_set),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
