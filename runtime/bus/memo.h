/* bus/memo.h - who hears a name, as last asked; for the bus thread only.
 *
 * Bounded in names, in their text and in targets: past a bound all is
 * forgotten, and asked anew. SPDX-License-Identifier: MIT */
#ifndef RT__BUS_MEMO_H
#define RT__BUS_MEMO_H

#include <stddef.h>
#include <stdint.h>

struct rt__sub;

/* Who hears events of one name: single subscribers, then those of the group. */
typedef struct rt__audience {
  uint64_t hash, turn; /* good while the index has that turn */
  size_t single_count, group_count;
  struct rt__sub **subs; /* singles, then the group's */
  void **args;           /* of the group's */
  size_t name_size;
  char name[]; /* system, NUL, kind */
} rt__audience;

typedef struct rt__memo {
  rt__audience **slots; /* by hash, linear probing */
  size_t count, room;
  size_t text;    /* bytes of all names */
  size_t targets; /* of all audiences; counted by whoever fills them */
} rt__memo;

rt__memo *rt__memo_new(void); /* NULL: no memory */
void rt__memo_free(rt__memo *memo);
/* The audience of a name as of `turn`, or one of another turn (0: new), to be
 * filled anew; good until the next call. NULL: no memory. */
rt__audience *rt__memo_get(rt__memo *memo, uint64_t hash, const char *name,
                           size_t size, uint64_t turn);

#endif
