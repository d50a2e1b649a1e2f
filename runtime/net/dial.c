/* dial.c - connecting (net/dial.h).
 *
 * A literal address is tried before anything is allocated: on loopback the
 * answer is there at once, which is what makes a scan of closed ports quick.
 * Otherwise an attempt is a socket with a poll handle; the dial owns a timer
 * and lives until that is closed. SPDX-License-Identifier: MIT */
#include "net/dial.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/lookup.h"

enum { NEXT_AFTER_MS = 250 };

typedef struct attempt {
  uv_poll_t poll; /* first: freed with it */
  struct attempt *next;
  rt__dial *dial; /* NULL once it is over */
  rt__net *net;
  int fd;
  rt__addr peer;
} attempt;

struct rt__dial {
  uv_timer_t timer; /* first: freed with it */
  rt__net *net;
  rt__lookup *lookup;
  attempt *attempts;
  rt__addr addrs[RT__LOOKUP_MAX];
  size_t count, next;
  int fault; /* of the last address that failed */
  rt__addr fault_addr;
  unsigned port;
  rt__dial_fn fn;
  void *arg;
  rt__dial **out;
  rt__dial_gate gate;
  char host[RT__HOST_MAX];
};

int rt__socket(int family, int type) {
  int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

static bool is_self(int fd) {
  rt__addr local, peer;
  socklen_t size = sizeof(local);
  memset(&local, 0, sizeof(local));
  memset(&peer, 0, sizeof(peer));
  if (getsockname(fd, &local.sa, &size) != 0) return false;
  size = sizeof(peer);
  if (getpeername(fd, &peer.sa, &size) != 0) return false;
  return rt__addr_equal(&local, &peer);
}

/* 0: connected; EINPROGRESS; or another errno, with no socket left. */
static int begin_connect(int *fd, const rt__addr *addr) {
  int code;
  *fd = rt__socket(addr->sa.sa_family, SOCK_STREAM);
  if (*fd < 0) {
    code = -*fd;
    *fd = -1;
    return code;
  }
  code = connect(*fd, &addr->sa, rt__addr_len(addr)) == 0 ? 0 : errno;
  if (code == EINTR) code = EINPROGRESS;
  if (code == 0 && is_self(*fd)) code = ECONNREFUSED;
  if (code != 0 && code != EINPROGRESS) {
    close(*fd);
    *fd = -1;
  }
  return code;
}

static rt_err dial_fault(rt_error *err, int code, const char *host,
                         const rt__addr *addr) {
  char ip[RT__ADDR_TEXT];
  rt__addr_text(addr, ip);
  if (strcmp(ip, host) == 0)
    return rt__net_fault(err, code, "connect to %s port %u", host,
                         rt__addr_port(addr));
  return rt__net_fault(err, code, "connect to %s (%s) port %u", host, ip,
                       rt__addr_port(addr));
}

static void on_attempt_closed(uv_handle_t *handle) {
  attempt *a = (attempt *)handle;
  rt__net_unref(a->net);
  free(a);
}

/* End an attempt; its socket, unless it was taken, is closed. */
static void drop_attempt(attempt *a) {
  attempt **at = &a->dial->attempts;
  while (*at != a) at = &(*at)->next;
  *at = a->next;
  a->dial = NULL;
  uv_poll_stop(&a->poll);
  uv_close((uv_handle_t *)&a->poll, on_attempt_closed);
  if (a->fd >= 0) close(a->fd);
  a->fd = -1;
}

static void on_dial_closed(uv_handle_t *handle) {
  rt__dial *dial = (rt__dial *)handle;
  rt__net_unref(dial->net);
  free(dial);
}

static void close_dial(rt__dial *dial) {
  dial->fn = NULL;
  rt__lookup_cancel(dial->lookup);
  dial->lookup = NULL;
  while (dial->attempts) drop_attempt(dial->attempts);
  uv_close((uv_handle_t *)&dial->timer, on_dial_closed);
}

static void finish(rt__dial *dial, int fd, const rt__addr *peer,
                   const rt_error *err) {
  rt__dial_fn fn = dial->fn;
  *dial->out = NULL;
  close_dial(dial);
  fn(dial->arg, fd, peer, err);
}

static void fail(rt__dial *dial) {
  rt_error err = RT_ERROR_INIT;
  dial_fault(&err, dial->fault, dial->host, &dial->fault_addr);
  finish(dial, -1, NULL, &err);
}

static void try_next(rt__dial *dial);

static void on_timer(uv_timer_t *timer) {
  try_next((rt__dial *)timer);
}

static void attempt_failed(rt__dial *dial, const rt__addr *addr, int code) {
  dial->fault = code;
  dial->fault_addr = *addr;
}

static void on_connected(uv_poll_t *handle, int status, int events) {
  attempt *a = (attempt *)handle;
  rt__dial *dial = a->dial;
  rt__addr peer = a->peer;
  int code = 0, fd = a->fd;
  socklen_t size = sizeof(code);
  (void)events;
  if (!dial) return;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0) code = errno;
  if (code == 0 && status < 0) code = ECONNREFUSED;
  if (code == 0 && is_self(fd)) code = ECONNREFUSED;
  if (code == 0) a->fd = -1; /* taken */
  drop_attempt(a);
  if (code == 0) {
    finish(dial, fd, &peer, NULL);
    return;
  }
  attempt_failed(dial, &peer, code);
  try_next(dial);
}

