/* tls.c - OpenSSL between a connection's bytes and its readers (net/tls.h).
 *
 * `from` holds what arrived and OpenSSL has not read, `to` what it wants sent.
 * After every step `to` is emptied into the connection's queue. A client that
 * does not verify looks at strangers' servers, so it also accepts protocol
 * versions and ciphers that are no longer safe. SPDX-License-Identifier: MIT */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls_store.h"

enum { PIECE = 16 * 1024 };

struct rt__tls {
  SSL *ssl;
  BIO *from, *to; /* owned by ssl */
  bool ready, verify;
  unsigned char *alpn; /* server: what it speaks */
  size_t alpn_size;
};

/* Why the last call failed: OpenSSL's reason, or the verifier's. */
static void reason_of(const struct rt__tls *tls, rt_error *err,
                      const char *what) {
  unsigned long code = ERR_peek_error();
  long verdict = SSL_get_verify_result(tls->ssl);
  const char *text = code ? ERR_reason_error_string(code) : NULL;
  if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
      ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    rt_fail(err, RT_EPERM, "tls: %s: certificate refused: %s", what,
            X509_verify_cert_error_string(verdict));
  } else {
    rt_fail(err, RT_EUNAVAIL, "tls: %s: %s", what,
            text ? text : "protocol error");
    err->retryable = false;
  }
  ERR_clear_error();
}

static void send_produced(rt__conn *conn) {
  char *data = NULL;
  long size = BIO_get_mem_data(conn->tls->to, &data);
  if (size <= 0) return;
  rt__conn_send_raw(conn, data, (size_t)size);
  (void)BIO_reset(conn->tls->to);
}

static void step_failed(rt__conn *conn, const char *what) {
  rt_error err = RT_ERROR_INIT;
  reason_of(conn->tls, &err, what);
  send_produced(conn); /* the alert */
  rt__conn_read_failed(conn, &err);
}

static void shake_hands(rt__conn *conn) {
  struct rt__tls *tls = conn->tls;
  int rc, why;
  ERR_clear_error();
  rc = SSL_do_handshake(tls->ssl);
  why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, rc);
  if (rc == 1)
    tls->ready = true;
  else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
    step_failed(conn, "handshake");
  send_produced(conn);
}

static void decrypt(rt__conn *conn) {
  struct rt__tls *tls = conn->tls;
  char piece[PIECE];
  rt_error err = RT_ERROR_INIT;
  int n, why;
  for (;;) {
    ERR_clear_error();
    n = SSL_read(tls->ssl, piece, sizeof(piece));
    if (n <= 0) break;
    if (!rt__fifo_append(&conn->in, piece, (size_t)n)) {
      rt_fail(&err, RT_ENOMEM, "read: no memory");
      rt__conn_read_failed(conn, &err);
      return;
    }
  }
  why = SSL_get_error(tls->ssl, n);
  if (why == SSL_ERROR_ZERO_RETURN)
    conn->eof = true;
  else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
    step_failed(conn, "read");
  send_produced(conn);
}

void rt__tls_receive(rt__conn *conn, const void *data, size_t size) {
  rt_error err = RT_ERROR_INIT;
  if (BIO_write(conn->tls->from, data, (int)size) != (int)size) {
    rt_fail(&err, RT_ENOMEM, "tls: no memory");
    rt__conn_read_failed(conn, &err);
    return;
  }
  if (!conn->tls->ready) shake_hands(conn);
  if (conn->tls->ready && !conn->read_fault.code) decrypt(conn);
}

/* Many peers end without close_notify; what was read so far is good. */
void rt__tls_eof(rt__conn *conn) {
  rt_error err = RT_ERROR_INIT;
  conn->eof = true;
  if (conn->tls->ready) return;
  rt_fail(&err, RT_EUNAVAIL,
          "tls: the peer closed the connection during the handshake");
  rt__conn_read_failed(conn, &err);
}

rt_err rt__tls_write(rt__conn *conn, const void *data, size_t size,
                     rt_error *err) {
  const char *at = data;
  while (size > 0) {
    int piece = size < PIECE ? (int)size : PIECE, n;
    ERR_clear_error();
    n = SSL_write(conn->tls->ssl, at, piece);
    if (n <= 0) {
      rt_fail(err, RT_EUNAVAIL, "tls: write: not possible now");
      if (ERR_peek_error()) reason_of(conn->tls, err, "write");
      return err ? err->code : RT_EUNAVAIL;
    }
    send_produced(conn);
    at += n;
    size -= (size_t)n;
  }
  return rt__conn_sent(conn, err);
}

void rt__tls_goodbye(rt__conn *conn) {
  if (!conn->tls->ready || conn->write_fault.code) return;
  ERR_clear_error();
  SSL_shutdown(conn->tls->ssl);
  ERR_clear_error();
  send_produced(conn);
}

bool rt__tls_ready(const rt__conn *conn) {
  return conn->tls->ready;
}

