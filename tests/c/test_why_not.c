/* test_why_not.c - each cause that rt_report_why_not() knows, by the C API.
 * SPDX-License-Identifier: MIT */
#include <stdatomic.h>

#include "engine_kit.h"

static atomic_bool let_go;

static void held(kit_job *job, rt__end *end) {
  (void)job, (void)end;
  KIT_UNTIL(atomic_load(&let_go));
}

static void nothing(kit_job *job, rt__end *end) {
  (void)job, (void)end;
}

static void fails(kit_job *job, rt__end *end) {
  (void)job;
  end->kind = RT__END_FAILED;
  end->error = kit_error("no luck", "UNAVAILABLE", true);
}

static void gates(kit_job *job, rt__end *end) {
  (void)job;
  end->kind = RT__END_SKIPPED;
  end->reason = strdup("no mail port");
}

static void sends(kit_job *job, rt__end *end) {
  (void)end;
  kit_send(job, "b", "same");
  if (strcmp(job->value, "1") != 0) return;
  kit_send(job, "b", "out.test");
  kit_send(job, "b", "more");
}

typedef struct row {
  const char *capability, *key, *cause, *words;
} row;

/* Does the answer have this cause, and these words? Tells what it was. */
static bool answers(kit *k, const char *session, const row *want, bool tell) {
  rt_report *report = NULL;
  rt_value *why = NULL;
  KIT_OK(rt_report_open(&report, k->dir, session, err));
  KIT_OK(rt_report_why_not(report, want->capability, want->key, &why, err));
  rt_view view = rt_value_view(why);
  size_t size = 0, words = 0;
  const char *cause = rt_view_string(rt_view_get(view, "cause"), &size);
  const char *text = rt_view_string(rt_view_get(view, "answer"), &words);
  char answer[1000];
  snprintf(answer, sizeof(answer), "%.*s", (int)words, text);
  bool good = size == strlen(want->cause) &&
              memcmp(cause, want->cause, size) == 0 &&
              strstr(answer, want->words) != NULL;
  if (!good && tell) {
    fail_msg("%s on %s: expected %s (%s), got %.*s (%s)", want->capability,
             want->key, want->cause, want->words, (int)size, cause, answer);
  }
  rt_value_unref(why);
  rt_report_close(report);
  return good;
}

static void all(kit *k, const char *session, const row *rows, size_t count) {
  for (size_t i = 0; i < count; i++) answers(k, session, &rows[i], true);
}
#define ALL(k, session, rows)                                                  \
  all(k, session, rows, sizeof(rows) / sizeof(*rows))

static void what_has_ended(void **state) {
  static const row rows[] = {
      {"sends", "a:1", "done", "completed"},
      {"after", "b:same", "duplicate", "found 2 times more"},
      {"gate", "a:1", "gate", "gate: skipped: no mail port"},
      {"fails", "a:1", "failed", "no luck (2 times)"},
      {"after", "a:1", "type", "does not take the class a"},
      {"other", "a:1", "unselected", "was not chosen"},
      {"nobody", "a:1", "unregistered", "is not known"},
      {"sends", "a:0", "unknown", "was never found"},
      {"after", "b:out.test", "scope", "found by sends on a:1, but not taken"},
      {"after", "b:more", "fanout", "the job has sent its 1"},
  };
  const char *scope[] = {"!*.test"}, *without[] = {"other"};
  kit *k = kit_start(state);
  kit_cap(k, "sends", (kit_opts){.input = "a", .output = "b", .fn = sends});
  kit_cap(k, "gate", (kit_opts){.input = "a", .fn = gates});
  kit_cap(k, "fails", (kit_opts){.input = "a", .retries = 1, .fn = fails});
  kit_cap(k, "after", (kit_opts){.input = "b", .fn = nothing});
  kit_cap(k, "other", (kit_opts){.input = "a", .fn = nothing});
  rt_session_opts opts = RT_SESSION_OPTS_INIT;
  opts.scope = scope;
  opts.scope_count = opts.without_count = 1;
  opts.without = without;
  opts.max_fanout = 1;
  rt_session *s = kit_open(k, "ended", &opts);
  kit_dispatch(s, "a", "1");
  kit_wait(s);
  kit_dispatch(s, "a", "2");
  kit_dispatch(s, "a", "3");
  kit_wait(s);
  ALL(k, "ended", rows);
  kit_close(s);
  ALL(k, "ended", rows);
  kit_stop(k);
}

