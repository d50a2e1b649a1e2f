/* test_relay.c - PIDs, names and mailboxes.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "process/held.h"
#include "relay/mailbox.h"
#include "relay/names.h"
#include "relay/pids.h"

#define MANY 3000

static void pid_text_and_back(void **state) {
  (void)state;
  rt_pid pid = (rt_pid)2 << 56 | (rt_pid)1 << 52 | (rt_pid)0x1f << 32 | 3;
  char text[RT_PID_TEXT];
  rt_pid_text(pid, text);
  assert_string_equal(text, "{21|1f.3}");
  assert_true(rt_pid_parse(text) == pid);
  rt_pid_text(UINT64_MAX, text);
  assert_true(rt_pid_parse(text) == UINT64_MAX);
}

static void pid_of_garbage_is_none(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",       "{",          "{}",       "{1|2}",    "1|2.3",
      "{1|2.3", "{1|2.3}x",   "{1|2.3.}", "{g|2.3}",  "{1|2.100000000}",
      "{1|.3}", "{1000|1.1}", "{|1.1}",   "{1|2.3} ", "{1|100000.1}"};
  assert_true(rt_pid_parse(NULL) == 0);
  for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    assert_true(rt_pid_parse(bad[i]) == 0);
}

static void pids_are_not_used_again(void **state) {
  (void)state;
  rt__pids pids;
  rt_pid *taken = calloc(MANY, sizeof(*taken));
  assert_non_null(taken);
  assert_int_equal(rt__pids_init(&pids, 3, 1), RT_OK);
  for (int i = 0; i < MANY; i++) {
    taken[i] = rt__pids_take(&pids);
    assert_true(taken[i] != 0);
    assert_int_equal(rt__pid_worker(taken[i]), 3);
    assert_int_equal(rt__pid_vm(taken[i]), 1);
    assert_true(rt__pids_alive(&pids, taken[i]));
    rt__pids_set(&pids, taken[i], &taken[i]);
  }
  for (int i = 0; i < MANY; i++) {
    assert_ptr_equal(rt__pids_get(&pids, taken[i]), &taken[i]);
    rt__pids_drop(&pids, taken[i]);
    assert_false(rt__pids_alive(&pids, taken[i]));
    assert_null(rt__pids_get(&pids, taken[i]));
  }
  for (int i = 0; i < MANY; i++) {
    rt_pid again = rt__pids_take(&pids);
    assert_true(again != taken[i]);
    assert_false(rt__pids_alive(&pids, taken[i]));
  }
  assert_false(rt__pids_alive(&pids, (rt_pid)0xfffff << 32 | 1));
  rt__pids_deinit(&pids);
  free(taken);
}

/* Threads take and drop; nobody meets a slot that another has. */
enum { THREADS = 4, HELD = 100, ROUNDS = 300 };

typedef struct crowd {
  rt__pids pids;
  atomic_int owners[THREADS * HELD + RT__PIDS_CHUNK];
  atomic_int shared; /* slots that had two owners */
} crowd;

static void take_and_drop(void *arg) {
  crowd *c = arg;
  rt_pid mine[HELD];
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < HELD; i++) {
      mine[i] = rt__pids_take(&c->pids);
      if (atomic_fetch_add(&c->owners[rt__pid_slot(mine[i])], 1) != 0)
        atomic_fetch_add(&c->shared, 1);
    }
    for (int i = 0; i < HELD; i++) {
      atomic_fetch_sub(&c->owners[rt__pid_slot(mine[i])], 1);
      rt__pids_drop(&c->pids, mine[i]);
    }
  }
}

static void pids_of_many_threads(void **state) {
  (void)state;
  crowd *c = calloc(1, sizeof(*c));
  uv_thread_t threads[THREADS];
  assert_non_null(c);
  assert_int_equal(rt__pids_init(&c->pids, 0, 0), RT_OK);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(uv_thread_create(&threads[i], take_and_drop, c), 0);
  for (int i = 0; i < THREADS; i++) uv_thread_join(&threads[i]);
  assert_int_equal(atomic_load(&c->shared), 0);
  assert_int_equal(rt__pids_live(&c->pids), 0);
  assert_true(c->pids.used <= THREADS * HELD);
  rt__pids_deinit(&c->pids);
  free(c);
}

