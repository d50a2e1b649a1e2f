/* test_blocks.c - the memory of a VM: blocks keep their content, memory goes
 * back. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "process/blocks.h"

enum { SLOTS = 5000, STEPS = 400000 };

typedef struct slot {
  unsigned char *at;
  size_t size;
  unsigned char mark;
} slot;

static uint32_t seed = 12345;

static uint32_t next_random(void) {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

static size_t random_size(void) {
  uint32_t n = next_random();
  return 1 + (n % 50 == 0 ? n / 64 % 5000 : n / 64 % 600);
}

static void mark(slot *s, unsigned char by) {
  s->mark = by;
  memset(s->at, by, s->size);
}

static void check_first(const slot *s, size_t size) {
  for (size_t i = 0; i < size; i++) assert_int_equal(s->at[i], s->mark);
}

static void drop(rt__blocks *b, slot *s) {
  check_first(s, s->size);
  rt__blocks_give(b, s->at, s->size);
  s->at = NULL;
}

static void move(rt__blocks *b, slot *s) {
  size_t size = random_size();
  s->at = rt__blocks_resize(b, s->at, s->size, size);
  assert_non_null(s->at);
  check_first(s, s->size < size ? s->size : size);
  s->size = size;
  mark(s, (unsigned char)next_random());
}

static void test_content(void **state) {
  (void)state;
  rt__blocks b = {0};
  slot *slots = calloc(SLOTS, sizeof(*slots));
  assert_non_null(slots);
  for (int i = 0; i < STEPS; i++) {
    slot *s = &slots[next_random() % SLOTS];
    if (i % 1000 == 0) rt__blocks_trim(&b);
    if (!s->at) {
      s->size = random_size();
      s->at = rt__blocks_take(&b, s->size);
      assert_non_null(s->at);
      assert_int_equal((uintptr_t)s->at % 8, 0);
      mark(s, (unsigned char)i);
    } else if (next_random() % 3 == 0)
      move(&b, s);
    else
      drop(&b, s);
  }
  for (int i = 0; i < SLOTS; i++)
    if (slots[i].at) drop(&b, &slots[i]);
  free(slots);
  rt__blocks_deinit(&b);
}

/* What a burst took goes back; what stays serves the next one. */
static void test_gives_back(void **state) {
  (void)state;
  rt__blocks b = {0};
  enum { COUNT = 100000 };
  void **blocks = malloc(COUNT * sizeof(*blocks));
  assert_non_null(blocks);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < COUNT; i++)
      assert_non_null(blocks[i] = rt__blocks_take(&b, 64));
    for (int i = 0; i < COUNT; i++) rt__blocks_give(&b, blocks[i], 64);
    assert_null(b.full);
    assert_true(b.idle <= 1);
  }
  free(blocks);
  rt__blocks_deinit(&b);
  assert_null(b.roomy);
}

static void test_edges(void **state) {
  (void)state;
  rt__blocks b = {0};
  static const size_t sizes[] = {1, 8, 9, RT__BLOCK_MAX, RT__BLOCK_MAX + 1};
  for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
    for (size_t j = 0; j < sizeof(sizes) / sizeof(*sizes); j++) {
      slot s = {rt__blocks_take(&b, sizes[i]), sizes[i], 0};
      assert_non_null(s.at);
      mark(&s, 7);
      s.at = rt__blocks_resize(&b, s.at, sizes[i], sizes[j]);
      assert_non_null(s.at);
      s.size = sizes[i] < sizes[j] ? sizes[i] : sizes[j];
      check_first(&s, s.size);
      rt__blocks_give(&b, s.at, sizes[j]);
    }
  rt__blocks_give(&b, NULL, 0);
  rt__blocks_deinit(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_content),
                                     cmocka_unit_test(test_gives_back),
                                     cmocka_unit_test(test_edges)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
