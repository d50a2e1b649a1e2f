/* url.c - taking URLs apart, with libcurl's parser (net/http.h).
 *
 * Any thread. SPDX-License-Identifier: MIT */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "net/http.h"

static char *part_of(CURLU *url, CURLUPart part, unsigned flags) {
  char *text = NULL, *copy = NULL;
  if (curl_url_get(url, part, &text, flags) == CURLUE_OK && text)
    copy = strdup(text);
  curl_free(text);
  return copy;
}

static CURLUcode set_url(CURLU *url, const char *text, const char *base,
                         bool any_scheme) {
  unsigned flags = CURLU_URLENCODE;
  if (any_scheme) flags |= CURLU_NON_SUPPORT_SCHEME;
  if (base) {
    CURLUcode rc = curl_url_set(url, CURLUPART_URL, base, flags);
    if (rc != CURLUE_OK) return rc;
    flags |= CURLU_ALLOW_SPACE; /* servers send such redirects */
  }
  return curl_url_set(url, CURLUPART_URL, text, flags);
}

static bool is_web(const char *scheme) {
  return scheme &&
         (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
}

static rt_err take_parts(rt__url *out, CURLU *url, bool any_scheme,
                         rt_error *err) {
  char *port;
  out->scheme = part_of(url, CURLUPART_SCHEME, 0);
  out->host = part_of(url, CURLUPART_HOST, 0);
  out->user = part_of(url, CURLUPART_USER, CURLU_URLDECODE);
  out->password = part_of(url, CURLUPART_PASSWORD, CURLU_URLDECODE);
  port = part_of(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  out->port = port ? (unsigned)strtoul(port, NULL, 10) : 1080;
  free(port);
  curl_url_set(url, CURLUPART_USER, NULL, 0);
  curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
  curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
  out->text = part_of(url, CURLUPART_URL, 0);
  if (!any_scheme && !is_web(out->scheme))
    return rt_fail(err, RT_EINVAL, "http: scheme '%s' is not http or https",
                   out->scheme ? out->scheme : "");
  if (!out->host || !*out->host || !out->text || out->port == 0)
    return rt_fail(err, RT_EINVAL, "http: the URL names no host or port");
  return RT_OK;
}

rt_err rt__url_parse(rt__url *out, const char *text, const char *base,
                     bool any_scheme, rt_error *err) {
  CURLU *url = curl_url();
  CURLUcode code;
  rt_err rc;
  memset(out, 0, sizeof(*out));
  if (!url) return rt_fail(err, RT_ENOMEM, "http: no memory");
  code = set_url(url, text, base, any_scheme);
  if (code == CURLUE_OK)
    rc = take_parts(out, url, any_scheme, err);
  else
    rc = rt_fail(err, RT_EINVAL, "http: bad URL '%.200s': %s", text,
                 curl_url_strerror(code));
  curl_url_cleanup(url);
  if (rc != RT_OK) rt__url_deinit(out);
  return rc;
}

void rt__url_deinit(rt__url *url) {
  free(url->text);
  free(url->scheme);
  free(url->host);
  free(url->user);
  free(url->password);
  memset(url, 0, sizeof(*url));
}
