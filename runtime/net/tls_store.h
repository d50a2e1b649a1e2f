/* net/tls_store.h - OpenSSL's parts of the room: contexts and certificates.
 *
 * Only tls.c, tls_store.c and cert.c include it. SPDX-License-Identifier: MIT
 */
#ifndef RT__NET_TLS_STORE_H
#define RT__NET_TLS_STORE_H

#include <openssl/ssl.h>

#include "net/tls.h"

/* A context for such connections [own a reference]. The usual ones are made
 * once; reading the system's certificates takes a while. */
rt_err rt__tls_context(rt__net *net, const rt__tls_opts *opts, SSL_CTX **out,
                       rt_error *err);

/* A server's choice among the protocols offered; the SSL's app data is its
 * struct rt__tls. */
int rt__tls_choose_alpn(SSL *ssl, const unsigned char **out,
                        unsigned char *size, const unsigned char *offered,
                        unsigned offered_size, void *arg);

/* In words, `leaf` first (NULL: no certificates), then each one's issuer as
 * far as `chain` (which may hold `leaf`, and be NULL) has it, then the rest. */
rt_err rt__certs_read(rt__cert **out, size_t *count, X509 *leaf,
                      const STACK_OF(X509) * chain, rt_error *err);

#endif
