/* test_resume.c - kill -9 at random instants, resume, the same set.
 *
 * The program runs itself as the child that is killed:
 *   test_resume child DIR SESSION
 * SPDX-License-Identifier: MIT */
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "engine_kit.h"

#define ROUNDS 25

static char self[512];
extern char **environ;

/* --- the child ---------------------------------------------------------------
 */
/* Sends half, then fails, snoozes or goes on, as its value says. */
static void restless(kit_job *job, rt__end *end) {
  long n = atol(job->value);
  char text[32];
  if (2 * n <= KIT_NODES) {
    snprintf(text, sizeof(text), "%ld", 2 * n);
    kit_send(job, "node", text);
  }
  if (n % 7 == 3 && job->order->lease.attempt == 1) {
    end->kind = RT__END_FAILED;
    end->error = kit_error("again, please", "UNAVAILABLE", true);
    return;
  }
  if (2 * n + 1 <= KIT_NODES) {
    snprintf(text, sizeof(text), "%ld", 2 * n + 1);
    kit_send(job, "node", text);
  }
  snprintf(text, sizeof(text), "%ld", n / 2 + 1); /* known already, mostly */
  kit_send(job, "node", text);
}

static void fatal(kit_job *job, rt__end *end) {
  (void)end;
  if (strcmp(job->value, "bad") == 0) raise(SIGKILL);
}

static int child(const char *dir, const char *name) {
  kit *k = kit_start_in(dir);
  kit_cap(k, "restless", (kit_opts){.retries = 3, .fn = restless});
  kit_cap(k, "second", (kit_opts){.priority = 9, .max_instances = 8});
  kit_cap(k, "fatal", (kit_opts){.input = "mine", .fn = fatal});
  rt_session *s = kit_open(k, name, NULL);
  kit_dispatch(s, "node", "1");
  if (strcmp(name, "fatal") == 0) {
    kit_dispatch(s, "mine", "good");
    kit_dispatch(s, "mine", "bad");
  }
  kit_wait(s);
  kit_close(s);
  kit_stop_keep(k);
  return 0;
}

/* --- the parent ------------------------------------------------------ */
static pid_t start(const char *dir, const char *name) {
  char *argv[] = {self, "child", (char *)dir, (char *)name, NULL};
  pid_t pid = 0;
  assert_int_equal(posix_spawn(&pid, self, NULL, NULL, argv, environ), 0);
  return pid;
}

static bool ended(pid_t pid) {
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (WIFEXITED(status)) {
    assert_int_equal(WEXITSTATUS(status), 0);
    return true;
  }
  return false;
}

/* What ran at three of the kills was given up, which is as it should be; it is
 * put back. Nothing else may fail. */
static bool crashed_often(kit *k, const char *name) {
  static const char words[] = "crashed the runtime";
  rt_report *report = NULL;
  rt_value *page = NULL;
  rt_view job;
  int64_t put_back = 0;
  KIT_OK(rt_report_open(&report, k->dir, name, err));
  KIT_OK(rt_report_jobs(report, "failed", NULL, "", 10000, &page, err));
  rt_iter iter = rt_iter_of(rt_view_get(rt_value_view(page), "jobs"));
  bool any = iter.left > 0;
  while (rt_iter_next(&iter, NULL, &job)) {
    size_t size = 0;
    const char *why = rt_view_string(rt_view_get(job, "reason"), &size);
    if (size != strlen(words) || memcmp(why, words, size) != 0)
      fail_msg("a job failed: %.*s", (int)size, why ? why : "");
  }
  rt_value_unref(page);
  rt_report_close(report);
  if (any) KIT_OK(rt_session_retry(k->dir, name, &put_back, err));
  return any;
}

static void kill_and_resume_keeps_the_set(void **state) {
  kit *k = kit_start(state);
  const char *given = getenv("SEED");
  unsigned seed = given ? (unsigned)atol(given) : 1;
  bool done = false;
  print_message("seed %u\n", seed);
  for (int round = 0; !done && round < ROUNDS; round++) {
    pid_t pid = start(k->dir, "killed");
    usleep(2000 + (unsigned)rand_r(&seed) % 120000);
    kill(pid, SIGKILL);
    done = ended(pid);
  }
  if (!done) assert_true(ended(start(k->dir, "killed")));
  for (int i = 0; i < 3 && crashed_often(k, "killed"); i++)
    assert_true(ended(start(k->dir, "killed")));
  assert_int_equal(kit_assets(k, "killed"), KIT_NODES);
  rt_report *report = NULL;
  rt_value *status = NULL;
  KIT_OK(rt_report_open(&report, k->dir, "killed", err));
  KIT_OK(rt_report_status(report, &status, err));
  rt_view view = rt_value_view(status);
  assert_int_equal(rt_view_int(rt_view_get(view, "queued"), -1), 0);
  assert_int_equal(rt_view_int(rt_view_get(view, "done"), -1) +
                       rt_view_int(rt_view_get(view, "failed"), -1),
                   2 * KIT_NODES);
  rt_value_unref(status);
  rt_report_close(report);
  kit_stop(k);
}

static void what_crashes_three_times_is_failed(void **state) {
  kit *k = kit_start(state);
  for (int i = 0; i < 3; i++) assert_false(ended(start(k->dir, "fatal")));
  assert_true(ended(start(k->dir, "fatal")));
  assert_int_equal(kit_assets(k, "fatal"), KIT_NODES + 2);
  rt_report *report = NULL;
  rt_value *why = NULL;
  size_t size = 0;
  KIT_OK(rt_report_open(&report, k->dir, "fatal", err));
  KIT_OK(rt_report_why_not(report, "fatal", "mine:bad", &why, err));
  const char *reason =
      rt_view_string(rt_view_get(rt_value_view(why), "reason"), &size);
  assert_non_null(reason);
  assert_memory_equal(reason, "crashed the runtime", size);
  rt_value_unref(why);
  rt_report_close(report);
  kit_stop(k);
}

static void a_session_has_one_owner(void **state) {
  kit *k = kit_start(state);
  kit *other = kit_start_in(k->dir);
  rt_session *s = kit_open(k, "mine", NULL);
  rt_session *t = NULL;
  rt_session_opts o = RT_SESSION_OPTS_INIT;
  rt_error why = RT_ERROR_INIT;
  char pid[32];
  o.name = "mine";
  o.dir = k->dir;
  snprintf(pid, sizeof(pid), "%ld", (long)getpid());
  assert_int_equal(rt__session_open(&t, other->engine, &o, &why), RT_ECONFLICT);
  assert_non_null(strstr(why.message, pid));
  assert_int_equal(rt__session_open(&t, k->engine, &o, NULL), RT_ECONFLICT);
  assert_int_equal(rt_session_remove(k->dir, "mine", NULL), RT_ECONFLICT);
  kit_close(s);
  s = kit_open(other, "mine", NULL);
  kit_close(s);
  KIT_OK(rt_session_remove(k->dir, "mine", err));
  kit_stop_keep(other);
  kit_stop(k);
}

int main(int argc, char **argv) {
  kit_main(argc, argv);
  ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
  if (n <= 0) return 1;
  if (argc == 4) return child(argv[2], argv[3]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kill_and_resume_keeps_the_set),
      cmocka_unit_test(what_crashes_three_times_is_failed),
      cmocka_unit_test(a_session_has_one_owner),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
