/* process/blocks.h - the memory of one VM.
 *
 * A VM makes and drops small blocks by the million, and says their size when
 * it drops them. So they need neither a lock nor a head of their own:
 *
 *   region (1 MB, from the system) = slabs (32 KB each) = blocks of one size
 *
 * A slab has one class of sizes (steps of 8 bytes); the address of a block
 * leads to its slab. A slab without blocks goes back to its region, a region
 * without slabs to the system, but for one; rt__blocks_trim() gives back what
 * free slabs hold besides. Larger blocks come from malloc().
 *
 * One thread at a time. SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_BLOCKS_H
#define RT__PROCESS_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "rt/runtime.h"

/* Larger ones come from malloc(). */
#define RT__BLOCK_MAX     512u
#define RT__BLOCK_CLASSES (RT__BLOCK_MAX / 8 + 1)

typedef struct rt__slab rt__slab;
typedef struct rt__region rt__region;

/* Zeroed memory is an empty one. */
typedef struct rt__blocks {
  rt__slab *open[RT__BLOCK_CLASSES]; /* rings: slabs with room, by class */
  rt__region *roomy, *full;          /* lists: with a free slab, without */
  size_t idle;                       /* regions without any slab in use */
  rt_alloc_fn alloc; /* the host's, then all blocks come from it; or NULL */
  void *alloc_arg;
} rt__blocks;

/* `size` bytes, more than 0; NULL when memory is short. */
void *rt__blocks_take(rt__blocks *blocks, size_t size);
/* Give back a block of `size` bytes; NULL is ignored. */
void rt__blocks_give(rt__blocks *blocks, void *block, size_t size);
/* As realloc(), with both sizes above 0. Shrinking, too, fails when there is no
 * memory at all. */
void *rt__blocks_resize(rt__blocks *blocks, void *block, size_t old,
                        size_t size);
/* Give the memory of free slabs back to the system, with little ado: the
 * addresses stay ours. */
void rt__blocks_trim(rt__blocks *blocks);
/* All blocks that came neither from malloc() nor from the host are gone. */
void rt__blocks_deinit(rt__blocks *blocks);

#endif
