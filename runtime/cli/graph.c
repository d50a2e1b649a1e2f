/* cli/graph.c - `runtime graph NAME --dot|--html|--json`: assets and edges.
 *
 * All three are streamed in batches; the page (graph.html) holds the same JSON
 * and draws it itself.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

typedef struct fields {
  const char *data;
  bool dot, html, json;
} fields;

static const cli_option options[] = {
    {"--data", 0, CLI_TEXT, offsetof(fields, data), "DIR",
     "data folder (default: $RUNTIME_DATA, else .runtime)", 0},
    {"--dot", 0, CLI_FLAG, offsetof(fields, dot), "", "for graphviz", 0},
    {"--html", 0, CLI_FLAG, offsetof(fields, html), "", "a page by itself", 0},
    {"--json", 0, CLI_FLAG, offsetof(fields, json), "",
     "{nodes = [...], edges = [...]}", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

enum { BATCH = 512 };

typedef enum graph_form { DOT, HTML, JSON } graph_form;

/* Where the page's data goes. */
static const char mark[] = "@GRAPH@";

/* What would end a script element or a line of an old script, as JSON writes
 * it; NULL for all else. */
static const char *escaped(const char *at, size_t *size) {
  *size = 1;
  if (*at == '<') return "\\u003c";
  if (*at == '>') return "\\u003e";
  if (*at == '&') return "\\u0026";
  if (strncmp(at, "\xe2\x80\xa8", 3) && strncmp(at, "\xe2\x80\xa9", 3)) {
    return NULL;
  }
  *size = 3;
  return at[2] == '\xa8' ? "\\u2028" : "\\u2029";
}

/* A string as JSON, which dot reads, too; in the page safe inside a script
 * element. */
static void print_words(const char *text, graph_form form, FILE *out) {
  char *json = NULL;
  size_t size = 0, step;
  rt_value *value = rt_value_string(text, strlen(text));
  if (value && rt_value_to_json(&json, &size, value, NULL) == RT_OK) {
    for (const char *at = json; *at; at += step) {
      const char *safe = escaped(at, &step);
      if (safe && form == HTML) {
        fputs(safe, out);
      } else {
        fwrite(at, 1, step, out);
      }
    }
  }
  rt_free(json);
  rt_value_unref(value);
}

static void print_string(rt_view view, graph_form form, FILE *out) {
  char *text = cli_text(view);
  if (text) print_words(text, form, out);
  free(text);
}

static void print_node(rt_view asset, graph_form form, bool first, FILE *out) {
  if (form == DOT) {
    fputs("  ", out);
    print_string(rt_view_get(asset, "key"), form, out);
    fputs(";\n", out);
    return;
  }
  fputs(first ? "{\"key\":" : ",\n{\"key\":", out);
  print_string(rt_view_get(asset, "key"), form, out);
  fputs(",\"class\":", out);
  print_string(rt_view_get(asset, "class"), form, out);
  fputs(",\"value\":", out);
  print_string(rt_view_get(asset, "value"), form, out);
  fprintf(out, ",\"depth\":%lld}",
          (long long)rt_view_int(rt_view_get(asset, "depth"), 0));
}

static void print_edge(rt_view edge, graph_form form, bool first, FILE *out) {
  bool dot = form == DOT;
  fputs(dot ? "  " : first ? "{\"from\":" : ",\n{\"from\":", out);
  print_string(rt_view_get(edge, "from"), form, out);
  fputs(dot ? " -> " : ",\"to\":", out);
  print_string(rt_view_get(edge, "to"), form, out);
  fputs(dot ? " [label=" : ",\"capability\":", out);
  print_string(rt_view_get(edge, "capability"), form, out);
  fputs(dot ? "];\n" : "}", out);
}

typedef void (*print_fn)(rt_view item, graph_form form, bool first, FILE *out);
typedef rt_err (*fetch_fn)(rt_report *report, int64_t after, rt_value **out,
                           rt_error *err);

static rt_err fetch_assets(rt_report *report, int64_t after, rt_value **out,
                           rt_error *err) {
  return rt_report_assets(report, after, NULL, BATCH, out, err);
}

static rt_err fetch_edges(rt_report *report, int64_t after, rt_value **out,
                          rt_error *err) {
  return rt_report_edges(report, after, BATCH, out, err);
}

static int put_batch(cli *c, rt_view batch, graph_form form, int64_t *after,
                     print_fn print) {
  char *text = NULL;
  size_t size;
  rt_view item;
  rt_iter iter = rt_iter_of(batch);
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  while (rt_iter_next(&iter, NULL, &item)) {
    print(item, form, *after == 0, out);
    *after = rt_view_int(rt_view_get(item, "id"), *after);
  }
  fclose(out);
  return cli_put_text(c, text);
}

static int put_all(cli *c, rt_report *report, graph_form form, fetch_fn fetch,
                   print_fn print) {
  rt_error err = RT_ERROR_INIT;
  int64_t after = 0;
  uint32_t count = BATCH;
  int status = 0;
  while (!status && count == BATCH) {
    rt_value *batch = NULL;
    if (fetch(report, after, &batch, &err) != RT_OK) {
      return cli_fail(c, "%s", err.message);
    }
    count = rt_view_count(rt_value_view(batch));
    status = put_batch(c, rt_value_view(batch), form, &after, print);
    rt_value_unref(batch);
  }
  return status;
}

/* What stands before the assets; of the page, up to its data. */
static int put_head(cli *c, graph_form form, const char *name) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  if (form == DOT) {
    fputs("digraph assets {\n  rankdir=LR;\n", out);
  } else if (form == JSON) {
    fputs("{\"nodes\":[\n", out);
  } else {
    const char *end = strstr(cli_graph_page, mark);
    fwrite(cli_graph_page, 1, (size_t)(end - cli_graph_page), out);
    fputs("{\"session\":", out);
    print_words(name, form, out);
    fputs(",\"nodes\":[\n", out);
  }
  fclose(out);
  return cli_put_text(c, text);
}

static int put(cli *c, const char *text) {
  return cli_put_text(c, strdup(text));
}

static int put_graph(cli *c, rt_report *report, graph_form form,
                     const char *name) {
  int status = put_head(c, form, name);
  if (!status) status = put_all(c, report, form, fetch_assets, print_node);
  if (!status && form != DOT) status = put(c, "],\n\"edges\":[\n");
  if (!status) status = put_all(c, report, form, fetch_edges, print_edge);
  if (!status)
    status = put(c, form == DOT ? "}\n" : form == JSON ? "]}\n" : "]}");
  if (!status && form == HTML) {
    status = put(c, strstr(cli_graph_page, mark) + strlen(mark));
  }
  return status;
}

static int run(cli *c, int argc, char **argv) {
  fields f = {0};
  cli_parse parse = {.fields = &f};
  rt_report *report = NULL;
  int status = cli_arguments(c, &cli_graph, &parse, argc, argv, 1, 1);
  if (!status && f.dot + f.html + f.json != 1) {
    status = cli_usage(c, "graph: one of --dot, --html, --json is needed");
  }
  if (!status) status = cli_report(c, &report, f.data, parse.bare.items[0]);
  if (!status) {
    graph_form form = f.dot ? DOT : f.html ? HTML : JSON;
    status = put_graph(c, report, form, parse.bare.items[0]);
  }
  rt_report_close(report);
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_graph = {"graph", "NAME --dot|--html|--json [--data DIR]",
                               "the discovered assets as a picture", options,
                               run};
