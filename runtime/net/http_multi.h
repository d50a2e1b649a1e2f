/* net/http_multi.h - libcurl's multi handle on the loop.
 *
 * Only http.c uses it. SPDX-License-Identifier: MIT */
#ifndef RT__NET_HTTP_MULTI_H
#define RT__NET_HTTP_MULTI_H

#include <curl/curl.h>

#include "net/net.h"

/* Called for each transfer that ended; it may remove and free the easy handle.
 */
typedef void (*rt__multi_done_fn)(CURL *easy, CURLcode code);

/* The context's multi handle, made when first asked for. */
CURLM *rt__multi_of(rt__net *net, rt__multi_done_fn done, rt_error *err);
/* No transfer may be left in it. */
void rt__multi_free(struct rt__http *http);
CURLM *rt__multi_handle(struct rt__http *http);

#endif
