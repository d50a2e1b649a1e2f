/* fuzz_index.c - lines of text, each an order to an index of subscriptions:
 * "+SYSTEM KIND" adds one, "-" and a byte removes one, "?SYSTEM KIND" looks a
 * name up. What is found is what a table of segments by segments says, both on
 * the usual way and on the one for hostile names. SPDX-License-Identifier: MIT
 */
#include "bus/index.h"
#include "bus/tree.h"
#include "model.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

enum { MOST = 64 };

typedef struct sub {
  rt__entry *entry; /* NULL: none */
  char *system, *kind;
  unsigned serial;
} sub;

typedef struct shelf {
  rt__index *index;
  sub subs[MOST];
  unsigned serial;
} shelf;

static char *copy(model_text t) {
  char *out = malloc(t.size + 1);
  if (t.size) memcpy(out, t.at, t.size);
  out[t.size] = '\0';
  return out;
}

static model_text text(const char *s) {
  return (model_text){s, strlen(s)};
}

static void drop(shelf *s, sub *x) {
  if (!x->entry) return;
  rt__index_remove(s->index, x->entry);
  free(x->system);
  free(x->kind);
  x->entry = NULL;
}

static void add(shelf *s, model_text system, model_text kind) {
  sub *x = &s->subs[s->serial % MOST];
  drop(s, x);
  x->system = copy(system);
  x->kind = copy(kind);
  x->serial = s->serial++;
  if (!*x->system || !*x->kind ||
      rt__index_add(s->index, x->system, x->kind, x, &x->entry) != RT_OK) {
    free(x->system);
    free(x->kind);
  }
}

static bool wants(const sub *x, model_text system, model_text kind) {
  return x->entry && model_matches(text(x->system), system) &&
         model_matches(text(x->kind), kind);
}

static void ask(shelf *s, model_text system, model_text kind) {
  rt__entry **found;
  size_t expected = 0;
  size_t n = rt__index_match(s->index, system.at, system.size, kind.at,
                             kind.size, &found);
  for (unsigned i = 0; i < MOST; i++)
    expected += wants(&s->subs[i], system, kind);
  if (n != expected) abort();
  for (size_t i = 0; i < n; i++) {
    const sub *x = rt__entry_arg(found[i]);
    if (!wants(x, system, kind)) abort();
    if (i && ((const sub *)rt__entry_arg(found[i - 1]))->serial >= x->serial)
      abort();
  }
  if (rt__index_has(s->index, system.at, system.size, kind.at, kind.size) !=
      (n > 0))
    abort();
}

static void obey(shelf *s, model_text line) {
  if (line.size < 2) return;
  if (line.at[0] == '-') {
    drop(s, &s->subs[(unsigned char)line.at[1] % MOST]);
    return;
  }
  const model_text rest = {line.at + 1, line.size - 1};
  const char *space = memchr(rest.at, ' ', rest.size);
  if (!space) return;
  const model_text system = {rest.at, (size_t)(space - rest.at)};
  const model_text kind = {space + 1, rest.size - system.size - 1};
  if (memchr(line.at, '\0', line.size) || !system.size || !kind.size) return;
  if (line.at[0] == '+') add(s, system, kind);
  if (line.at[0] != '?') return;
  s->index->scan_only = false;
  ask(s, system, kind);
  s->index->scan_only = true;
  ask(s, system, kind);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
  shelf s = {.index = rt__index_new()};
  const model_text all = {(const char *)data, size};
  model_text *lines = malloc((size + 1) * sizeof(*lines));
  size_t n = model_split(all, '\n', lines);
  for (size_t i = 0; i < n; i++) obey(&s, lines[i]);
  for (unsigned i = 0; i < MOST; i++) drop(&s, &s.subs[i]);
  if (rt__index_nodes(s.index) != 1 || s.index->edges.count ||
      s.index->literals.count)
    abort();
  rt__index_free(s.index);
  free(lines);
  return 0;
}
