/* net/http.h - HTTP requests through libcurl's multi interface.
 *
 * One request is one exchange: redirects are followed by the caller, who looks
 * every name up first, so that libcurl never resolves one by itself.
 * SPDX-License-Identifier: MIT */
#ifndef RT__NET_HTTP_H
#define RT__NET_HTTP_H

#include "base/buffer.h"
#include "net/net.h"

typedef struct rt__http_request rt__http_request;

/* Strings are copied. */
typedef struct rt__http_opts {
  const char *url, *method;
  const char *connect_to; /* "ADDRESS:PORT" to connect to; NULL: the proxy's */
  const char *proxy;      /* URL with a literal address; NULL: none */
  const char *user, *password; /* basic authentication; NULL: none */
  const char *body;
  size_t body_size;
  bool has_body;
  const char *const *headers; /* "Name: value" */
  size_t header_count;
  bool verify;
  const char *ca_file;
  const char *http_version; /* "1.0", "1.1", "2"; NULL: what both can */
  size_t max_body;
  bool truncate;          /* a longer body is cut, not refused */
  double connect_timeout; /* seconds; 0: none of its own */
} rt__http_opts;

typedef struct rt__http_result {
  long status;
  const char *version; /* "1.0", "1.1", "2", "3" */
  rt__buf head;        /* the final response's header lines, CRLF between */
  rt__buf body;
  bool truncated;
  double seconds;
  bool unreachable; /* the failure is this address's: try the next */
} rt__http_result;

/* The result is borrowed; `err` is NULL when there was a response. */
typedef void (*rt__http_fn)(void *arg, rt__http_result *result,
                            const rt_error *err);

/* `*out` is good until `fn` was called: once, never before this returns, and
 * not at all after a failure or rt__http_cancel(). */
rt_err rt__http_start(rt__http_request **out, rt__net *net,
                      const rt__http_opts *opts, rt__http_fn fn, void *arg,
                      rt_error *err);
void rt__http_cancel(rt__http_request *request);
/* Part of rt__net_close(). */
void rt__http_close(rt__net *net);

/* The parts of a URL, made absolute by `base` (or NULL); released with
 * rt__url_deinit(). Only http and https are taken. */
typedef struct rt__url {
  char *text; /* normal form, without fragment and credentials */
  char *scheme, *host, *user, *password;
  unsigned port;
} rt__url;
rt_err rt__url_parse(rt__url *out, const char *text, const char *base,
                     bool any_scheme, rt_error *err);
void rt__url_deinit(rt__url *url);

#endif
