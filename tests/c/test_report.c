/* test_report.c - pages of reports, sessions as files, events of a session.
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>

#include "engine_kit.h"

static void third_skips(kit_job *job, rt__end *end) {
  long n = atol(job->value);
  if (n % 3 == 0) {
    end->kind = RT__END_SKIPPED;
    end->reason = strdup("a third");
  } else if (n % 5 == 0) {
    end->kind = RT__END_FAILED;
    end->error = kit_error("a fifth", "INTERNAL", false);
  }
}

static void few(kit_job *job, rt__end *end) {
  (void)end;
  long n = atol(job->value);
  char text[32];
  for (long child = 2 * n; child <= 60 && child <= 2 * n + 1; child++) {
    snprintf(text, sizeof(text), "%ld", child);
    kit_send(job, "node", text);
  }
  if (n > 1) kit_send(job, "node", "2"); /* a further way to it */
}

static rt_session *small_session(kit *k) {
  kit_cap(k, "few", (kit_opts){.fn = few});
  kit_cap(k, "thirds", (kit_opts){.fn = third_skips});
  rt_session *s = kit_open(k, "small", NULL);
  kit_dispatch(s, "node", "1");
  kit_wait(s);
  return s;
}

/* All jobs in this state, page by page; ids go up. */
static int count_jobs(rt_report *report, const char *state,
                      const char *capability) {
  char cursor[64] = "";
  int64_t last = 0;
  int count = 0;
  for (;;) {
    rt_value *page = NULL;
    KIT_OK(rt_report_jobs(report, state, capability, cursor, 7, &page, err));
    rt_view view = rt_value_view(page), job;
    rt_iter iter = rt_iter_of(rt_view_get(view, "jobs"));
    while (rt_iter_next(&iter, NULL, &job)) {
      int64_t id = rt_view_int(rt_view_get(job, "id"), 0);
      assert_true(id > last);
      last = id;
      count++;
    }
    size_t size = 0;
    const char *next = rt_view_string(rt_view_get(view, "cursor"), &size);
    if (next) snprintf(cursor, sizeof(cursor), "%.*s", (int)size, next);
    rt_value_unref(page);
    if (!next) return count;
  }
}

static void jobs_come_in_pages(void **state) {
  kit *k = kit_start(state);
  rt_session *s = small_session(k);
  rt_report *report = NULL;
  KIT_OK(rt_report_open(&report, k->dir, "small", err));
  assert_int_equal(count_jobs(report, NULL, NULL), 120);
  assert_int_equal(count_jobs(report, NULL, "few"), 60);
  assert_int_equal(count_jobs(report, "skipped", NULL), 20);
  assert_int_equal(count_jobs(report, "failed", NULL), 8);
  assert_int_equal(count_jobs(report, "completed", NULL), 92);
  assert_int_equal(count_jobs(report, "queued", NULL), 0);
  assert_int_equal(count_jobs(report, "skipped", "few"), 0);
  rt_report_close(report);
  kit_close(s);
  kit_stop(k);
}

static void edges_come_in_pages(void **state) {
  kit *k = kit_start(state);
  rt_session *s = small_session(k);
  rt_report *report = NULL;
  int64_t after = 0;
  int count = 0, to_two = 0;
  KIT_OK(rt_report_open(&report, k->dir, "small", err));
  for (;;) {
    rt_value *page = NULL;
    KIT_OK(rt_report_edges(report, after, 9, &page, err));
    rt_iter iter = rt_iter_of(rt_value_view(page));
    rt_view edge;
    int got = 0;
    while (rt_iter_next(&iter, NULL, &edge)) {
      size_t size = 0;
      const char *to = rt_view_string(rt_view_get(edge, "to"), &size);
      int64_t id = rt_view_int(rt_view_get(edge, "id"), 0);
      assert_true(id > after);
      after = id;
      to_two += size == 6 && memcmp(to, "node:2", 6) == 0;
      got++;
    }
    rt_value_unref(page);
    count += got;
    if (got == 0) break;
  }
  /* every asset but the seed, and 2 from all but 1 and itself */
  assert_int_equal(count, 59 + 58);
  assert_int_equal(to_two, 59);
  rt_report_close(report);
  kit_close(s);
  kit_stop(k);
}

static void sessions_are_listed_and_removed(void **state) {
  kit *k = kit_start(state);
  rt_value *list = NULL;
  KIT_OK(rt_session_list("/nowhere/at/all", &list, err));
  assert_int_equal(rt_view_count(rt_value_view(list)), 0);
  rt_value_unref(list);
  rt_session *s = small_session(k);
  rt_session *t = kit_open(k, "another", NULL);
  KIT_OK(rt_session_list(k->dir, &list, err));
  rt_view first = rt_view_at(rt_value_view(list), 0);
  rt_view second = rt_view_at(rt_value_view(list), 1);
  size_t size = 0;
  assert_memory_equal(rt_view_string(rt_view_get(first, "name"), &size),
                      "another", 7);
  assert_int_equal(rt_view_int(rt_view_get(second, "assets"), 0), 60);
  assert_int_equal(rt_view_int(rt_view_get(second, "jobs"), 0), 120);
  assert_int_equal(rt_view_int(rt_view_get(second, "owner"), 0), getpid());
  rt_value_unref(list);
  kit_close(s);
  kit_close(t);
  KIT_OK(rt_session_remove(k->dir, "small", err));
  assert_int_equal(rt_session_remove(k->dir, "small", NULL), RT_ENOTFOUND);
  KIT_OK(rt_session_list(k->dir, &list, err));
  assert_int_equal(rt_view_count(rt_value_view(list)), 1);
  rt_value_unref(list);
  kit_stop(k);
}

/* --- events --- */
typedef struct heard {
  atomic_int discovered, duplicate, queued, completed, skipped, failed,
      finished, opened;
} heard;

static void on_event(const rt_event *event, void *arg) {
  heard *h = arg;
  const struct {
    const char *kind;
    atomic_int *count;
  } kinds[] = {
      {"asset.discovered", &h->discovered}, {"asset.duplicate", &h->duplicate},
      {"job.queued", &h->queued},           {"job.completed", &h->completed},
      {"job.skipped", &h->skipped},         {"job.failed", &h->failed},
      {"session.finished", &h->finished},   {"session.opened", &h->opened},
  };
  for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
    if (strcmp(event->kind, kinds[i].kind) == 0) {
      atomic_fetch_add(kinds[i].count, 1);
    }
  }
  assert_memory_equal(event->path, "small", 5);
}

static void a_session_tells_its_life(void **state) {
  kit *k = kit_start(state);
  heard h = {0};
  uint64_t id;
  KIT_OK(rt_bus_subscribe(k->bus, &id, "session", NULL, on_event, &h, err));
  rt_session *s = small_session(k);
  KIT_UNTIL(atomic_load(&h.finished) == 1);
  assert_int_equal(atomic_load(&h.opened), 1);
  assert_int_equal(atomic_load(&h.discovered), 60);
  assert_int_equal(atomic_load(&h.duplicate), 59);
  assert_int_equal(atomic_load(&h.queued), 120);
  assert_int_equal(atomic_load(&h.completed), 92);
  assert_int_equal(atomic_load(&h.skipped), 20);
  assert_int_equal(atomic_load(&h.failed), 8);
  kit_close(s);
  rt_bus_unsubscribe(k->bus, id);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(jobs_come_in_pages),
      cmocka_unit_test(edges_come_in_pages),
      cmocka_unit_test(sessions_are_listed_and_removed),
      cmocka_unit_test(a_session_tells_its_life),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