static void names_are_unique(void **state) {
  (void)state;
  rt__names names;
  assert_int_equal(rt__names_init(&names), RT_OK);
  assert_true(rt__names_find(&names, "a", 1) == 0);
  rt_pid owner = 0;
  assert_int_equal(rt__names_remove(&names, "a", 1, 7, NULL), RT_ENOTFOUND);
  assert_int_equal(rt__names_add(&names, "a", 1, 7), RT_OK);
  assert_int_equal(rt__names_add(&names, "a", 1, 8), RT_EEXIST);
  assert_true(rt__names_find(&names, "a", 1) == 7);
  assert_true(rt__names_find(&names, "ab", 2) == 0);
  assert_int_equal(rt__names_remove(&names, "a", 1, 8, &owner), RT_EPERM);
  assert_true(owner == 7);
  assert_true(rt__names_find(&names, "a", 1) == 7);
  assert_int_equal(rt__names_remove(&names, "a", 1, 7, NULL), RT_OK);
  assert_true(rt__names_find(&names, "a", 1) == 0);
  rt__names_deinit(&names);
}

static void names_vanish_with_their_process(void **state) {
  (void)state;
  rt__names names;
  char name[16];
  assert_int_equal(rt__names_init(&names), RT_OK);
  for (int i = 0; i < MANY; i++) {
    int n = snprintf(name, sizeof(name), "n%d", i);
    assert_int_equal(
        rt__names_add(&names, name, (size_t)n, (rt_pid)(1 + i % 3)), RT_OK);
  }
  rt__names_drop(&names, 2);
  for (int i = 0; i < MANY; i++) {
    int n = snprintf(name, sizeof(name), "n%d", i);
    rt_pid want = i % 3 == 1 ? 0 : (rt_pid)(1 + i % 3);
    assert_true(rt__names_find(&names, name, (size_t)n) == want);
  }
  rt__names_deinit(&names);
}

/* Against a plain array, at random. */
static void names_as_a_model_has_them(void **state) {
  (void)state;
  enum { NAMES = 500, PIDS = 7 };
  rt_pid model[NAMES] = {0};
  uint32_t seed = 1;
  rt__names names;
  assert_int_equal(rt__names_init(&names), RT_OK);
  for (int step = 0; step < 20000; step++) {
    char text[16];
    seed = seed * 1664525u + 1013904223u;
    unsigned at = (seed >> 8) % NAMES;
    rt_pid pid = 1 + (seed >> 20) % PIDS;
    size_t size = (size_t)snprintf(text, sizeof(text), "n%u", at);
    if (seed >> 28 == 0) {
      rt__names_drop(&names, pid);
      for (int i = 0; i < NAMES; i++)
        if (model[i] == pid) model[i] = 0;
    } else if (seed >> 28 < 12) {
      rt_err rc = rt__names_add(&names, text, size, pid);
      assert_int_equal(rc, model[at] ? RT_EEXIST : RT_OK);
      if (!model[at]) model[at] = pid;
    } else {
      rt_err rc = rt__names_remove(&names, text, size, pid, NULL);
      assert_int_equal(rc, !model[at]         ? RT_ENOTFOUND
                           : model[at] != pid ? RT_EPERM
                                              : RT_OK);
      if (model[at] == pid) model[at] = 0;
    }
    assert_true(rt__names_find(&names, text, size) == model[at]);
  }
  rt__names_deinit(&names);
}

static void mailbox_keeps_order_and_counts(void **state) {
  (void)state;
  rt__mailbox box = {0};
  rt_value *value = rt_value_string("payload", 7);
  assert_null(rt__mailbox_take(&box));
  for (rt_pid i = 1; i <= 5; i++)
    rt__mailbox_put(&box, rt__package_new(RT__MESSAGE, i, 9, "topic", value));
  assert_int_equal(box.count, 5);
  assert_true(box.bytes > 5 * sizeof(rt__package));
  for (rt_pid i = 1; i <= 3; i++) {
    rt__package *package = rt__mailbox_take(&box);
    assert_true(package->from == i && package->to == 9);
    assert_string_equal(package->topic, "topic");
    assert_true(rt_value_equal(package->payloads, value));
    rt__package_free(package);
  }
  rt__mailbox_clear(&box);
  assert_int_equal(box.count, 0);
  assert_int_equal(box.bytes, 0);
  rt_value_unref(value);
}

