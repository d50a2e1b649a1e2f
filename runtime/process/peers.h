/* process/peers.h - who is to hear of an end: lists of PIDs, each in it once.
 * Whoever has such a list guards it. SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_PEERS_H
#define RT__PROCESS_PEERS_H

#include "rt/process.h"

typedef struct rt__peer rt__peer; /* a monitor or link */
struct rt__peer {
  rt__peer *next;
  rt_pid pid;
};

/* False: no memory. Those in it already are not added. */
bool rt__peers_add(rt__peer **list, rt_pid pid);
void rt__peers_remove(rt__peer **list, rt_pid pid);
void rt__peers_free(rt__peer **list);

#endif
