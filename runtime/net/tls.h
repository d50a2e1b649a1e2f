/* net/tls.h - TLS on a connection, through OpenSSL's memory BIOs.
 *
 * OpenSSL never sees the socket: conn.c hands it what arrives and sends what
 * it produces, so nothing blocks and no SIGPIPE is raised.
 * SPDX-License-Identifier: MIT */
#ifndef RT__NET_TLS_H
#define RT__NET_TLS_H

#include "net/conn.h"

typedef struct rt__tls_opts {
  bool server;
  bool verify;             /* client: chain and name are checked */
  const char *server_name; /* SNI and the name that is checked; NULL: none */
  const char *alpn;        /* wire form: each name behind its length */
  size_t alpn_size;
  const char *ca_file;     /* instead of the system's store; NULL */
  const char *certificate; /* PEM of the own chain and key; server: needed */
  const char *key;
} rt__tls_opts;

/* Put TLS on a connection that has not been used yet and begin the handshake;
 * wait for it with RT__READ_READY. */
rt_err rt__tls_start(rt__conn *conn, const rt__tls_opts *opts, rt_error *err);

/* After the handshake: "TLSv1.3", the cipher, the protocol agreed on ("" for
 * none), and whether the chain and name were found good. */
const char *rt__tls_version(const rt__conn *conn);
const char *rt__tls_cipher(const rt__conn *conn);
void rt__tls_alpn(const rt__conn *conn, char out[256]);
bool rt__tls_verified(const rt__conn *conn);

/* What one certificate says; text is UTF-8. Released with rt__cert_free(). */
typedef struct rt__cert {
  char *subject, *issuer; /* "CN=a,O=b" (RFC 2253) */
  char **sans;            /* names and addresses, without their kind */
  size_t san_count;
  int64_t not_before, not_after; /* unix seconds */
  char sha256[65];
  char *pem;
} rt__cert;
/* The peer's certificates, leaf to root [own]; also after the close. */
rt_err rt__tls_certificates(const rt__conn *conn, rt__cert **out, size_t *count,
                            rt_error *err);
void rt__certs_free(rt__cert *certs, size_t count);

/* --- for conn.c and net.c ------------------------------------------------ */
/* Bytes from the socket; what they mean goes to conn->in. */
void rt__tls_receive(rt__conn *conn, const void *data, size_t size);
void rt__tls_eof(rt__conn *conn);
rt_err rt__tls_write(rt__conn *conn, const void *data, size_t size,
                     rt_error *err);
/* Queue close_notify. */
void rt__tls_goodbye(rt__conn *conn);
bool rt__tls_ready(const rt__conn *conn);
void rt__tls_free(struct rt__tls *tls);
void rt__tls_store_free(struct rt__tls_store *store);

#endif
