/* cli/why.c - `runtime why NAME [CAPABILITY CLASS:VALUE]`: what keeps a session
 * open, or what became of a capability on an asset.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "report.h"

typedef struct fields {
  const char *data;
  bool json;
} fields;

static const cli_option options[] = {
    {"--data", 0, CLI_TEXT, offsetof(fields, data), "DIR",
     "data folder (default: $RUNTIME_DATA, else .runtime)", 0},
    {"--json", 0, CLI_FLAG, offsetof(fields, json), "", "one JSON line", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

/* Every member but those named before, as "key value". */
static void print_rest(rt_view map, FILE *out) {
  rt_view key, item;
  rt_iter iter = rt_iter_of(map);
  while (rt_iter_next(&iter, &key, &item)) {
    size_t size;
    const char *name = rt_view_string(key, &size);
    if (!name || (size == 4 && !memcmp(name, "what", 4)) ||
        (size == 5 && !memcmp(name, "count", 5))) {
      continue;
    }
    char *text = cli_text(item);
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
    fprintf(out, "  %8lld %s",
            (long long)rt_view_int(rt_view_get(reason, "count"), 0),
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
  fields f = {0};
  cli_parse parse = {.fields = &f};
  rt_error err = RT_ERROR_INIT;
  rt_report *report = NULL;
  rt_value *why = NULL;
  int status = cli_arguments(c, &cli_why, &parse, argc, argv, 1, 3);
  const char **bare = parse.bare.items;
  bool asset = parse.bare.count > 1;
  if (!status && parse.bare.count == 2) {
    status = cli_usage(c, "why: which asset? CAPABILITY CLASS:VALUE");
  }
  if (!status) status = cli_report(c, &report, f.data, bare[0]);
  if (status) goto done;
  rt_err rc = asset ? rt_report_why_not(report, bare[1], bare[2], &why, &err)
                    : rt_report_why(report, &why, &err);
  if (rc != RT_OK) {
    status = cli_fail(c, "%s", err.message);
  } else {
    status =
        f.json ? cli_put_json(c, why) : put_why(c, rt_value_view(why), asset);
  }
done:
  rt_value_unref(why);
  rt_report_close(report);
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_why = {
    "why", "NAME [CAPABILITY CLASS:VALUE] [--data DIR] [--json]",
    "what keeps a session open, or why a capability did not run on an asset",
    options, run};
