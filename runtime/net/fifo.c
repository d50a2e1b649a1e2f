/* fifo.c - a byte queue in one block (net/fifo.h).
 *
 * Bytes move to the front of the block only when the end has no room, and a
 * large block is given back once it is empty, so that a thousand idle
 * connections hold nothing. SPDX-License-Identifier: MIT */
#include "net/fifo.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 1024, KEPT_ROOM = 16 * 1024 };

void rt__fifo_deinit(rt__fifo *fifo) {
  free(fifo->data);
  memset(fifo, 0, sizeof(*fifo));
}

size_t rt__fifo_size(const rt__fifo *fifo) {
  return fifo->end - fifo->start;
}

const char *rt__fifo_front(const rt__fifo *fifo) {
  return fifo->data ? fifo->data + fifo->start : "";
}

static void move_to_front(rt__fifo *fifo) {
  size_t size = rt__fifo_size(fifo);
  if (fifo->start > 0 && size > 0)
    memmove(fifo->data, fifo->data + fifo->start, size);
  fifo->start = 0;
  fifo->end = size;
}

static bool make_room(rt__fifo *fifo, size_t more) {
  size_t size = rt__fifo_size(fifo), room = fifo->room;
  char *data;
  if (room - fifo->end >= more) return true;
  if (room >= size + more && fifo->start >= size) {
    move_to_front(fifo);
    return true;
  }
  if (more > (size_t)-1 / 4 || size > (size_t)-1 / 4) return false;
  if (room == 0) room = FIRST_ROOM;
  while (room < size + more) room *= 2;
  data = malloc(room);
  if (!data) return false;
  if (size > 0) memcpy(data, fifo->data + fifo->start, size);
  free(fifo->data);
  *fifo = (rt__fifo){data, 0, size, room};
  return true;
}

bool rt__fifo_append(rt__fifo *fifo, const void *bytes, size_t size) {
  if (size == 0) return true;
  if (!make_room(fifo, size)) return false;
  memcpy(fifo->data + fifo->end, bytes, size);
  fifo->end += size;
  return true;
}

void rt__fifo_consume(rt__fifo *fifo, size_t size) {
  fifo->start += size;
  if (fifo->start < fifo->end) return;
  if (fifo->room > KEPT_ROOM)
    rt__fifo_deinit(fifo);
  else
    fifo->start = fifo->end = 0;
}
