/* mailbox.c - packages and the queue in which they wait for their process.
 * SPDX-License-Identifier: MIT */
#include "relay/mailbox.h"

#include <stdlib.h>
#include <string.h>

rt__package *rt__package_new(rt__package_kind kind, rt_pid from, rt_pid to,
                             const char *topic, const rt_value *payloads) {
  size_t size = topic ? strlen(topic) + 1 : 1;
  rt__package *package = malloc(sizeof(*package) + size);
  if (!package) return NULL;
  memset(package, 0, sizeof(*package));
  memcpy(package->topic, topic ? topic : "", size);
  package->kind = kind;
  package->from = from;
  package->to = to;
  package->payloads = payloads ? rt_value_ref(payloads) : NULL;
  return package;
}

void rt__package_free(rt__package *package) {
  if (!package) return;
  rt_value_unref(package->payloads);
  free(package);
}

size_t rt__package_size(const rt__package *package) {
  return sizeof(*package) + 32 +
         (package->payloads ? rt_value_size(package->payloads) : 0);
}

void rt__mailbox_put(rt__mailbox *mailbox, rt__package *package) {
  package->next = NULL;
  if (mailbox->last)
    mailbox->last->next = package;
  else
    mailbox->first = package;
  mailbox->last = package;
  mailbox->count++;
  mailbox->bytes += rt__package_size(package);
}

rt__package *rt__mailbox_take(rt__mailbox *mailbox) {
  rt__package *package = mailbox->first;
  if (!package) return NULL;
  mailbox->first = package->next;
  if (!mailbox->first) mailbox->last = NULL;
  mailbox->count--;
  mailbox->bytes -= rt__package_size(package);
  return package;
}

void rt__mailbox_clear(rt__mailbox *mailbox) {
  rt__package *package;
  while ((package = rt__mailbox_take(mailbox))) rt__package_free(package);
}
