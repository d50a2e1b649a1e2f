/* http_multi.c - libcurl driven by uv_poll_t and one timer
 * (net/http_multi.h).
 *
 * libcurl tells which sockets it waits for and when it wants to be woken;
 * finished transfers are collected outside of its callbacks, where it allows
 * handles to be removed. SPDX-License-Identifier: MIT */
#include "net/http_multi.h"

#include <stdlib.h>

enum { IDLE_CONNECTIONS = 64 };

struct rt__http {
  uv_timer_t timer; /* first: freed with it */
  rt__net *net;
  CURLM *multi;
  rt__multi_done_fn done;
};

typedef struct socket_poll {
  uv_poll_t poll; /* first: freed with it */
  struct rt__http *http;
  rt__net *net;
  curl_socket_t fd;
} socket_poll;

/* libcurl wants this once for a program, before any thread uses it. */
static uv_once_t once = UV_ONCE_INIT;

static void init_library(void) {
  curl_global_init(CURL_GLOBAL_ALL);
}

static void collect_done(struct rt__http *http) {
  CURLMsg *message;
  int left;
  while ((message = curl_multi_info_read(http->multi, &left)))
    if (message->msg == CURLMSG_DONE)
      http->done(message->easy_handle, message->data.result);
}

static void act(struct rt__http *http, curl_socket_t fd, int events) {
  int running;
  curl_multi_socket_action(http->multi, fd, events, &running);
  collect_done(http);
}

static void on_poll(uv_poll_t *handle, int status, int events) {
  socket_poll *poll = (socket_poll *)handle;
  int what = status < 0 ? CURL_CSELECT_ERR | CURL_CSELECT_IN : 0;
  if (events & UV_READABLE) what |= CURL_CSELECT_IN;
  if (events & UV_WRITABLE) what |= CURL_CSELECT_OUT;
  act(poll->http, poll->fd, what);
}

static void on_timer(uv_timer_t *timer) {
  act((struct rt__http *)timer, CURL_SOCKET_TIMEOUT, 0);
}

static void on_poll_closed(uv_handle_t *handle) {
  socket_poll *poll = (socket_poll *)handle;
  rt__net_unref(poll->net);
  free(poll);
}

static socket_poll *open_poll(struct rt__http *http, curl_socket_t fd) {
  socket_poll *poll = calloc(1, sizeof(*poll));
  if (!poll) return NULL;
  if (uv_poll_init(http->net->loop, &poll->poll, fd) < 0) {
    free(poll);
    return NULL;
  }
  poll->http = http;
  poll->net = rt__net_ref(http->net);
  poll->fd = fd;
  curl_multi_assign(http->multi, fd, poll);
  return poll;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
                     void *socket_arg) {
  struct rt__http *http = arg;
  socket_poll *poll = socket_arg;
  int events = (what & CURL_POLL_IN ? UV_READABLE : 0) |
               (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
  (void)easy;
  if (what == CURL_POLL_REMOVE) {
    if (!poll) return 0;
    uv_poll_stop(&poll->poll);
    uv_close((uv_handle_t *)&poll->poll, on_poll_closed);
    curl_multi_assign(http->multi, fd, NULL);
    return 0;
  }
  if (!poll) poll = open_poll(http, fd);
  if (!poll) return -1;
  uv_poll_start(&poll->poll, events, on_poll);
  return 0;
}

static int on_timeout(CURLM *multi, long ms, void *arg) {
  struct rt__http *http = arg;
  (void)multi;
  if (ms < 0)
    uv_timer_stop(&http->timer);
  else
    uv_timer_start(&http->timer, on_timer, (uint64_t)ms, 0);
  return 0;
}

static CURLM *new_multi(struct rt__http *http) {
  CURLM *multi = curl_multi_init();
  if (!multi) return NULL;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, http);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timeout);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, http);
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
  return multi;
}

CURLM *rt__multi_of(rt__net *net, rt__multi_done_fn done, rt_error *err) {
  struct rt__http *http = net->http;
  if (http) return http->multi;
  uv_once(&once, init_library);
  http = calloc(1, sizeof(*http));
  if (http) http->multi = new_multi(http);
  if (!http || !http->multi) {
    free(http);
    rt_fail(err, RT_ENOMEM, "http: no memory");
    return NULL;
  }
  http->net = rt__net_ref(net);
  http->done = done;
  uv_timer_init(net->loop, &http->timer);
  net->http = http;
  return http->multi;
}

static void on_timer_closed(uv_handle_t *handle) {
  struct rt__http *http = (struct rt__http *)handle;
  rt__net_unref(http->net);
  free(http);
}

void rt__multi_free(struct rt__http *http) {
  curl_multi_cleanup(http->multi);
  uv_close((uv_handle_t *)&http->timer, on_timer_closed);
}

CURLM *rt__multi_handle(struct rt__http *http) {
  return http->multi;
}