void rt__tls_free(struct rt__tls *tls) {
  if (!tls) return;
  SSL_free(tls->ssl);
  free(tls->alpn);
  free(tls);
}

/* --- setting up -------------------------------------------------------- */
int rt__tls_choose_alpn(SSL *ssl, const unsigned char **out,
                        unsigned char *size, const unsigned char *offered,
                        unsigned offered_size, void *arg) {
  const struct rt__tls *tls = SSL_get_app_data(ssl);
  unsigned char *chosen = NULL;
  (void)arg;
  if (!tls || !tls->alpn ||
      SSL_select_next_proto(&chosen, size, tls->alpn, (unsigned)tls->alpn_size,
                            offered, offered_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

static bool set_names(SSL *ssl, const rt__tls_opts *opts) {
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
  rt__addr addr;
  const char *name = opts->server_name;
  if (!name || !*name) return true;
  if (rt__addr_parse(&addr, name, 0)) {
    char ip[RT__ADDR_TEXT];
    rt__addr_text(&addr, ip);
    return X509_VERIFY_PARAM_set1_ip_asc(param, ip) == 1;
  }
  if (SSL_set_tlsext_host_name(ssl, name) != 1) return false;
  return !opts->verify || X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

static bool set_role(struct rt__tls *tls, const rt__tls_opts *opts) {
  SSL_set_app_data(tls->ssl, tls);
  if (opts->alpn_size > 0) {
    tls->alpn = malloc(opts->alpn_size);
    if (!tls->alpn) return false;
    memcpy(tls->alpn, opts->alpn, opts->alpn_size);
    tls->alpn_size = opts->alpn_size;
  }
  if (opts->server) {
    SSL_set_accept_state(tls->ssl);
    return true;
  }
  SSL_set_connect_state(tls->ssl);
  if (tls->alpn_size > 0 &&
      SSL_set_alpn_protos(tls->ssl, tls->alpn, (unsigned)tls->alpn_size) != 0)
    return false;
  return set_names(tls->ssl, opts);
}

static struct rt__tls *new_tls(SSL_CTX *context, const rt__tls_opts *opts) {
  struct rt__tls *tls = calloc(1, sizeof(*tls));
  if (!tls) return NULL;
  tls->verify = opts->verify;
  tls->ssl = SSL_new(context);
  tls->from = BIO_new(BIO_s_mem());
  tls->to = BIO_new(BIO_s_mem());
  if (tls->ssl && tls->from && tls->to) {
    SSL_set_bio(tls->ssl, tls->from, tls->to); /* takes both */
    if (set_role(tls, opts)) return tls;
  } else {
    BIO_free(tls->from);
    BIO_free(tls->to);
  }
  rt__tls_free(tls);
  return NULL;
}

rt_err rt__tls_start(rt__conn *conn, const rt__tls_opts *opts, rt_error *err) {
  SSL_CTX *context;
  rt_err rc;
  if (conn->tls || conn->fd < 0)
    return rt_fail(err, RT_EINVAL, "tls: the connection is closed or has TLS");
  if (rt__fifo_size(&conn->in) > 0) /* it would pass for decrypted data */
    return rt_fail(err, RT_EINVAL, "tls: there are unread bytes in the clear");
  rc = rt__tls_context(conn->net, opts, &context, err);
  if (rc != RT_OK) return rc;
  conn->tls = new_tls(context, opts);
  SSL_CTX_free(context); /* the connection holds it */
  if (!conn->tls)
    return rt_fail(err, RT_EINVAL, "tls: server_name or alpn is not possible");
  shake_hands(conn);
  return RT_OK;
}

/* --- what was agreed on ------------------------------------------------ */
const char *rt__tls_version(const rt__conn *conn) {
  return SSL_get_version(conn->tls->ssl);
}

const char *rt__tls_cipher(const rt__conn *conn) {
  return SSL_get_cipher_name(conn->tls->ssl);
}

void rt__tls_alpn(const rt__conn *conn, char out[256]) {
  const unsigned char *name = NULL;
  unsigned size = 0;
  SSL_get0_alpn_selected(conn->tls->ssl, &name, &size);
  if (size > 255) size = 255;
  if (size > 0) memcpy(out, name, size);
  out[size] = '\0';
}

bool rt__tls_verified(const rt__conn *conn) {
  const struct rt__tls *tls = conn->tls;
  return tls->verify && tls->ready &&
         SSL_get_verify_result(tls->ssl) == X509_V_OK;
}

rt_err rt__tls_certificates(const rt__conn *conn, rt__cert **out, size_t *count,
                            rt_error *err) {
  SSL *ssl = conn->tls->ssl;
  STACK_OF(X509) *chain = rt__tls_verified(conn) ? SSL_get0_verified_chain(ssl)
                                                 : SSL_get_peer_cert_chain(ssl);
  X509 *leaf = SSL_get0_peer_certificate(ssl);
  return rt__certs_read(out, count, leaf, chain, err);
}
