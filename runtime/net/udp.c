/* udp.c - datagrams (net/udp.h).
 *
 * SPDX-License-Identifier: MIT */
#include "net/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/listener.h"

struct rt__udp {
  uv_poll_t poll; /* first: freed with it */
  rt__net *net;
  int fd, events;
  unsigned refs; /* one is the handle's, until it is closed */
  rt__addr local;
  rt__udp_wait *receivers, *senders;
};

rt_err rt__udp_new(rt__udp **out, rt__net *net, const char *host, unsigned port,
                   rt_error *err) {
  rt__addr local;
  int fd = rt__net_bind(net, SOCK_DGRAM, host, port, &local, err), code;
  rt__udp *udp;
  *out = NULL;
  if (fd < 0) return err ? err->code : RT_EUNAVAIL;
  udp = calloc(1, sizeof(*udp));
  code = udp ? uv_poll_init(net->loop, &udp->poll, fd) : UV_ENOMEM;
  if (code < 0) {
    free(udp);
    close(fd);
    return rt__net_fault(err, code, "udp");
  }
  udp->net = rt__net_ref(net);
  udp->refs = 2;
  udp->fd = fd;
  udp->local = local;
  *out = udp;
  return RT_OK;
}

rt__udp *rt__udp_ref(rt__udp *udp) {
  udp->refs++;
  return udp;
}

void rt__udp_unref(rt__udp *udp) {
  if (--udp->refs > 0) return;
  rt__net_unref(udp->net);
  free(udp);
}

static void on_closed(uv_handle_t *handle) {
  rt__udp_unref((rt__udp *)handle);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void update_poll(rt__udp *udp) {
  int want =
      (udp->receivers ? UV_READABLE : 0) | (udp->senders ? UV_WRITABLE : 0);
  if (udp->fd < 0 || want == udp->events) return;
  udp->events = want;
  if (want)
    uv_poll_start(&udp->poll, want, on_poll);
  else
    uv_poll_stop(&udp->poll);
}

static void take_first(rt__udp_wait **list) {
  rt__udp_wait *wait = *list;
  *list = wait->next;
  wait->fn(wait);
}

/* One datagram for the first receiver; false when none is there. An error that
 * an earlier datagram caused (an ICMP answer) is nobody's. */
static bool receive_one(rt__udp *udp) {
  rt__udp_wait *wait = udp->receivers;
  socklen_t size = sizeof(wait->peer);
  ssize_t n;
  memset(&wait->peer, 0, sizeof(wait->peer));
  n = recvfrom(udp->fd, udp->net->scratch, RT__NET_SCRATCH, 0, &wait->peer.sa,
               &size);
  if (n < 0)
    return errno == EINTR || errno == ECONNREFUSED || errno == EHOSTUNREACH ||
           errno == ENETUNREACH;
  wait->data = malloc((size_t)n + 1);
  if (!wait->data)
    rt_fail(&wait->err, RT_ENOMEM, "udp: no memory");
  else
    memcpy(wait->data, udp->net->scratch, (size_t)n);
  wait->size = (size_t)n;
  take_first(&udp->receivers);
  return true;
}

static bool send_one(rt__udp *udp) {
  rt__udp_wait *wait = udp->senders;
  ssize_t n = sendto(udp->fd, wait->data, wait->size, MSG_NOSIGNAL,
                     &wait->peer.sa, rt__addr_len(&wait->peer));
  if (n < 0 && errno == EINTR) return true;
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  if (n < 0 && errno != ECONNREFUSED) rt__net_fault(&wait->err, errno, "send");
  take_first(&udp->senders);
  return true;
}

static void run(rt__udp *udp) {
  while (udp->fd >= 0 && udp->senders && send_one(udp)) {
  }
  while (udp->fd >= 0 && udp->receivers && receive_one(udp)) {
  }
  update_poll(udp);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  rt__udp *udp = (rt__udp *)poll;
  (void)events;
  if (status < 0) udp->events = 0; /* libuv stopped it */
  run(udp);
}

static void fail_closed(rt__udp_wait *wait) {
  rt_fail(&wait->err, RT_ECLOSED, "udp: the socket is closed");
}

static void join(rt__udp *udp, rt__udp_wait **list, rt__udp_wait *wait) {
  wait->next = NULL;
  if (udp->fd < 0) {
    fail_closed(wait);
    wait->fn(wait);
    return;
  }
  while (*list) list = &(*list)->next;
  *list = wait;
  run(udp);
}

void rt__udp_receive(rt__udp *udp, rt__udp_wait *wait) {
  join(udp, &udp->receivers, wait);
}

void rt__udp_send(rt__udp *udp, rt__udp_wait *wait) {
  join(udp, &udp->senders, wait);
}

static void leave(rt__udp_wait **list, const rt__udp_wait *wait) {
  while (*list && *list != wait) list = &(*list)->next;
  if (*list) *list = wait->next;
}

void rt__udp_stop(rt__udp *udp, rt__udp_wait *wait) {
  leave(&udp->receivers, wait);
  leave(&udp->senders, wait);
  update_poll(udp);
}

void rt__udp_close(rt__udp *udp) {
  if (udp->fd < 0) return;
  uv_poll_stop(&udp->poll);
  uv_close((uv_handle_t *)&udp->poll, on_closed);
  close(udp->fd);
  udp->fd = -1;
  while (udp->receivers) {
    fail_closed(udp->receivers);
    take_first(&udp->receivers);
  }
  while (udp->senders) {
    fail_closed(udp->senders);
    take_first(&udp->senders);
  }
}

const rt__addr *rt__udp_address(const rt__udp *udp) {
  return &udp->local;
}
