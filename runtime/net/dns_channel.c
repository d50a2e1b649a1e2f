/* dns_channel.c - one c-ares channel on a uv loop (net/dns_channel.h).
 *
 * c-ares tells which sockets it waits for; each gets a uv_poll_t. Its retries
 * are driven by a repeating timer that runs only while questions are open, so
 * an idle channel has no active handle. SPDX-License-Identifier: MIT */
#include "net/dns_channel.h"

#include <stdlib.h>

enum { MAX_TICK_MS = 250, MIN_TICK_MS = 5, EDNS_SIZE = 1232 };

typedef struct rt__dns_poll {
  uv_poll_t poll; /* first: freed with it */
  struct rt__dns_poll *next;
  rt__dns_channel *channel; /* NULL once the socket is closed */
  ares_socket_t fd;
  int events;
} rt__dns_poll;

static void on_handle_closed(uv_handle_t *handle) {
  rt__net_unref(handle->data);
  free(handle);
}

/* Its `data` becomes the context, which is kept until it is closed. */
static void close_handle(rt__net *net, uv_handle_t *handle) {
  handle->data = net;
  uv_close(handle, on_handle_closed);
}

static void process(rt__dns_channel *channel, ares_socket_t readable,
                    ares_socket_t writable) {
  channel->busy = true;
  ares_process_fd(channel->ares, readable, writable);
  channel->busy = false;
}

/* libuv stops a handle that fails; c-ares may still want the socket. */
static void on_poll(uv_poll_t *handle, int status, int events) {
  rt__dns_poll *poll = (rt__dns_poll *)handle;
  ares_socket_t fd = poll->fd;
  bool failed = status < 0; /* c-ares reads the reason from the socket */
  rt__dns_channel *channel = poll->channel;
  if (!channel) return;
  if (failed) events = UV_READABLE | UV_WRITABLE;
  process(channel, events & UV_READABLE ? fd : ARES_SOCKET_BAD,
          events & UV_WRITABLE ? fd : ARES_SOCKET_BAD);
  /* Unless c-ares has let go of the socket meanwhile. */
  if (failed && poll->channel == channel)
    uv_poll_start(handle, poll->events, on_poll);
}

static void on_tick(uv_timer_t *timer) {
  process(timer->data, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static rt__dns_poll **find_poll(rt__dns_channel *channel, ares_socket_t fd) {
  rt__dns_poll **at = &channel->polls;
  while (*at && (*at)->fd != fd) at = &(*at)->next;
  return at;
}

static rt__dns_poll *open_poll(rt__dns_channel *channel, ares_socket_t fd) {
  rt__dns_poll *poll = calloc(1, sizeof(*poll));
  if (!poll) return NULL; /* the question then times out */
  if (uv_poll_init(channel->net->loop, &poll->poll, fd) < 0) {
    free(poll);
    return NULL;
  }
  rt__net_ref(channel->net);
  poll->channel = channel;
  poll->fd = fd;
  poll->next = channel->polls;
  channel->polls = poll;
  return poll;
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable,
                            int writable) {
  rt__dns_channel *channel = arg;
  rt__dns_poll **at = find_poll(channel, fd), *poll = *at;
  if (readable || writable) {
    if (!poll) poll = open_poll(channel, fd);
    if (!poll) return;
    poll->events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    uv_poll_start(&poll->poll, poll->events, on_poll);
    return;
  }
  if (!poll) return;
  *at = poll->next;
  poll->channel = NULL;
  uv_poll_stop(&poll->poll);
  close_handle(channel->net, (uv_handle_t *)&poll->poll);
}

static uv_timer_t *open_timer(rt__dns_channel *channel) {
  uv_timer_t *timer = calloc(1, sizeof(*timer));
  if (!timer) return NULL;
  uv_timer_init(channel->net->loop, timer);
  timer->data = channel;
  rt__net_ref(channel->net);
  return timer;
}

static int open_ares(rt__dns_channel *channel, const char *server) {
  struct ares_options options = {0};
  int rc, mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                 ARES_OPT_SOCK_STATE_CB | ARES_OPT_EDNSPSZ;
  options.flags = ARES_FLAG_EDNS;
  /* Of several servers the next is asked when one fails; of a single one we
   * want to hear that it did. */
  if (*server) options.flags |= ARES_FLAG_NOCHECKRESP;
  options.ednspsz = EDNS_SIZE;
  options.timeout = (int)channel->timeout_ms;
  options.tries = (int)channel->tries;
  options.sock_state_cb = on_socket_state;
  options.sock_state_cb_data = channel;
  rc = ares_init_options(&channel->ares, &options, mask);
  if (rc != ARES_SUCCESS) {
    channel->ares = NULL;
    return rc;
  }
  return *server ? ares_set_servers_ports_csv(channel->ares, server) : rc;
}

rt_err rt__dns_channel_new(rt__dns_channel **out, rt__net *net,
                           const char *server, unsigned timeout_ms,
                           unsigned tries, rt_error *err) {
  int rc;
  rt__dns_channel *channel = calloc(1, sizeof(*channel));
  *out = NULL;
  if (!channel) return rt_fail(err, RT_ENOMEM, "dns: no memory");
  channel->net = net;
  channel->timeout_ms = timeout_ms;
  channel->tries = tries;
  channel->timer = open_timer(channel);
  rc = channel->timer ? open_ares(channel, server) : ARES_ENOMEM;
  if (rc != ARES_SUCCESS) {
    rt__dns_channel_free(channel);
    return rt_fail(err, RT_EINVAL, "dns: server '%s': %s", server,
                   ares_strerror(rc));
  }
  *out = channel;
  return RT_OK;
}

void rt__dns_channel_free(rt__dns_channel *channel) {
  if (channel->ares) ares_destroy(channel->ares);
  if (channel->timer) close_handle(channel->net, (uv_handle_t *)channel->timer);
  free(channel);
}

void rt__dns_channel_begin(rt__dns_channel *channel) {
  uint64_t tick = channel->timeout_ms / 4;
  if (channel->in_flight++ > 0) return;
  if (tick > MAX_TICK_MS) tick = MAX_TICK_MS;
  if (tick < MIN_TICK_MS) tick = MIN_TICK_MS;
  uv_timer_start(channel->timer, on_tick, tick, tick);
}

void rt__dns_channel_end(rt__dns_channel *channel) {
  if (--channel->in_flight == 0) uv_timer_stop(channel->timer);
}
