/* cli/why.c - `runtime why NAME [CAPABILITY CLASS:VALUE]`: what keeps a session
 * open, or what became of a capability on an asset.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"

static bool is(const char *name, size_t size, const char *other) {
  return size == strlen(other) && memcmp(name, other, size) == 0;
}

/* An instant in seconds as UTC [own]; any other view as it is. */
static char *instant(rt_view view) {
  char text[40];
  struct tm utc;
  double seconds = rt_view_number(view, -1);
  time_t whole = (time_t)seconds;
  if (seconds < 0 || seconds > 1e11 || !gmtime_r(&whole, &utc))
    return cli_text(view);
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return strdup(text);
}

/* Every member but those named before, as "key value". */
static void print_rest(rt_view map, FILE *out) {
  rt_view key, item;
  rt_iter iter = rt_iter_of(map);
  while (rt_iter_next(&iter, &key, &item)) {
    size_t size;
    const char *name = rt_view_string(key, &size);
    if (!name || is(name, size, "what") || is(name, size, "count")) continue;
    char *text = is(name, size, "due") ? instant(item) : cli_text(item);
    fprintf(out, "  %.*s=%s", (int)size, name, text ? text : "?");
    free(text);
  }
  fputc('\n', out);
}

static void print_open(rt_view why, FILE *out) {
  char *state = cli_member(why, "state");
  rt_view reason;
  rt_view reasons = rt_view_get(why, "reasons");
  rt_iter iter = rt_iter_of(reasons);
  fprintf(out, "  session is %s%s\n", state ? state : "?",
          rt_view_count(reasons) ? "; open are:" : "; nothing keeps it open");
  free(state);
  while (rt_iter_next(&iter, NULL, &reason)) {
    char *what = cli_member(reason, "what");
    int64_t count = rt_view_int(rt_view_get(reason, "count"), 0);
    fprintf(out, count ? "  %8lld %s" : "  %8.0lld %s", (long long)count,
            what ? what : "?");
    free(what);
    print_rest(reason, out);
  }
}

static void print_answer(rt_view why, FILE *out) {
  char *answer = cli_member(why, "answer");
  fprintf(out, "  %s\n", answer ? answer : "?");
  free(answer);
  rt_view error;
  rt_iter iter = rt_iter_of(rt_view_get(why, "errors"));
  for (int attempt = 1; rt_iter_next(&iter, NULL, &error); attempt++) {
    char *kind = cli_member(error, "kind");
    char *message = cli_member(error, "message");
    fprintf(out, "  attempt %d: %s: %s\n", attempt, kind ? kind : "?",
            message ? message : "?");
    free(kind);
    free(message);
  }
}

static int put_why(cli *c, rt_view why, bool asset) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  (asset ? print_answer : print_open)(why, out);
  fclose(out);
  return cli_put_text(c, text);
}

static int run(cli *c, int argc, char **argv) {
  cli_reading r;
  rt_error err = RT_ERROR_INIT;
  rt_value *why = NULL;
  int status = cli_reading_begin(&r, c, &cli_why, argc, argv, 1, 3);
  const char **bare = r.parse.bare.items;
  bool asset = r.parse.bare.count > 1;
  if (!status && r.parse.bare.count == 2) {
    status = cli_usage(c, "why: which asset? CAPABILITY CLASS:VALUE");
  }
  if (status) goto done;
  rt_err rc = asset ? rt_report_why_not(r.report, bare[1], bare[2], &why, &err)
                    : rt_report_why(r.report, &why, &err);
  if (rc != RT_OK) {
    status = cli_fail(c, "%s", err.message);
  } else {
    status =
        r.json ? cli_put_json(c, why) : put_why(c, rt_value_view(why), asset);
  }
done:
  rt_value_unref(why);
  cli_reading_end(&r);
  return status;
}

const cli_command cli_why = {
    "why", "NAME [CAPABILITY CLASS:VALUE] [--data DIR] [--json]",
    "what keeps a session open, or why a capability did not run on an asset",
    cli_reading_options, run};
