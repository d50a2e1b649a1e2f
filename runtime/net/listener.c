/* listener.c - accepting connections (net/listener.h).
 *
 * SPDX-License-Identifier: MIT */
#include "net/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/dial.h"
#include "net/hosts.h"

enum { DEFAULT_BACKLOG = 1024 };

struct rt__listener {
  uv_poll_t poll; /* first: freed with it */
  rt__net *net;
  int fd;
  unsigned refs; /* one is the handle's, until it is closed */
  bool polling;
  rt__addr local;
  rt__acceptor *first;
};

static bool find_local(rt__net *net, const char *host, unsigned port,
                       rt__addr *addr) {
  if (*host == '\0' || strcmp(host, "*") == 0) host = "0.0.0.0";
  if (rt__addr_parse(addr, host, port)) return true;
  if (rt__hosts_find(net, host, addr, 1) == 0) return false;
  rt__addr_set_port(addr, port);
  return true;
}

int rt__net_bind(rt__net *net, int type, const char *host, unsigned port,
                 rt__addr *local, rt_error *err) {
  int fd, on = 1;
  socklen_t size = sizeof(*local);
  if (!find_local(net, host, port, local)) {
    rt_fail(err, RT_EINVAL, "'%.200s' is no local address", host);
    return -1;
  }
  fd = rt__socket(local->sa.sa_family, type);
  if (fd < 0) {
    rt__net_fault(err, fd, "socket");
    return -1;
  }
  if (type == SOCK_STREAM)
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(fd, &local->sa, rt__addr_len(local)) != 0 ||
      getsockname(fd, &local->sa, &size) != 0) {
    rt__net_fault(err, errno, "listen on %s port %u", host, port);
    close(fd);
    return -1;
  }
  return fd;
}

rt_err rt__listener_new(rt__listener **out, rt__net *net, const char *host,
                        unsigned port, int backlog, rt_error *err) {
  rt__addr local;
  int fd = rt__net_bind(net, SOCK_STREAM, host, port, &local, err), code;
  rt__listener *listener;
  *out = NULL;
  if (fd < 0) return err ? err->code : RT_EUNAVAIL;
  if (backlog <= 0) backlog = DEFAULT_BACKLOG;
  listener = calloc(1, sizeof(*listener));
  code = !listener ? UV_ENOMEM
         : listen(fd, backlog) != 0
             ? -errno
             : uv_poll_init(net->loop, &listener->poll, fd);
  if (code < 0) {
    free(listener);
    close(fd);
    return rt__net_fault(err, code, "listen on %s port %u", host, port);
  }
  listener->net = rt__net_ref(net);
  listener->refs = 2;
  listener->fd = fd;
  listener->local = local;
  *out = listener;
  return RT_OK;
}

rt__listener *rt__listener_ref(rt__listener *listener) {
  listener->refs++;
  return listener;
}

void rt__listener_unref(rt__listener *listener) {
  if (--listener->refs > 0) return;
  rt__net_unref(listener->net);
  free(listener);
}

static void on_closed(uv_handle_t *handle) {
  rt__listener_unref((rt__listener *)handle);
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void update_poll(rt__listener *listener) {
  bool want = listener->first != NULL;
  if (listener->fd < 0 || want == listener->polling) return;
  listener->polling = want;
  if (want)
    uv_poll_start(&listener->poll, UV_READABLE, on_poll);
  else
    uv_poll_stop(&listener->poll);
}

static void hand_over(rt__listener *listener, int fd, const rt__addr *peer,
                      const rt_error *err) {
  rt__acceptor *acceptor = listener->first;
  listener->first = acceptor->next;
  acceptor->fd = fd;
  if (peer) acceptor->peer = *peer;
  if (err) acceptor->err = *err;
  acceptor->fn(acceptor);
}

/* One connection; false when none is there. */
static bool accept_one(rt__listener *listener) {
  rt__addr peer;
  socklen_t size = sizeof(peer);
  rt_error err = RT_ERROR_INIT;
  int fd;
  memset(&peer, 0, sizeof(peer));
  fd = accept4(listener->fd, &peer.sa, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    hand_over(listener, fd, &peer, NULL);
    return true;
  }
  if (errno == EINTR || errno == ECONNABORTED) return true;
  if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
  rt__net_fault(&err, errno, "accept");
  hand_over(listener, -1, NULL, &err);
  return true;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  rt__listener *listener = (rt__listener *)poll;
  (void)events;
  if (status < 0) listener->polling = false;
  while (listener->fd >= 0 && listener->first && accept_one(listener)) {
  }
  update_poll(listener);
}

void rt__listener_accept(rt__listener *listener, rt__acceptor *acceptor) {
  rt__acceptor **at = &listener->first;
  acceptor->next = NULL;
  if (listener->fd < 0) {
    acceptor->fd = -1;
    rt_fail(&acceptor->err, RT_ECLOSED, "accept: the server is closed");
    acceptor->fn(acceptor);
    return;
  }
  while (*at) at = &(*at)->next;
  *at = acceptor;
  if (listener->first == acceptor)
    while (listener->first && accept_one(listener)) {
    }
  update_poll(listener);
}

void rt__listener_stop(rt__listener *listener, rt__acceptor *acceptor) {
  rt__acceptor **at = &listener->first;
  while (*at && *at != acceptor) at = &(*at)->next;
  if (*at) *at = acceptor->next;
  update_poll(listener);
}

void rt__listener_close(rt__listener *listener) {
  rt_error err = RT_ERROR_INIT;
  if (listener->fd < 0) return;
  uv_poll_stop(&listener->poll);
  uv_close((uv_handle_t *)&listener->poll, on_closed);
  close(listener->fd);
  listener->fd = -1;
  rt_fail(&err, RT_ECLOSED, "accept: the server is closed");
  while (listener->first) hand_over(listener, -1, NULL, &err);
}

const rt__addr *rt__listener_address(const rt__listener *listener) {
  return &listener->local;
}
