/* cli/plan.c - `runtime plan -c PATH...`: the flow that declarations imply.
 * SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "dry.h"
#include "load.h"
#include "plan_options.h"
#include "report.h"

typedef struct fields {
  cli_list paths;
  cli_dry dry;
  bool json, dot, dry_run, options;
} fields;

static const cli_option options[] = {
    {"--capabilities", 'c', CLI_LIST, offsetof(fields, paths), "PATH",
     "capability files or folders", 0},
    {"--dot", 0, CLI_FLAG, offsetof(fields, dot), "", "a graph for dot", 0},
    {"--json", 0, CLI_FLAG, offsetof(fields, json), "", "one JSON object", 0},
    {"--options", 0, CLI_FLAG, offsetof(fields, options), "",
     "the options of the capabilities, for --set", 0},
    {"--dry-run", 0, CLI_FLAG, offsetof(fields, dry_run), "",
     "what would run on the seeds, and why not; nothing is invoked", 0},
    {"--seed", 's', CLI_LIST, offsetof(fields, dry.seeds), "CLASS:VALUE",
     "for --dry-run; '-' reads them from standard input", 0},
    {"--set", 0, CLI_LIST, offsetof(fields, dry.sets), "NAME.OPTION=VALUE",
     "for --dry-run: an option of a capability", 0},
    {"--only", 0, CLI_LIST, offsetof(fields, dry.only), "NAME...",
     "for --dry-run: names, patterns, tag:WORD", 0},
    {"--without", 0, CLI_LIST, offsetof(fields, dry.without), "NAME...",
     "for --dry-run: not these", 0},
    {"--scope", 0, CLI_LIST, offsetof(fields, dry.scope), "RULE...",
     "for --dry-run: as in 'run'", 0},
    {NULL, 0, CLI_FLAG, 0, NULL, NULL, 0}};

/* "a, b" [own] of an array of strings. */
static char *joined(rt_view list, const char *between) {
  char *text = NULL;
  size_t size;
  rt_view item;
  rt_iter iter = rt_iter_of(list);
  FILE *out = open_memstream(&text, &size);
  if (!out) return NULL;
  for (int i = 0; rt_iter_next(&iter, NULL, &item); i++) {
    char *one = cli_text(item);
    fprintf(out, "%s%s", i ? between : "", one ? one : "?");
    free(one);
  }
  fclose(out);
  return text;
}

/* Its classes and times: "domain, every 3600 s". */
static char *takes(rt_view capability) {
  char *classes = joined(rt_view_get(capability, "input"), ", ");
  char *every = cli_member(capability, "every"), *text = NULL;
  rt_view when = rt_view_get(capability, "every");
  if (!every || rt_view_type(when) == RT_NIL) {
    free(every);
    return classes;
  }
  const char *unit = rt_view_type(when) == RT_STRING ? "" : " s";
  const char *comma = classes && *classes ? ", " : "";
  if (asprintf(&text, "%s%severy %s%s", classes ? classes : "", comma, every,
               unit) < 0)
    text = NULL;
  free(classes);
  free(every);
  return text;
}

static void print_table(rt_view plan, FILE *out) {
  static const char *const heads[] = {"PRIORITY", "CAPABILITY", "TAKES",
                                      "GIVES", "FILE"};
  cli_table table;
  rt_view item;
  rt_iter iter = rt_iter_of(rt_view_get(plan, "capabilities"));
  cli_table_init(&table, 5);
  for (size_t i = 0; i < 5; i++) cli_table_text(&table, heads[i]);
  while (rt_iter_next(&iter, NULL, &item)) {
    cli_table_add(&table, cli_member(item, "priority"));
    cli_table_add(&table, cli_member(item, "name"));
    cli_table_add(&table, takes(item));
    cli_table_add(&table, joined(rt_view_get(item, "output"), ", "));
    cli_table_add(&table, cli_member(item, "file"));
  }
  cli_table_print(&table, out);
  cli_table_deinit(&table);
}

static void print_flow(rt_view plan, FILE *out) {
  rt_view item;
  rt_iter iter = rt_iter_of(rt_view_get(plan, "edges"));
  if (rt_view_count(rt_view_get(plan, "edges"))) fputc('\n', out);
  while (rt_iter_next(&iter, NULL, &item)) {
    char *from = cli_member(item, "from"), *to = cli_member(item, "to");
    char *class_ = cli_member(item, "class");
    fprintf(out, "  %s --%s--> %s\n", from ? from : "?", class_ ? class_ : "?",
            to ? to : "?");
    free(from);
    free(to);
    free(class_);
  }
}

/* A name between quotes, as dot wants it. */
static void print_quoted(rt_view name, FILE *out) {
  char *text = cli_text(name);
  fputc('"', out);
  for (const char *at = text ? text : ""; *at; at++) {
    if (*at == '"' || *at == '\\') fputc('\\', out);
    fputc(*at, out);
  }
  fputc('"', out);
  free(text);
}

