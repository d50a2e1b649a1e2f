/* test_idmap.c - the map from numbers: found, removed, also during a walk.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dispatcher/idmap.h"

#define COUNT 500

static int values[COUNT];

static void fill(rt__idmap *map, unsigned *dice, uint64_t ids[COUNT]) {
  for (int i = 0; i < COUNT; i++) {
    ids[i] = (uint64_t)rand_r(dice) * COUNT + (uint64_t)i + 1;
    values[i] = i;
    assert_true(rt__idmap_set(map, ids[i], &values[i]));
  }
  assert_int_equal(map->count, COUNT);
}

/* Whoever removes what the walk gave misses nothing of the rest. */
static void a_walk_removes(void **state) {
  unsigned dice = 7;
  (void)state;
  for (int round = 0; round < 200; round++) {
    rt__idmap map = {0};
    uint64_t ids[COUNT];
    size_t at = 0, kept = 0;
    int *value;
    int every = 1 + round % 5;
    fill(&map, &dice, ids);
    while ((value = rt__idmap_next(&map, &at))) {
      if (*value % every) continue;
      assert_ptr_equal(rt__idmap_remove(&map, ids[*value]), value);
      at--;
    }
    for (int i = 0; i < COUNT; i++) {
      int *found = rt__idmap_get(&map, ids[i]);
      assert_ptr_equal(found, i % every ? &values[i] : NULL);
      kept += found != NULL;
    }
    assert_int_equal(map.count, kept);
    rt__idmap_deinit(&map);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_walk_removes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
