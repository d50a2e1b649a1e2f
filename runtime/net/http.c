/* http.c - one HTTP exchange (net/http.h).
 *
 * libcurl is told where to connect (CURLOPT_CONNECT_TO with a literal
 * address), takes no proxy from the environment, installs no signal handler
 * and keeps no names. SPDX-License-Identifier: MIT */
#include "net/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/http_multi.h"

enum { HEAD_MAX = 256 * 1024 };

struct rt__http_request {
  rt__http_request *prev, *next; /* of the context's list */
  rt__net *net;
  CURL *easy;
  struct curl_slist *headers, *connect_to;
  rt__http_result result;
  size_t max_body;
  bool truncate, too_long, head_too_long;
  rt__http_fn fn;
  void *arg;
  rt__http_request **out;
  char words[CURL_ERROR_SIZE];
};

/* --- what arrives ------------------------------------------------------ */
static size_t on_head(char *line, size_t one, size_t size, void *arg) {
  rt__http_request *request = arg;
  rt__buf *head = &request->result.head;
  (void)one;
  if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) rt__buf_clear(head);
  request->head_too_long = head->size + size > HEAD_MAX;
  if (request->head_too_long) return 0;
  rt__buf_append(head, line, size);
  return head->failed ? 0 : size;
}

static size_t on_body(char *data, size_t one, size_t size, void *arg) {
  rt__http_request *request = arg;
  rt__buf *body = &request->result.body;
  size_t room = request->max_body - body->size;
  (void)one;
  if (size <= room) {
    rt__buf_append(body, data, size);
    return body->failed ? 0 : size;
  }
  request->too_long = true;
  request->result.truncated = request->truncate;
  if (request->truncate) rt__buf_append(body, data, room);
  return 0;
}

/* --- the end ----------------------------------------------------------- */
static void link_request(rt__http_request *request) {
  request->next = request->net->requests;
  if (request->next) request->next->prev = request;
  request->net->requests = request;
}

/* Take it out of libcurl's hands and the context's list. */
static void unlink_request(rt__http_request *request) {
  curl_multi_remove_handle(rt__multi_handle(request->net->http), request->easy);
  if (request->prev)
    request->prev->next = request->next;
  else
    request->net->requests = request->next;
  if (request->next) request->next->prev = request->prev;
}

static void free_request(rt__http_request *request) {
  if (request->easy) curl_easy_cleanup(request->easy);
  curl_slist_free_all(request->headers);
  curl_slist_free_all(request->connect_to);
  rt__buf_deinit(&request->result.head);
  rt__buf_deinit(&request->result.body);
  rt__net_unref(request->net);
  free(request);
}

static bool has_connected(CURL *easy) {
  curl_off_t when = 0;
  curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &when);
  return when > 0;
}

static rt_err code_of(CURLcode code) {
  switch (code) {
  case CURLE_OPERATION_TIMEDOUT:
    return RT_ETIMEOUT;
  case CURLE_PEER_FAILED_VERIFICATION:
    return RT_EPERM;
  case CURLE_URL_MALFORMAT:
  case CURLE_BAD_FUNCTION_ARGUMENT:
  case CURLE_SSL_CACERT_BADFILE:
    return RT_EINVAL;
  case CURLE_OUT_OF_MEMORY:
    return RT_ENOMEM;
  default:
    return RT_EUNAVAIL;
  }
}

/* A peer that went away may be back; one that speaks no HTTP will not. */
static bool is_retryable(CURLcode code) {
  return code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
         code == CURLE_SEND_ERROR || code == CURLE_PARTIAL_FILE ||
         code == CURLE_OPERATION_TIMEDOUT || code == CURLE_HTTP2 ||
         code == CURLE_HTTP2_STREAM;
}

static rt_err fail_of(rt__http_request *request, CURLcode code, rt_error *err) {
  const char *words =
      *request->words ? request->words : curl_easy_strerror(code);
  bool connected = has_connected(request->easy);
  if (request->too_long)
    return rt_fail(err, RT_EINVAL, "http: the body is larger than %zu bytes",
                   request->max_body);
  if (request->head_too_long)
    return rt_fail(err, RT_EINVAL, "http: the headers are larger than %d bytes",
                   HEAD_MAX);
  rt_fail(err, code_of(code), "http: %s", words);
  err->retryable = is_retryable(code);
  request->result.unreachable =
      code == CURLE_COULDNT_CONNECT ||
      (code == CURLE_OPERATION_TIMEDOUT && !connected);
  return err->code;
}

static const char *version_text(long version) {
  switch (version) {
  case CURL_HTTP_VERSION_1_0:
    return "1.0";
  case CURL_HTTP_VERSION_2_0:
    return "2";
  case CURL_HTTP_VERSION_3:
    return "3";
  default:
    return "1.1";
  }
}

static void fill_result(rt__http_request *request) {
  rt__http_result *result = &request->result;
  curl_off_t time_us = 0;
  long version = 0;
  curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &result->status);
  curl_easy_getinfo(request->easy, CURLINFO_TOTAL_TIME_T, &time_us);
  curl_easy_getinfo(request->easy, CURLINFO_HTTP_VERSION, &version);
  result->seconds = (double)time_us / 1e6;
  result->version = version_text(version);
}

static void finish(rt__http_request *request, const rt_error *err) {
  unlink_request(request);
  *request->out = NULL;
  request->fn(request->arg, &request->result, err);
  free_request(request);
}

static void on_done(CURL *easy, CURLcode code) {
  rt__http_request *request = NULL;
  rt_error err = RT_ERROR_INIT;
  char *private = NULL;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
  request = (rt__http_request *)(void *)private;
  if (request->result.truncated) code = CURLE_OK;
  if (code != CURLE_OK) fail_of(request, code, &err);
  fill_result(request);
  finish(request, code == CURLE_OK ? NULL : &err);
}

