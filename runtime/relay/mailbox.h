/* relay/mailbox.h - packages on their way to a process, and where they wait.
 *
 * A package is made by the sender, owned by one holder at a time, and freed by
 * the receiver. A mailbox belongs to its process's worker thread.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__RELAY_MAILBOX_H
#define RT__RELAY_MAILBOX_H

#include "process/worker.h"
#include "relay/stock.h"
#include "rt/process.h"

#define RT__PAYLOADS_MAX 4000 /* of a message; they go over a Lua stack */

typedef enum rt__package_kind {
  RT__MESSAGE, /* topic, payloads */
  RT__MONITOR,
  RT__UNMONITOR,
  RT__LINK,
  RT__UNLINK,
  RT__EXIT,      /* a monitored process ended: payload is the event map */
  RT__LINK_DOWN, /* a linked process ended; abnormal: payload is an error */
  RT__CANCEL,    /* payload: the reason */
  RT__SPAWN      /* start it: a recipe stands behind the package */
} rt__package_kind;

typedef struct rt__package rt__package;
struct rt__package {
  rt__task task; /* its way through a worker's inbox; then its place in a
                    mailbox: `task.next` */
  rt_pid from, to;
  rt_value *payloads; /* [own] shared with others; NULL: see `size` */
  uint32_t topic_size;
  uint32_t size; /* bytes of payloads behind the topic; 0: none */
  unsigned char kind;
  bool abnormal;
  bool pooled;  /* its memory is a block of a stock */
  char topic[]; /* terminated */
};
#define RT__PACKAGE_SMALL (RT__STOCK_BLOCK - sizeof(rt__package))

/* NULL when memory is short. `payloads`, an array or what the kind says, is
 * referenced. */
rt__package *rt__package_new(rt__package_kind kind, rt_pid from, rt_pid to,
                             const char *topic, const rt_value *payloads);
/* A message that carries `size` bytes, an array in wire form, or none; where it
 * is small, in a block of the stock. */
rt__package *rt__package_message(rt__stock *stock, rt_pid from, rt_pid to,
                                 const char *topic, size_t topic_size,
                                 const void *data, size_t size);
/* One with `size` zeroed bytes behind it; `stock` may be NULL. */
rt__package *rt__package_before(rt__stock *stock, rt__package_kind kind,
                                size_t size);
void rt__package_free(rt__package *package);
/* The same; its memory is for the next one. */
void rt__package_recycle(rt__stock *stock, rt__package *package);
/* What it carries; nil: nothing. Good as long as it. */
rt_view rt__package_view(const rt__package *package);
/* Bytes it takes, about. */
size_t rt__package_size(const rt__package *package);

typedef struct rt__mailbox {
  rt__package *first, *last;
  size_t count, bytes;
} rt__mailbox;
void rt__mailbox_put(rt__mailbox *mailbox, rt__package *package);
rt__package *rt__mailbox_take(rt__mailbox *mailbox); /* NULL: empty */
void rt__mailbox_clear(rt__mailbox *mailbox);

#endif
