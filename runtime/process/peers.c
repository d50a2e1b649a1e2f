/* peers.c - see peers.h. SPDX-License-Identifier: MIT */
#include "process/peers.h"

#include <stdlib.h>

bool rt__peers_add(rt__peer **list, rt_pid pid) {
  for (rt__peer *peer = *list; peer; peer = peer->next)
    if (peer->pid == pid) return true;
  rt__peer *peer = malloc(sizeof(*peer));
  if (!peer) return false;
  peer->pid = pid;
  peer->next = *list;
  *list = peer;
  return true;
}

void rt__peers_remove(rt__peer **list, rt_pid pid) {
  while (*list && (*list)->pid != pid) list = &(*list)->next;
  rt__peer *peer = *list;
  if (!peer) return;
  *list = peer->next;
  free(peer);
}

void rt__peers_free(rt__peer **list) {
  while (*list) {
    rt__peer *peer = *list;
    *list = peer->next;
    free(peer);
  }
}
