/* mailbox.c - packages and the queue in which they wait for their process.
 * SPDX-License-Identifier: MIT */
#include "relay/mailbox.h"

#include <stdlib.h>
#include <string.h>

static rt__package *fill(rt__package *package, rt__package_kind kind,
                         rt_pid from, rt_pid to, const char *topic,
                         size_t topic_size) {
  if (!package) return NULL;
  memset(package, 0, sizeof(*package));
  if (topic_size > 0) memcpy(package->topic, topic, topic_size);
  package->topic[topic_size] = 0;
  package->topic_size = (uint32_t)topic_size;
  package->kind = (unsigned char)kind;
  package->from = from;
  package->to = to;
  return package;
}

rt__package *rt__package_new(rt__package_kind kind, rt_pid from, rt_pid to,
                             const char *topic, const rt_value *payloads) {
  size_t size = topic ? strlen(topic) : 0;
  rt__package *package =
      fill(malloc(sizeof(*package) + size + 1), kind, from, to, topic, size);
  if (package && payloads) package->payloads = rt_value_ref(payloads);
  return package;
}

rt__package *rt__package_message(rt__stock *stock, rt_pid from, rt_pid to,
                                 const char *topic, size_t topic_size,
                                 const void *data, size_t size) {
  bool pooled =
      topic_size < RT__PACKAGE_SMALL && size < RT__PACKAGE_SMALL - topic_size;
  if (topic_size > UINT32_MAX || size > UINT32_MAX) return NULL;
  rt__package *package = pooled
                             ? rt__stock_take(stock)
                             : malloc(sizeof(*package) + topic_size + 1 + size);
  if (!fill(package, RT__MESSAGE, from, to, topic, topic_size)) return NULL;
  package->pooled = pooled;
  package->size = (uint32_t)size;
  if (size > 0) memcpy(package->topic + topic_size + 1, data, size);
  return package;
}

rt__package *rt__package_before(rt__stock *stock, rt__package_kind kind,
                                size_t size) {
  size_t all = sizeof(rt__package) + size;
  bool pooled = stock && all <= RT__STOCK_BLOCK;
  rt__package *package = pooled ? rt__stock_take(stock) : malloc(all);
  if (!package) return NULL;
  memset(package, 0, all);
  package->kind = (unsigned char)kind;
  package->pooled = pooled;
  return package;
}

void rt__package_free(rt__package *package) {
  if (!package) return;
  rt_value_unref(package->payloads);
  free(package);
}

void rt__package_recycle(rt__stock *stock, rt__package *package) {
  if (package && package->pooled)
    rt__stock_give(stock, package); /* it owns nothing else */
  else
    rt__package_free(package);
}

rt_view rt__package_view(const rt__package *package) {
  const char *data = package->topic + package->topic_size + 1;
  if (package->size > 0)
    return (rt_view){(const unsigned char *)data,
                     (const unsigned char *)data + package->size};
  return rt_value_view(package->payloads);
}

size_t rt__package_size(const rt__package *package) {
  return sizeof(*package) + 32 + package->topic_size + package->size +
         (package->payloads ? rt_value_size(package->payloads) : 0);
}

void rt__mailbox_put(rt__mailbox *mailbox, rt__package *package) {
  package->task.next = NULL;
  if (mailbox->last)
    mailbox->last->task.next = &package->task;
  else
    mailbox->first = package;
  mailbox->last = package;
  mailbox->count++;
  mailbox->bytes += rt__package_size(package);
}

rt__package *rt__mailbox_take(rt__mailbox *mailbox) {
  rt__package *package = mailbox->first;
  if (!package) return NULL;
  mailbox->first = (rt__package *)package->task.next;
  if (!mailbox->first) mailbox->last = NULL;
  mailbox->count--;
  mailbox->bytes -= rt__package_size(package);
  return package;
}

void rt__mailbox_clear(rt__mailbox *mailbox) {
  rt__package *package;
  while ((package = rt__mailbox_take(mailbox))) rt__package_free(package);
}
