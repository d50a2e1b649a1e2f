/* cli/graph.c - `runtime graph NAME --dot|--html|--json`: assets and edges.
 *
 * All three are streamed in batches; the page holds the same JSON and draws it
 * itself, one column for each depth.
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

static const char page_head[] =
    "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>graph</title>"
    "<style>body{font:12px sans-serif;margin:0}svg{display:block}"
    "line{stroke:#bbb}text{dominant-baseline:middle}</style></head>\n"
    "<body><svg id=\"g\"></svg><script>\nconst graph = ";

static const char page_tail[] =
    ";\nconst svg = document.getElementById('g'), at = {}, rows = {};\n"
    "const names = [...new Set(graph.nodes.map(n => n.class))];\n"
    "const color = c => `hsl(${names.indexOf(c) * 360 / names.length},60%,45%)`"
    ";\nfunction add(kind, attributes, text) {\n"
    "  const e = document.createElementNS('http://www.w3.org/2000/svg', kind);"
    "\n  for (const k in attributes) e.setAttribute(k, attributes[k]);\n"
    "  if (text) e.textContent = text;\n  svg.appendChild(e);\n}\n"
    "let wide = 0, high = 0;\nfor (const n of graph.nodes) {\n"
    "  const row = rows[n.depth] = (rows[n.depth] || 0) + 1;\n"
    "  const p = at[n.key] = { x: 20 + n.depth * 220, y: row * 18 };\n"
    "  wide = Math.max(wide, p.x + 240); high = Math.max(high, p.y + 30);\n}\n"
    "for (const e of graph.edges) {\n  const a = at[e.from], b = at[e.to];\n"
    "  if (a && b) add('line', { x1: a.x, y1: a.y, x2: b.x, y2: b.y });\n}\n"
    "for (const n of graph.nodes) {\n  const p = at[n.key];\n"
    "  add('circle', { cx: p.x, cy: p.y, r: 4, fill: color(n.class) });\n"
    "  add('text', { x: p.x + 7, y: p.y }, n.value.slice(0, 34));\n}\n"
    "svg.setAttribute('width', wide); svg.setAttribute('height', high);\n"
    "</script></body></html>\n";

/* A string as JSON, also safe inside a script element and inside dot. */
static void print_string(rt_view view, FILE *out) {
  char *text = cli_text(view), *json = NULL;
  size_t size = 0;
  rt_value *value = text ? rt_value_string(text, strlen(text)) : NULL;
  if (value && rt_value_to_json(&json, &size, value, NULL) == RT_OK) {
    for (size_t i = 0; i < size; i++) {
      if (json[i] == '<') {
        fputs("\\u003c", out);
      } else {
        fputc(json[i], out);
      }
    }
  }
  rt_free(json);
  rt_value_unref(value);
  free(text);
}

static void print_node(rt_view asset, bool dot, bool first, FILE *out) {
  if (dot) {
    fputs("  ", out);
    print_string(rt_view_get(asset, "key"), out);
    fputs(";\n", out);
    return;
  }
  fputs(first ? "{\"key\":" : ",\n{\"key\":", out);
  print_string(rt_view_get(asset, "key"), out);
  fputs(",\"class\":", out);
  print_string(rt_view_get(asset, "class"), out);
  fputs(",\"value\":", out);
  print_string(rt_view_get(asset, "value"), out);
  fprintf(out, ",\"depth\":%lld}",
          (long long)rt_view_int(rt_view_get(asset, "depth"), 0));
}

static void print_edge(rt_view edge, bool dot, bool first, FILE *out) {
  fputs(dot ? "  " : first ? "{\"from\":" : ",\n{\"from\":", out);
  print_string(rt_view_get(edge, "from"), out);
  fputs(dot ? " -> " : ",\"to\":", out);
  print_string(rt_view_get(edge, "to"), out);
  fputs(dot ? " [label=" : ",\"capability\":", out);
  print_string(rt_view_get(edge, "capability"), out);
  fputs(dot ? "];\n" : "}", out);
}

typedef void (*print_fn)(rt_view item, bool dot, bool first, FILE *out);
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

static int put_batch(cli *c, rt_view batch, bool dot, int64_t *after,
                     print_fn print) {
  char *text = NULL;
  size_t size;
  rt_view item;
  rt_iter iter = rt_iter_of(batch);
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  while (rt_iter_next(&iter, NULL, &item)) {
    print(item, dot, *after == 0, out);
    *after = rt_view_int(rt_view_get(item, "id"), *after);
  }
  fclose(out);
  return cli_put_text(c, text);
}

static int put_all(cli *c, rt_report *report, bool dot, fetch_fn fetch,
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
    status = put_batch(c, rt_value_view(batch), dot, &after, print);
    rt_value_unref(batch);
  }
  return status;
}

static int put(cli *c, const char *text) {
  return cli_put_text(c, strdup(text));
}

static int put_graph(cli *c, rt_report *report, const fields *f) {
  const char *head =
      f->dot ? "digraph assets {\n  rankdir=LR;\n" : "{\"nodes\":[\n";
  int status = f->html ? put(c, page_head) : 0;
  if (!status) status = put(c, head);
  if (!status) status = put_all(c, report, f->dot, fetch_assets, print_node);
  if (!status && !f->dot) status = put(c, "],\n\"edges\":[\n");
  if (!status) status = put_all(c, report, f->dot, fetch_edges, print_edge);
  if (!status) status = put(c, f->dot ? "}\n" : f->html ? "]}" : "]}\n");
  if (!status && f->html) status = put(c, page_tail);
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
  if (!status) status = put_graph(c, report, &f);
  rt_report_close(report);
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_graph = {"graph", "NAME --dot|--html|--json [--data DIR]",
                               "the discovered assets as a picture", options,
                               run};