/* Wait for a connection that is in progress; takes fd. */
static int add_attempt(rt__dial *dial, int fd, const rt__addr *peer) {
  attempt *a = calloc(1, sizeof(*a));
  int code = a ? uv_poll_init(dial->net->loop, &a->poll, fd) : UV_ENOMEM;
  if (code < 0) {
    free(a);
    close(fd);
    return -code;
  }
  a->dial = dial;
  a->net = rt__net_ref(dial->net);
  a->fd = fd;
  a->peer = *peer;
  a->next = dial->attempts;
  dial->attempts = a;
  uv_poll_start(&a->poll, UV_WRITABLE, on_connected);
  return 0;
}

/* Start the next address; those that fail at once are passed over. */
static void try_next(rt__dial *dial) {
  while (dial->next < dial->count) {
    const rt__addr *addr = &dial->addrs[dial->next++];
    int fd, code = begin_connect(&fd, addr);
    if (code == 0) {
      finish(dial, fd, addr, NULL);
      return;
    }
    if (code == EINPROGRESS) code = add_attempt(dial, fd, addr);
    if (code == 0) {
      uv_timer_start(&dial->timer, on_timer, NEXT_AFTER_MS, 0);
      return;
    }
    attempt_failed(dial, addr, code);
  }
  if (!dial->attempts) fail(dial);
}

/* Of `addrs` those it may go to; false: none, for the reason in `err`. */
static bool take_addresses(rt__dial *dial, const rt__addr *addrs, size_t count,
                           rt_error *err) {
  rt_error *why = err;
  for (size_t i = 0; i < count; i++) {
    rt__addr addr = addrs[i];
    rt__addr_set_port(&addr, dial->port);
    if (dial->gate.allows &&
        !dial->gate.allows(dial->gate.arg, dial->host, &addr, why)) {
      why = NULL; /* the first reason is told */
      continue;
    }
    dial->addrs[dial->count++] = addr;
  }
  return dial->count > 0;
}

static void on_lookup(void *arg, const rt__addr *addrs, size_t count,
                      const rt_error *err) {
  rt__dial *dial = arg;
  rt_error refused = RT_ERROR_INIT;
  if (count == 0) {
    finish(dial, -1, NULL, err);
    return;
  }
  if (take_addresses(dial, addrs, count, &refused))
    try_next(dial);
  else
    finish(dial, -1, NULL, &refused);
}

static rt__dial *new_dial(rt__dial **out, rt__net *net, const char *host,
                          unsigned port, rt__dial_fn fn, void *arg) {
  rt__dial *dial = calloc(1, sizeof(*dial));
  *out = dial;
  if (!dial) return NULL;
  dial->net = rt__net_ref(net);
  dial->port = port;
  dial->fn = fn;
  dial->arg = arg;
  dial->out = out;
  strcpy(dial->host, host);
  uv_timer_init(net->loop, &dial->timer);
  return dial;
}

/* A literal address: nothing is allocated when the answer is there at once. */
static rt_err dial_literal(rt__dial **out, rt__net *net, const char *host,
                           const rt__addr *addr, rt__dial_fn fn, void *arg,
                           rt_error *err) {
  int fd, code = begin_connect(&fd, addr);
  rt_error fault = RT_ERROR_INIT;
  rt__dial *dial;
  if (code == 0) {
    fn(arg, fd, addr, NULL);
    return RT_OK;
  }
  if (code != EINPROGRESS) {
    dial_fault(&fault, code, host, addr);
    fn(arg, -1, NULL, &fault);
    return RT_OK;
  }
  dial = new_dial(out, net, host, rt__addr_port(addr), fn, arg);
  if (!dial) {
    close(fd);
    return rt_fail(err, RT_ENOMEM, "connect: no memory");
  }
  code = add_attempt(dial, fd, addr);
  if (code == 0) return RT_OK;
  *out = NULL;
  close_dial(dial);
  return rt__net_fault(err, code, "connect to %s", host);
}

rt_err rt__dial_start(rt__dial **out, rt__net *net, const char *host,
                      unsigned port, const rt__dial_gate *gate, rt__dial_fn fn,
                      void *arg, rt_error *err) {
  rt__dial *dial;
  rt__addr addr;
  rt_err rc;
  *out = NULL;
  if (net->closed) return rt_fail(err, RT_ECLOSED, "connect: closed");
  if (*host == '\0' || strlen(host) >= RT__HOST_MAX)
    return rt_fail(err, RT_EINVAL, "'%.300s' is no host", host);
  bool literal = rt__addr_parse(&addr, host, port);
  if (literal && gate && !gate->allows(gate->arg, host, &addr, err))
    return RT_EPERM;
  if (literal) return dial_literal(out, net, host, &addr, fn, arg, err);
  dial = new_dial(out, net, host, port, fn, arg);
  if (!dial) return rt_fail(err, RT_ENOMEM, "connect: no memory");
  if (gate) dial->gate = *gate;
  rc = rt__lookup_start(&dial->lookup, net, host, NULL, on_lookup, dial, err);
  if (rc != RT_OK) {
    *out = NULL;
    close_dial(dial);
  }
  return rc;
}

void rt__dial_cancel(rt__dial *dial) {
  if (dial) close_dial(dial);
}