static void small_messages_use_blocks_again(void **state) {
  (void)state;
  enum { COUNT = RT__STOCK_BATCH * (RT__STOCK_DEPOT + 4) };
  static rt__package *sent[COUNT];
  static const unsigned char data[] = {0x92, 0xA1, 'x', 0x07};
  rt__depot depot;
  assert_int_equal(rt__depot_init(&depot), RT_OK);
  rt__stock sender = {.depot = &depot}, reader = {.depot = &depot};
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < COUNT; i++) {
      sent[i] = rt__package_message(&sender, (rt_pid)i, 9, "topic", 5, data,
                                    sizeof(data));
      assert_non_null(sent[i]);
      assert_true(sent[i]->pooled);
    }
    for (int i = 0; i < COUNT; i++) {
      rt_view view = rt__package_view(sent[i]);
      assert_true(sent[i]->from == (rt_pid)i);
      assert_string_equal(sent[i]->topic, "topic");
      assert_int_equal(rt_view_count(view), 2);
      assert_int_equal(rt_view_int(rt_view_at(view, 1), 0), 7);
      rt__package_recycle(&reader, sent[i]);
    }
    assert_int_equal(depot.count, RT__STOCK_DEPOT); /* the rest is freed */
  }
  rt__stock_deinit(&sender);
  rt__stock_deinit(&reader);
  rt__depot_deinit(&depot);
}

/* Around the size of a block, and with a topic that fills one alone. */
static void messages_of_any_size_are_whole(void **state) {
  (void)state;
  char topic[300], data[300];
  rt__depot depot;
  assert_int_equal(rt__depot_init(&depot), RT_OK);
  rt__stock stock = {.depot = &depot};
  memset(topic, 't', sizeof(topic));
  for (size_t named = 0; named < sizeof(topic); named += 7)
    for (size_t size = 0; size < sizeof(data); size++) {
      memset(data, (int)(size & 255), sizeof(data));
      rt__package *package =
          rt__package_message(&stock, 1, 2, topic, named, data, size);
      assert_non_null(package);
      assert_int_equal(package->topic_size, named);
      assert_memory_equal(package->topic, topic, named);
      assert_int_equal(package->topic[named], 0);
      rt_view view = rt__package_view(package);
      if (size == 0) assert_null(view.at);
      if (size > 0) {
        assert_int_equal(view.end - view.at, size);
        assert_memory_equal(view.at, data, size);
      }
      assert_true(rt__package_size(package) > size + named);
      rt__package_recycle(&stock, package);
    }
  rt__stock_deinit(&stock);
  rt__depot_deinit(&depot);
}

/* Channel 1 gets the packages 0 2 4..., channel 2 the others. */
static void held_mail_is_kept_by_channel(void **state) {
  (void)state;
  static const char channels[2];
  rt__held *list = NULL;
  size_t bytes, more;
  for (rt_pid i = 0; i < 20; i++) {
    rt__held *held = rt__held_for(&list, &channels[i & 1]);
    assert_non_null(held);
    rt__mailbox_put(&held->mail, rt__package_new(RT__MESSAGE, i, 9, "t", NULL));
  }
  assert_int_equal(rt__held_count(list, &bytes), 20);
  for (rt_pid i = 0; i < 20; i += 2) {
    rt__held *held = rt__held_of(list, &channels[0]);
    rt__package *package = rt__held_take(&list, held);
    assert_true(package->from == i);
    rt__package_free(package);
  }
  assert_null(rt__held_of(list, &channels[0]));
  assert_int_equal(rt__held_count(list, &more), 10);
  assert_int_equal(more * 2, bytes);
  rt__held_clear(&list);
  assert_null(list);
  assert_int_equal(rt__held_count(list, &bytes), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pid_text_and_back),
      cmocka_unit_test(pid_of_garbage_is_none),
      cmocka_unit_test(pids_are_not_used_again),
      cmocka_unit_test(pids_of_many_threads),
      cmocka_unit_test(names_are_unique),
      cmocka_unit_test(names_vanish_with_their_process),
      cmocka_unit_test(names_as_a_model_has_them),
      cmocka_unit_test(mailbox_keeps_order_and_counts),
      cmocka_unit_test(small_messages_use_blocks_again),
      cmocka_unit_test(messages_of_any_size_are_whole),
      cmocka_unit_test(held_mail_is_kept_by_channel),
  };
  return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
