/* tls_store.c - OpenSSL contexts, made once (net/tls_store.h).
 *
 * A client context that verifies, one that does not, and the last server's.
 * SPDX-License-Identifier: MIT */
#include "net/tls_store.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

struct rt__tls_store {
  SSL_CTX *verifying, *trusting, *server;
  char *certificate, *key; /* of `server` */
};

static void forget_server(struct rt__tls_store *store) {
  SSL_CTX_free(store->server);
  free(store->certificate);
  free(store->key);
  store->server = NULL;
  store->certificate = store->key = NULL;
}

void rt__tls_store_free(struct rt__tls_store *store) {
  if (!store) return;
  SSL_CTX_free(store->verifying);
  SSL_CTX_free(store->trusting);
  forget_server(store);
  free(store);
}

static rt_err fail_openssl(rt_error *err, rt_err code, const char *what) {
  unsigned long number = ERR_peek_error();
  const char *text = number ? ERR_reason_error_string(number) : NULL;
  rt_fail(err, code, "tls: %s: %s", what, text ? text : "failed");
  ERR_clear_error();
  return code;
}

static SSL_CTX *new_context(const rt__tls_opts *opts) {
  SSL_CTX *context =
      SSL_CTX_new(opts->server ? TLS_server_method() : TLS_client_method());
  if (!context) return NULL;
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  if (opts->server) {
    SSL_CTX_set_alpn_select_cb(context, rt__tls_choose_alpn, NULL);
  } else if (opts->verify) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  } else {
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_options(context, SSL_OP_LEGACY_SERVER_CONNECT);
  }
  return context;
}

static rt_err new_client(const rt__tls_opts *opts, SSL_CTX **out,
                         rt_error *err) {
  int rc = 1;
  ERR_clear_error();
  *out = new_context(opts);
  if (!*out) return fail_openssl(err, RT_EINTERNAL, "cannot make a context");
  if (opts->verify)
    rc = opts->ca_file ? SSL_CTX_load_verify_file(*out, opts->ca_file)
                       : SSL_CTX_set_default_verify_paths(*out);
  if (rc == 1) return RT_OK;
  SSL_CTX_free(*out);
  *out = NULL;
  return fail_openssl(err, RT_EINVAL,
                      opts->ca_file ? opts->ca_file : "system certificates");
}

static bool use_chain(SSL_CTX *context, const char *pem) {
  BIO *bio = BIO_new_mem_buf(pem, -1);
  X509 *leaf = bio ? PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL) : NULL;
  X509 *next;
  bool good = leaf && SSL_CTX_use_certificate(context, leaf) == 1;
  while (good && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      good = false;
    }
  if (good) ERR_clear_error(); /* the end of the text is no error */
  X509_free(leaf);
  BIO_free(bio);
  return good;
}

static bool use_key(SSL_CTX *context, const char *pem) {
  BIO *bio = BIO_new_mem_buf(pem, -1);
  EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
  bool good = key && SSL_CTX_use_PrivateKey(context, key) == 1;
  EVP_PKEY_free(key);
  BIO_free(bio);
  return good;
}

static rt_err new_server(const rt__tls_opts *opts, SSL_CTX **out,
                         rt_error *err) {
  const char *what = NULL;
  ERR_clear_error();
  *out = new_context(opts);
  if (!*out) return fail_openssl(err, RT_EINTERNAL, "cannot make a context");
  if (!use_chain(*out, opts->certificate))
    what = "certificate";
  else if (!use_key(*out, opts->key))
    what = "key";
  if (!what) return RT_OK;
  SSL_CTX_free(*out);
  *out = NULL;
  return fail_openssl(err, RT_EINVAL, what);
}

static rt_err server_context(struct rt__tls_store *store,
                             const rt__tls_opts *opts, rt_error *err) {
  rt_err rc;
  if (store->server && strcmp(store->certificate, opts->certificate) == 0 &&
      strcmp(store->key, opts->key) == 0)
    return RT_OK;
  forget_server(store);
  rc = new_server(opts, &store->server, err);
  if (rc != RT_OK) return rc;
  store->certificate = strdup(opts->certificate);
  store->key = strdup(opts->key);
  if (store->certificate && store->key) return RT_OK;
  forget_server(store);
  return rt_fail(err, RT_ENOMEM, "tls: no memory");
}

static rt_err client_context(SSL_CTX **slot, const rt__tls_opts *opts,
                             rt_error *err) {
  return *slot ? RT_OK : new_client(opts, slot, err);
}

rt_err rt__tls_context(rt__net *net, const rt__tls_opts *opts, SSL_CTX **out,
                       rt_error *err) {
  struct rt__tls_store *store = net->tls;
  SSL_CTX **slot;
  rt_err rc;
  if (!store) store = net->tls = calloc(1, sizeof(*store));
  if (!store) return rt_fail(err, RT_ENOMEM, "tls: no memory");
  if (!opts->server && opts->verify && opts->ca_file)
    return new_client(opts, out, err);
  slot = opts->server   ? &store->server
         : opts->verify ? &store->verifying
                        : &store->trusting;
  rc = opts->server ? server_context(store, opts, err)
                    : client_context(slot, opts, err);
  if (rc != RT_OK) return rc;
  *out = *slot;
  SSL_CTX_up_ref(*out);
  return RT_OK;
}