static void print_dot(rt_view plan, FILE *out) {
  rt_view item;
  rt_iter nodes = rt_iter_of(rt_view_get(plan, "capabilities"));
  rt_iter edges = rt_iter_of(rt_view_get(plan, "edges"));
  fputs("digraph plan {\n  rankdir=LR;\n  node [shape=box];\n", out);
  while (rt_iter_next(&nodes, NULL, &item)) {
    fputs("  ", out);
    print_quoted(rt_view_get(item, "name"), out);
    fputs(";\n", out);
  }
  while (rt_iter_next(&edges, NULL, &item)) {
    fputs("  ", out);
    print_quoted(rt_view_get(item, "from"), out);
    fputs(" -> ", out);
    print_quoted(rt_view_get(item, "to"), out);
    fputs(" [label=", out);
    print_quoted(rt_view_get(item, "class"), out);
    fputs("];\n", out);
  }
  fputs("}\n", out);
}

static void warn(cli *c, rt_view plan) {
  rt_view item;
  rt_iter iter = rt_iter_of(rt_view_get(plan, "warnings"));
  while (rt_iter_next(&iter, NULL, &item)) {
    char *text = cli_text(item);
    console_say(&c->console, "runtime: warning: %s\n", text ? text : "?");
    free(text);
  }
}

static int put_plan(cli *c, const rt_value *plan, const fields *f) {
  char *text = NULL;
  size_t size;
  rt_view view = rt_value_view(plan);
  warn(c, view);
  if (f->json) return cli_put_json(c, plan);
  FILE *out = open_memstream(&text, &size);
  if (!out) return cli_fail(c, "out of memory");
  if (f->dot) {
    print_dot(view, out);
  } else {
    print_table(view, out);
    print_flow(view, out);
  }
  fclose(out);
  return cli_put_text(c, text);
}

static int make_plan(cli *c, const fields *f) {
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt = NULL;
  rt_value *plan = NULL;
  c->common.workers = 1;
  c->common.dry_run = f->dry_run;
  if (cli_runtime(c, &rt, NULL, true, &err) != RT_OK) {
    return cli_fail(c, "%s", err.message);
  }
  int status = cli_load(c, rt, &f->paths);
  if (!status && f->options) {
    status = cli_plan_options(c, rt);
    rt_runtime_free(rt);
    return status;
  }
  if (!status && f->dry_run) {
    status = cli_dry_run(c, rt, &f->dry, f->json);
    rt_runtime_stop(rt, 1);
    rt_runtime_free(rt);
    return status;
  }
  if (!status &&
      rt_registry_plan(rt_runtime_registry(rt), &plan, &err) != RT_OK) {
    status = cli_fail(c, "%s", err.message);
  }
  if (!status) status = put_plan(c, plan, f);
  rt_value_unref(plan);
  rt_runtime_free(rt);
  return status;
}

static int check_dry_run(cli *c, const fields *f) {
  const cli_dry *dry = &f->dry;
  size_t given = dry->seeds.count + dry->sets.count + dry->only.count +
                 dry->without.count + dry->scope.count;
  if (f->dry_run && !dry->seeds.count) {
    return cli_usage(c, "plan: --dry-run needs a seed, -s CLASS:VALUE");
  }
  if (f->dry_run && f->dot) {
    return cli_usage(c, "plan: --dot or --dry-run, not both");
  }
  if (!f->dry_run && given) {
    return cli_usage(c, "plan: seeds, --set, --only, --without and --scope are "
                        "for --dry-run");
  }
  return 0;
}

static int run(cli *c, int argc, char **argv) {
  fields f = {0};
  cli_parse parse = {.fields = &f};
  int status = cli_arguments(c, &cli_plan, &parse, argc, argv, 0, SIZE_MAX);
  for (size_t i = 0; i < parse.bare.count && !status; i++) {
    if (!cli_list_add(&f.paths, parse.bare.items[i])) {
      status = cli_fail(c, "out of memory");
    }
  }
  if (!status && f.json && f.dot) {
    status = cli_usage(c, "plan: --dot or --json, not both");
  }
  if (!status && f.options && (f.json || f.dot || f.dry_run)) {
    status = cli_usage(c, "plan: --options stands alone");
  }
  if (!status) status = check_dry_run(c, &f);
  if (!status && !f.paths.count) {
    status = cli_usage(c, "usage: runtime plan %s", cli_plan.synopsis);
  }
  if (!status) status = cli_check_paths(c, &f.paths);
  if (!status) status = make_plan(c, &f);
  cli_parse_free(&parse);
  return status;
}

const cli_command cli_plan = {
    "plan",
    "-c PATH... [--options] [--dry-run -s CLASS:VALUE...] [--dot|--json]",
    "the flow that the declared types imply", options, run};