void rt__http_cancel(rt__http_request *request) {
  if (!request) return;
  unlink_request(request);
  free_request(request);
}

void rt__http_close(rt__net *net) {
  rt_error err = RT_ERROR_INIT;
  if (!net->http) return;
  rt_fail(&err, RT_ECANCELED, "http: canceled");
  while (net->requests) finish(net->requests, &err);
  rt__multi_free(net->http);
  net->http = NULL;
}

/* Programs that scripts start must not inherit our connections. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose,
                                 struct curl_sockaddr *address) {
  (void)arg, (void)purpose;
  return socket(address->family, address->socktype | SOCK_CLOEXEC,
                address->protocol);
}

/* --- the beginning ----------------------------------------------------- */
static bool add_line(struct curl_slist **list, const char *line) {
  struct curl_slist *more = curl_slist_append(*list, line);
  if (more) *list = more;
  return more != NULL;
}

static bool has_header(const rt__http_opts *opts, const char *name) {
  size_t size = strlen(name);
  for (size_t i = 0; i < opts->header_count; i++)
    if (strncasecmp(opts->headers[i], name, size) == 0 &&
        (opts->headers[i][size] == ':' || opts->headers[i][size] == ';'))
      return true;
  return false;
}

static bool set_headers(rt__http_request *request, const rt__http_opts *opts) {
  bool good = true;
  for (size_t i = 0; good && i < opts->header_count; i++)
    good = add_line(&request->headers, opts->headers[i]);
  /* Not to wait for "100 Continue", and not to guess a type. */
  if (good && !has_header(opts, "expect"))
    good = add_line(&request->headers, "Expect:");
  if (good && !has_header(opts, "content-type"))
    good = add_line(&request->headers, "Content-Type:");
  if (!has_header(opts, "user-agent"))
    curl_easy_setopt(request->easy, CURLOPT_USERAGENT,
                     "runtime/" RT_VERSION_STRING);
  curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, request->headers);
  return good;
}

static void set_method(CURL *easy, const rt__http_opts *opts) {
  if (strcmp(opts->method, "HEAD") == 0) {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    return;
  }
  if (opts->has_body) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     (curl_off_t)opts->body_size);
    curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
                     opts->body ? opts->body : "");
  }
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, opts->method);
}

static void set_version(CURL *easy, const char *version) {
  long number = CURL_HTTP_VERSION_2TLS;
  if (version && strcmp(version, "1.0") == 0) number = CURL_HTTP_VERSION_1_0;
  if (version && strcmp(version, "1.1") == 0) number = CURL_HTTP_VERSION_1_1;
  if (version && strcmp(version, "2") == 0) number = CURL_HTTP_VERSION_2_0;
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, number);
}

static void set_security(CURL *easy, const rt__http_opts *opts) {
  if (opts->ca_file) curl_easy_setopt(easy, CURLOPT_CAINFO, opts->ca_file);
  if (opts->verify) return;
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_0);
  curl_easy_setopt(easy, CURLOPT_SSL_CIPHER_LIST, "DEFAULT@SECLEVEL=0");
}

static bool set_route(rt__http_request *request, const rt__http_opts *opts) {
  char line[2 * RT__ADDR_TEXT];
  curl_easy_setopt(request->easy, CURLOPT_PROXY,
                   opts->proxy ? opts->proxy : "");
  curl_easy_setopt(request->easy, CURLOPT_NOPROXY, "");
  if (!opts->connect_to) return true;
  snprintf(line, sizeof(line), "::%s", opts->connect_to);
  if (!add_line(&request->connect_to, line)) return false;
  curl_easy_setopt(request->easy, CURLOPT_CONNECT_TO, request->connect_to);
  return true;
}

static void set_basics(rt__http_request *request, const rt__http_opts *opts) {
  CURL *easy = request->easy;
  curl_easy_setopt(easy, CURLOPT_URL, opts->url);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->words);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
  if (opts->user) curl_easy_setopt(easy, CURLOPT_USERNAME, opts->user);
  if (opts->password) curl_easy_setopt(easy, CURLOPT_PASSWORD, opts->password);
  if (opts->connect_timeout > 0)
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(opts->connect_timeout * 1000) + 1);
}

rt_err rt__http_start(rt__http_request **out, rt__net *net,
                      const rt__http_opts *opts, rt__http_fn fn, void *arg,
                      rt_error *err) {
  CURLM *multi;
  rt__http_request *request;
  *out = NULL;
  if (net->closed) return rt_fail(err, RT_ECLOSED, "http: closed");
  multi = rt__multi_of(net, on_done, err);
  if (!multi) return RT_ENOMEM;
  request = calloc(1, sizeof(*request));
  if (!request) return rt_fail(err, RT_ENOMEM, "http: no memory");
  request->net = rt__net_ref(net);
  request->max_body = opts->max_body;
  request->truncate = opts->truncate;
  request->fn = fn;
  request->arg = arg;
  request->out = out;
  request->easy = curl_easy_init();
  if (!request->easy) goto no_memory;
  set_basics(request, opts);
  set_method(request->easy, opts);
  set_version(request->easy, opts->http_version);
  set_security(request->easy, opts);
  if (!set_headers(request, opts) || !set_route(request, opts)) goto no_memory;
  if (curl_multi_add_handle(multi, request->easy) != CURLM_OK) goto no_memory;
  link_request(request);
  *out = request;
  return RT_OK;

no_memory:
  free_request(request);
  return rt_fail(err, RT_ENOMEM, "http: no memory");
}
