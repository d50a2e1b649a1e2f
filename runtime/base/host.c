/* host.c - see host.h.
 *
 * The notes taken from the queue lie in `batch`, not on the stack: one of them
 * may free the runtime, which runs the rest from inside that call. `lock` is a
 * leaf; nothing is called under it.
 *
 * SPDX-License-Identifier: MIT */
#include "base/host.h"

#include <stdatomic.h>
#include <stdlib.h>

#define TURN 4096 /* notes, before the loop looks at its other handles */

struct rt__host {
  /* constant */
  uv_thread_t thread;
  atomic_uint refs;
  /* the loop's thread only */
  uv_async_t wake;
  rt__host_call *batch;
  /* guarded by lock */
  uv_mutex_t lock;
  uv_cond_t room;
  rt__host_call *first, **last;
  size_t bytes;
  unsigned
      waits; /* calls in which the loop's thread waits for us, and a stop */
  bool closed;
};

rt__host *rt__host_ref(rt__host *host) {
  if (host) atomic_fetch_add(&host->refs, 1);
  return host;
}

void rt__host_unref(rt__host *host) {
  if (!host || atomic_fetch_sub(&host->refs, 1) != 1) return;
  uv_cond_destroy(&host->room);
  uv_mutex_destroy(&host->lock);
  free(host);
}

bool rt__host_here(const rt__host *host) {
  if (!host) return false;
  uv_thread_t self = uv_thread_self();
  return uv_thread_equal(&host->thread, &self) != 0;
}

bool rt__host_post(rt__host *host, rt__host_call *note) {
  if (!host) return false;
  uv_mutex_lock(&host->lock);
  bool open = !host->closed, wake = open && !host->first;
  if (open) {
    note->next = NULL;
    *host->last = note;
    host->last = &note->next;
    host->bytes += note->size;
    if (wake) uv_async_send(&host->wake);
  }
  uv_mutex_unlock(&host->lock);
  return open;
}

void rt__host_tell(rt__host *host, rt__host_call *note) {
  if (!rt__host_post(host, note)) note->run(note);
}

bool rt__host_closed(rt__host *host) {
  uv_mutex_lock(&host->lock);
  bool closed = host->closed;
  uv_mutex_unlock(&host->lock);
  return closed;
}

size_t rt__host_waiting(rt__host *host) {
  uv_mutex_lock(&host->lock);
  size_t bytes = host->bytes;
  uv_mutex_unlock(&host->lock);
  return bytes;
}

void rt__host_await_room(rt__host *host, size_t bytes) {
  if (rt__host_here(host)) return;
  uv_mutex_lock(&host->lock);
  while (host->bytes >= bytes && !host->closed && host->waits == 0)
    uv_cond_wait(&host->room, &host->lock);
  uv_mutex_unlock(&host->lock);
}

void rt__host_let_go(rt__host *host) {
  uv_mutex_lock(&host->lock);
  host->waits++;
  uv_cond_broadcast(&host->room);
  uv_mutex_unlock(&host->lock);
}

void rt__host_enter_wait(rt__host *host) {
  if (rt__host_here(host)) rt__host_let_go(host);
}

void rt__host_leave_wait(rt__host *host) {
  if (!rt__host_here(host)) return;
  uv_mutex_lock(&host->lock);
  host->waits--;
  uv_mutex_unlock(&host->lock);
}

/* --- the loop's thread ---------------------------------------------------- */

static rt__host_call *next_note(rt__host *host) {
  if (!host->batch) {
    uv_mutex_lock(&host->lock);
    host->batch = host->first;
    host->first = NULL;
    host->last = &host->first;
    uv_mutex_unlock(&host->lock);
  }
  rt__host_call *note = host->batch;
  if (!note) return NULL;
  host->batch = note->next;
  uv_mutex_lock(&host->lock);
  host->bytes -= note->size;
  uv_cond_broadcast(&host->room);
  uv_mutex_unlock(&host->lock);
  return note;
}

/* False: there may be more. */
static bool run_notes(rt__host *host, size_t most) {
  rt__host_call *note;
  for (size_t i = 0; i < most; i++) {
    if ((note = next_note(host)) == NULL) return true;
    note->run(note);
  }
  return false;
}

void rt__host_drain(rt__host *host) {
  if (!host) return;
  rt__host_ref(host);
  run_notes(host, SIZE_MAX);
  rt__host_unref(host);
}

static void on_wake(uv_async_t *wake) {
  rt__host *host = wake->data;
  rt__host_ref(host);
  if (!run_notes(host, TURN)) {
    uv_mutex_lock(&host->lock);
    if (!host->closed) uv_async_send(&host->wake);
    uv_mutex_unlock(&host->lock);
  }
  rt__host_unref(host);
}

static void on_closed(uv_handle_t *wake) {
  rt__host_unref(wake->data);
}

void rt__host_close(rt__host *host) {
  if (!host) return;
  rt__host_drain(host);
  uv_mutex_lock(&host->lock);
  bool first = !host->closed;
  host->closed = true;
  uv_cond_broadcast(&host->room);
  uv_mutex_unlock(&host->lock);
  if (!first) return;
  rt__host_drain(host); /* what came in between */
  uv_close((uv_handle_t *)&host->wake, on_closed);
}

rt_err rt__host_new(rt__host **out, uv_loop_t *loop, rt_error *err) {
  rt__host *host = calloc(1, sizeof(*host));
  *out = NULL;
  if (!host) return rt_fail(err, RT_ENOMEM, "no memory");
  if (uv_mutex_init(&host->lock) != 0) goto free_host;
  if (uv_cond_init(&host->room) != 0) goto destroy_lock;
  if (uv_async_init(loop, &host->wake, on_wake) != 0) goto destroy_room;
  host->wake.data = host;
  host->thread = uv_thread_self();
  host->last = &host->first;
  atomic_init(&host->refs, 2); /* the owner's and the handle's */
  *out = host;
  return RT_OK;

destroy_room:
  uv_cond_destroy(&host->room);
destroy_lock:
  uv_mutex_destroy(&host->lock);
free_host:
  free(host);
  return rt_fail(err, RT_EINTERNAL, "cannot attach to the host's loop");
}
