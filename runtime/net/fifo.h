/* net/fifo.h - bytes in at the end, out at the front.
 *
 * Zeroed memory is an empty queue. One thread at a time.
 * SPDX-License-Identifier: MIT */
#ifndef RT__NET_FIFO_H
#define RT__NET_FIFO_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rt__fifo {
  char *data;
  size_t start, end, room;
} rt__fifo;

void rt__fifo_deinit(rt__fifo *fifo);
size_t rt__fifo_size(const rt__fifo *fifo);
/* The bytes that are there; good until the next append. */
const char *rt__fifo_front(const rt__fifo *fifo);
/* False, with nothing appended, when memory is short. */
bool rt__fifo_append(rt__fifo *fifo, const void *bytes, size_t size);
void rt__fifo_consume(rt__fifo *fifo, size_t size);

#endif
