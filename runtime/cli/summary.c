/* cli/summary.c - what a run ends with on stderr.
 * SPDX-License-Identifier: MIT */
#include "summary.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

enum { SHOWN = 10 };

static void print_failures(rt_view jobs, FILE *out) {
  cli_table table;
  rt_view job;
  rt_iter iter = rt_iter_of(jobs);
  cli_table_init(&table, 3);
  while (rt_iter_next(&iter, NULL, &job)) {
    cli_table_add(&table, cli_member(job, "capability"));
    cli_table_add(&table, cli_member(job, "target"));
    cli_table_add(&table, cli_member(job, "reason"));
  }
  cli_table_print(&table, out);
  cli_table_deinit(&table);
}

static void failures(const char *dir, const char *name, long long failed,
                     FILE *out) {
  rt_report *report = NULL;
  rt_value *answer = NULL;
  if (failed < 1) return;
  if (rt_report_open(&report, dir, name, NULL) == RT_OK &&
      rt_report_jobs(report, "failed", NULL, "", SHOWN, &answer, NULL) ==
          RT_OK) {
    fprintf(out, "%lld failed:\n", failed);
    print_failures(rt_view_get(rt_value_view(answer), "jobs"), out);
    if (failed > SHOWN) {
      fprintf(out, "  ... and more: runtime jobs %s --state failed\n", name);
    }
  }
  rt_value_unref(answer);
  rt_report_close(report);
}

void cli_print_rejections(rt_view stats, FILE *out) {
  rt_view kind, count;
  bool first = true;
  rt_iter iter = rt_iter_of(rt_view_get(stats, "rejections"));
  while (rt_iter_next(&iter, &kind, &count)) {
    char *text = cli_text(kind);
    bool scope = text && !strcmp(text, "scope");
    fprintf(out, "%s%lld %s %s", first ? "  not taken: " : ", ",
            (long long)rt_view_int(count, 0), scope ? "out of" : "over",
            text ? text : "?");
    first = false;
    free(text);
  }
  if (!first) fputc('\n', out);
}

void cli_summary(cli *c, const char *dir, const char *name, const char *outcome,
                 double seconds, const rt_value *stats) {
  rt_view view = rt_value_view(stats);
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  if (!out) return;
  long long assets = cli_sum(rt_view_get(view, "assets"));
  long long jobs = cli_count(view, "work_items_completed");
  if (stats) {
    fprintf(out, "session %s %s: %lld asset%s, %lld job%s in %.1f s\n", name,
            outcome, assets, assets == 1 ? "" : "s", jobs, jobs == 1 ? "" : "s",
            seconds);
  } else { /* its file cannot be read or written now */
    fprintf(out, "session %s %s in %.1f s; 'runtime status' has its counts\n",
            name, outcome, seconds);
  }
  cli_print_stats(view, out);
  int64_t again = rt_view_int(rt_view_get(view, "reruns"), 0);
  if (again) fprintf(out, "  run again: %lld\n", (long long)again);
  cli_print_rejections(view, out);
  failures(dir, name, cli_count(view, "failed"), out);
  fclose(out);
  console_err(&c->console, text, size);
  free(text);
}