/* Asked of the tables while they are written. */
static void what_has_not(void **state) {
  static const row rows[] = {
      {"first", "a:1", "running", "running"},
      {"second", "a:1", "stage", "until first, an earlier stage, is done"},
      {"first", "a:2", "instance", "of 1 none is free"},
      {"rated", "r:2", "rate", "waits for its rate"},
      {"fails", "e:1", "retrying", "will be tried again"},
  };
  static const row paused[] = {
      {"second", "a:1", "paused", "queued, and the session is paused"},
      {"rated", "r:2", "paused", "queued, and the session is paused"},
  };
  static const row given_up = {"rated", "r:2", "canceled",
                               "canceled with the session"};
  kit *k = kit_start(state);
  atomic_store(&let_go, false);
  kit_cap(
      k, "first",
      (kit_opts){.input = "a", .priority = 1, .max_instances = 1, .fn = held});
  kit_cap(k, "second", (kit_opts){.input = "a", .priority = 2, .fn = nothing});
  kit_cap(k, "rated", (kit_opts){.input = "r", .rate = 0.001, .fn = nothing});
  kit_cap(k, "fails", (kit_opts){.input = "e", .retries = 30, .fn = fails});
  rt_session *s = kit_open(k, "open", NULL);
  kit_dispatch(s, "r", "1");
  kit_dispatch(s, "r", "2");
  kit_dispatch(s, "e", "1");
  kit_dispatch(s, "a", "1");
  kit_dispatch(s, "a", "2");
  for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
    KIT_UNTIL(answers(k, "open", &rows[i], false));
  }
  rt_session_pause(s);
  KIT_UNTIL(answers(k, "open", &paused[0], false));
  ALL(k, "open", paused);
  rt_session_resume(s);
  KIT_UNTIL(answers(k, "open", &rows[3], false));
  atomic_store(&let_go, true);
  KIT_OK(rt_session_cancel(s, "enough", true, err));
  answers(k, "open", &given_up, true);
  kit_close(s);
  kit_stop(k);
}

/* Do its reasons, as JSON, say this? */
static bool why_says(kit *k, const char *session, const char *words) {
  rt_report *report = NULL;
  rt_value *why = NULL;
  char *text = NULL;
  size_t size;
  KIT_OK(rt_report_open(&report, k->dir, session, err));
  KIT_OK(rt_report_why(report, &why, err));
  KIT_OK(rt_value_to_json(&text, &size, why, err));
  bool says = strstr(text, words) != NULL;
  rt_free(text);
  rt_value_unref(why);
  rt_report_close(report);
  return says;
}

/* By an operator, while it runs: told for what waits since, and kept neither
 * by the session nor by another runtime. */
static void what_was_scaled(void **state) {
  static const row none = {"cap", "a:1", "scaled", "it is scaled to 0"};
  static const row one = {"cap", "a:2", "scaled", "of the 1 that it is scaled"};
  static const row two = {"cap", "a:3", "instance", "of 2 none is free"};
  static const row gone = {"cap", "a:3", "stopped", "the session is stopped"};
  kit *k = kit_start(state);
  atomic_store(&let_go, false);
  kit_cap(k, "cap", (kit_opts){.input = "a", .max_instances = 2, .fn = held});
  rt_session *s = kit_open(k, "scaled", NULL);
  rt_session *t = kit_open(k, "beside", NULL);
  KIT_OK(rt_session_scale(s, "cap", 0, err));
  kit_dispatch(s, "a", "1");
  kit_dispatch(s, "a", "2");
  kit_dispatch(s, "a", "3");
  kit_dispatch(t, "a", "1");
  KIT_UNTIL(answers(k, "scaled", &none, false));
  KIT_UNTIL(answers(k, "beside", &none, false));
  KIT_UNTIL(why_says(k, "scaled", "waits for an instance: it is scaled"));
  kit_close(t);
  KIT_OK(rt_session_scale(s, "cap", 1, err));
  KIT_UNTIL(answers(k, "scaled", &one, false));
  KIT_OK(rt_session_scale(s, "cap", -1, err));
  KIT_UNTIL(answers(k, "scaled", &two, false));
  assert_false(why_says(k, "scaled", "it is scaled"));
  KIT_OK(rt_session_scale(s, "cap", 0, err));
  atomic_store(&let_go, true);
  kit_close(s);
  answers(k, "scaled", &gone, true);
  assert_false(why_says(k, "scaled", "it is scaled"));
  kit_stop(k);
}

/* A session that was closed while it was paused is paused no more. */
static void a_pause_is_not_kept(void **state) {
  static const row gone = {"cap", "a:1", "stopped", "the session is stopped"};
  static const row done = {"cap", "a:1", "done", "completed"};
  kit *k = kit_start(state);
  kit_cap(k, "cap", (kit_opts){.input = "a", .fn = nothing});
  rt_session *s = kit_open(k, "kept", NULL);
  rt_session_pause(s);
  kit_dispatch(s, "a", "1");
  kit_close(s);
  answers(k, "kept", &gone, true);
  s = kit_open(k, "kept", NULL);
  kit_wait(s);
  answers(k, "kept", &done, true);
  kit_close(s);
  kit_stop(k);
}

static void what_came_too_late(void **state) {
  static const row late = {"new", "a:1", "late", "registered after a:1"};
  kit *k = kit_start(state);
  rt_session *s = kit_open(k, "late", NULL);
  kit_dispatch(s, "a", "1");
  kit_wait(s);
  kit_cap(k, "new", (kit_opts){.input = "a", .fn = nothing});
  kit_dispatch(s, "a", "2");
  kit_wait(s);
  answers(k, "late", &late, true);
  kit_close(s);
  kit_stop(k);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_has_ended),
      cmocka_unit_test(what_has_not),
      cmocka_unit_test(what_was_scaled),
      cmocka_unit_test(a_pause_is_not_kept),
      cmocka_unit_test(what_came_too_late),
  };
  kit_main(argc, argv);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
