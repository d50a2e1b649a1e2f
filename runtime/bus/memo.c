/* memo.c - see memo.h. SPDX-License-Identifier: MIT */
#include "bus/memo.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ROUTES_MAX = 8192, TARGETS_MAX = 1 << 20, TEXT_MAX = 8 << 20 };

rt__memo *rt__memo_new(void) {
  rt__memo *memo = calloc(1, sizeof(*memo));
  if (!memo) return NULL;
  memo->room = 64;
  memo->slots = calloc(memo->room, sizeof(*memo->slots));
  if (memo->slots) return memo;
  free(memo);
  return NULL;
}

static void route_free(rt__audience *r) {
  if (!r) return;
  free(r->subs);
  free(r->args);
  free(r);
}

static void clear(rt__memo *memo) {
  for (size_t i = 0; i < memo->room; i++) {
    route_free(memo->slots[i]);
    memo->slots[i] = NULL;
  }
  memo->count = memo->targets = memo->text = 0;
}

void rt__memo_free(rt__memo *memo) {
  if (!memo) return;
  clear(memo);
  free(memo->slots);
  free(memo);
}

static void put(rt__audience **slots, size_t room, rt__audience *r) {
  size_t i = r->hash & (room - 1);
  while (slots[i]) i = (i + 1) & (room - 1);
  slots[i] = r;
}

static void grow(rt__memo *memo) {
  size_t room = memo->room * 2;
  rt__audience **slots = calloc(room, sizeof(rt__audience *));
  if (!slots) {
    clear(memo);
    return;
  }
  for (size_t i = 0; i < memo->room; i++)
    if (memo->slots[i]) put(slots, room, memo->slots[i]);
  free(memo->slots);
  memo->slots = slots;
  memo->room = room;
}

static rt__audience *add(rt__memo *memo, uint64_t hash, const char *name,
                         size_t size) {
  if (memo->count >= ROUTES_MAX || memo->targets >= TARGETS_MAX ||
      memo->text >= TEXT_MAX)
    clear(memo);
  if (memo->count * 2 >= memo->room) grow(memo);
  rt__audience *r = calloc(1, sizeof(*r) + size);
  if (!r) return NULL;
  memcpy(r->name, name, size);
  r->name_size = size;
  r->hash = hash;
  put(memo->slots, memo->room, r);
  memo->count++;
  memo->text += size;
  return r;
}

static rt__audience *find(const rt__memo *memo, uint64_t hash, const char *name,
                          size_t size) {
  const size_t mask = memo->room - 1;
  rt__audience *r;
  for (size_t i = hash & mask; (r = memo->slots[i]); i = (i + 1) & mask)
    if (r->hash == hash && r->name_size == size &&
        memcmp(r->name, name, size) == 0)
      break;
  return r;
}

rt__audience *rt__memo_get(rt__memo *memo, uint64_t hash, const char *name,
                           size_t size, uint64_t turn) {
  rt__audience *r = find(memo, hash, name, size);
  /* one that is filled anew may get more than it had */
  bool grows = r && r->turn != turn && memo->targets >= TARGETS_MAX;
  return r && !grows ? r : add(memo, hash, name, size);
}
