/* cert.c - certificates in words (net/tls_store.h).
 *
 * What a stranger put into a certificate is turned into UTF-8 without control
 * characters; a name with a NUL in it, once a trick to fool verifiers, is left
 * out. Any thread. SPDX-License-Identifier: MIT */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/tls_store.h"

enum { CHAIN_MAX = 32, SANS_MAX = 4096 };

/* The bytes of a memory BIO as a string [own]; frees the BIO. */
static char *text_of(BIO *bio) {
  char *data = NULL, *copy = NULL;
  long size = BIO_get_mem_data(bio, &data);
  if (size >= 0) copy = malloc((size_t)size + 1);
  if (copy) {
    if (size > 0) memcpy(copy, data, (size_t)size);
    copy[size] = '\0';
  }
  BIO_free(bio);
  return copy;
}

static char *name_text(const X509_NAME *name) {
  BIO *bio = BIO_new(BIO_s_mem());
  if (!bio) return NULL;
  X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  return text_of(bio);
}

static char *pem_text(X509 *x509) {
  BIO *bio = BIO_new(BIO_s_mem());
  if (!bio) return NULL;
  PEM_write_bio_X509(bio, x509);
  return text_of(bio);
}

static int64_t unix_time(const ASN1_TIME *when) {
  struct tm tm;
  return ASN1_TIME_to_tm(when, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void fingerprint(const X509 *x509, char out[65]) {
  static const char digits[] = "0123456789abcdef";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (X509_digest(x509, EVP_sha256(), digest, &size) != 1) size = 0;
  for (unsigned i = 0; i < size && i < 32; i++) {
    out[2 * i] = digits[digest[i] >> 4];
    out[2 * i + 1] = digits[digest[i] & 15];
  }
  out[2 * (size < 32 ? size : 32)] = '\0';
}

/* A string of a name as UTF-8 [own]; NULL when it has control characters. */
static char *clean_text(const ASN1_STRING *string) {
  unsigned char *utf8 = NULL;
  int size = ASN1_STRING_to_UTF8(&utf8, string);
  char *copy = NULL;
  bool good = size > 0;
  for (int i = 0; good && i < size; i++)
    if (utf8[i] < 0x20 || utf8[i] == 0x7f) good = false;
  if (good) copy = malloc((size_t)size + 1);
  if (copy) {
    memcpy(copy, utf8, (size_t)size);
    copy[size] = '\0';
  }
  OPENSSL_free(utf8);
  return copy;
}

static char *address_text(const ASN1_OCTET_STRING *string) {
  char ip[RT__ADDR_TEXT];
  rt__addr addr;
  int size = ASN1_STRING_length(string);
  memset(&addr, 0, sizeof(addr));
  if (size != 4 && size != 16) return NULL;
  addr.sa.sa_family = size == 4 ? AF_INET : AF_INET6;
  memcpy(size == 4 ? (void *)&addr.v4.sin_addr : (void *)&addr.v6.sin6_addr,
         ASN1_STRING_get0_data(string), (size_t)size);
  rt__addr_text(&addr, ip);
  return strdup(ip);
}

static char *san_text(const GENERAL_NAME *name) {
  switch (name->type) {
  case GEN_DNS:
    return clean_text(name->d.dNSName);
  case GEN_EMAIL:
    return clean_text(name->d.rfc822Name);
  case GEN_URI:
    return clean_text(name->d.uniformResourceIdentifier);
  case GEN_IPADD:
    return address_text(name->d.iPAddress);
  default:
    return NULL;
  }
}

static bool read_sans(const X509 *x509, rt__cert *cert) {
  GENERAL_NAMES *names =
      X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
  int count = names ? sk_GENERAL_NAME_num(names) : 0;
  if (count > SANS_MAX) count = SANS_MAX;
  cert->sans = calloc((size_t)count + 1, sizeof(*cert->sans));
  for (int i = 0; cert->sans && i < count; i++) {
    char *text = san_text(sk_GENERAL_NAME_value(names, i));
    if (text) cert->sans[cert->san_count++] = text;
  }
  GENERAL_NAMES_free(names);
  return cert->sans != NULL;
}

static bool read_cert(X509 *x509, rt__cert *cert) {
  cert->subject = name_text(X509_get_subject_name(x509));
  cert->issuer = name_text(X509_get_issuer_name(x509));
  cert->pem = pem_text(x509);
  cert->not_before = unix_time(X509_get0_notBefore(x509));
  cert->not_after = unix_time(X509_get0_notAfter(x509));
  fingerprint(x509, cert->sha256);
  return read_sans(x509, cert) && cert->subject && cert->issuer && cert->pem;
}

void rt__certs_free(rt__cert *certs, size_t count) {
  for (size_t i = 0; certs && i < count; i++) {
    for (size_t j = 0; j < certs[i].san_count; j++) free(certs[i].sans[j]);
    free(certs[i].sans);
    free(certs[i].subject);
    free(certs[i].issuer);
    free(certs[i].pem);
  }
  free(certs);
}

static bool is_listed(X509 *const *list, size_t count, const X509 *x509) {
  for (size_t i = 0; i < count; i++)
    if (X509_cmp(list[i], x509) == 0) return true;
  return false;
}

/* One of `chain` that is not listed yet; the issuer of `below` unless NULL. */
static X509 *pick(const STACK_OF(X509) * chain, X509 *const *list, size_t count,
                  X509 *below) {
  for (int i = 0; chain && i < sk_X509_num(chain); i++) {
    X509 *x509 = sk_X509_value(chain, i);
    if (is_listed(list, count, x509)) continue;
    if (!below || X509_check_issued(x509, below) == X509_V_OK) return x509;
  }
  return NULL;
}

static size_t in_order(X509 *leaf, const STACK_OF(X509) * chain,
                       X509 *out[CHAIN_MAX]) {
  size_t count = 0;
  X509 *next = leaf;
  while (next && count < CHAIN_MAX) {
    out[count++] = next;
    next = pick(chain, out, count, next);
  }
  while (count < CHAIN_MAX && (next = pick(chain, out, count, NULL)))
    out[count++] = next;
  return count;
}

rt_err rt__certs_read(rt__cert **out, size_t *count, X509 *leaf,
                      const STACK_OF(X509) * chain, rt_error *err) {
  X509 *list[CHAIN_MAX];
  size_t n = leaf ? in_order(leaf, chain, list) : 0;
  rt__cert *certs = calloc(n + 1, sizeof(*certs));
  bool good = certs != NULL;
  *out = NULL;
  *count = 0;
  for (size_t i = 0; good && i < n; i++) good = read_cert(list[i], &certs[i]);
  ERR_clear_error();
  if (!good) {
    rt__certs_free(certs, n);
    return rt_fail(err, RT_ENOMEM, "tls: no memory for certificates");
  }
  *out = certs;
  *count = n;
  return RT_OK;
}
