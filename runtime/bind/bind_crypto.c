/* bind_crypto.c - rt.core.crypto: digests, random bytes and encodings, by
 * OpenSSL. Names of digests are checked by lua/crypto.lua.
 * SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <string.h>

#include "process/sched.h"

int rt__open_crypto(lua_State *L);

/* Most random bytes of one call. */
#define RANDOM_MAX (1 << 20)

/* Bytes between two looks at who is to end; what comes of half a text does not
 * matter then, as its process meets the hook right after. */
#define SLICE (3u << 16)

static bool is_over(lua_State *L, size_t done) {
  return done % SLICE == 0 && done > 0 && rt__vm_is_ending(L);
}

static int fail(lua_State *L, const char *what) {
  rt_error err = RT_ERROR_INIT;
  rt_fail(&err, RT_EINTERNAL, "crypto: %s", what);
  return rt__lua_fail(L, &err);
}

static bool digest(lua_State *L, const EVP_MD *md, const char *data,
                   size_t size, unsigned char *out, unsigned *n) {
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool ok = ctx && md && EVP_DigestInit_ex(ctx, md, NULL);
  for (size_t i = 0; ok && i < size && !is_over(L, i); i += SLICE)
    ok = EVP_DigestUpdate(ctx, data + i, size - i < SLICE ? size - i : SLICE);
  ok = ok && EVP_DigestFinal_ex(ctx, out, n);
  EVP_MD_CTX_free(ctx);
  return ok;
}

/* digest(name, data) -> bytes | nil, err */
static int l_digest(lua_State *L) {
  size_t size;
  const EVP_MD *md = EVP_get_digestbyname(luaL_checkstring(L, 1));
  const char *data = luaL_checklstring(L, 2, &size);
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  if (!digest(L, md, data, size, out, &n)) return fail(L, "no such digest");
  lua_pushlstring(L, (const char *)out, n);
  return 1;
}

typedef struct bytes {
  const unsigned char *at;
  size_t size;
} bytes;

/* HMAC() of much, piece by piece. */
static bool long_hmac(lua_State *L, const EVP_MD *md, bytes key, bytes data,
                      unsigned char *out, unsigned *n) {
  char *name = (char *)(uintptr_t)EVP_MD_get0_name(md); /* is only read */
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
      OSSL_PARAM_construct_end()};
  EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
  EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
  size_t used = 0;
  bool ok = ctx && EVP_MAC_init(ctx, key.at, key.size, params);
  for (size_t i = 0; ok && i < data.size && !is_over(L, i); i += SLICE)
    ok = EVP_MAC_update(ctx, data.at + i,
                        data.size - i < SLICE ? data.size - i : SLICE);
  ok = ok && EVP_MAC_final(ctx, out, &used, EVP_MAX_MD_SIZE);
  *n = (unsigned)used;
  EVP_MAC_CTX_free(ctx);
  EVP_MAC_free(mac);
  return ok;
}

static bool hmac(lua_State *L, const EVP_MD *md, bytes key, bytes data,
                 unsigned char *out, unsigned *n) {
  if (data.size > SLICE) return long_hmac(L, md, key, data, out, n);
  return HMAC(md, key.at, (int)key.size, data.at, data.size, out, n);
}

/* hmac(name, key, data) -> bytes | nil, err */
static int l_hmac(lua_State *L) {
  bytes key, data;
  const EVP_MD *md = EVP_get_digestbyname(luaL_checkstring(L, 1));
  key.at = (const unsigned char *)luaL_checklstring(L, 2, &key.size);
  data.at = (const unsigned char *)luaL_checklstring(L, 3, &data.size);
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  if (!md || !hmac(L, md, key, data, out, &n)) return fail(L, "no such digest");
  lua_pushlstring(L, (const char *)out, n);
  return 1;
}

/* random(n) -> n bytes | nil, err */
static int l_random(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 0 && n <= RANDOM_MAX, 1, "0 to 1048576 expected");
  unsigned char *out = lua_newuserdata(L, n ? (size_t)n : 1);
  if (RAND_bytes(out, (int)n) != 1) return fail(L, "no random bytes");
  lua_pushlstring(L, (const char *)out, (size_t)n);
  return 1;
}

/* equal(a, b): takes the same time wherever they differ */
static int l_equal(lua_State *L) {
  size_t n, m;
  const char *a = luaL_checklstring(L, 1, &n), *b = luaL_checklstring(L, 2, &m);
  lua_pushboolean(L, n == m && CRYPTO_memcmp(a, b, n) == 0);
  return 1;
}

/* --- hex ---------------------------------------------------------------- */

static int l_to_hex(lua_State *L) {
  static const char hex[] = "0123456789abcdef";
  size_t size;
  const unsigned char *s = (const void *)luaL_checklstring(L, 1, &size);
  char *out = lua_newuserdata(L, size * 2 + 1);
  for (size_t i = 0; i < size; i++) {
    if (is_over(L, i)) return 0;
    out[i * 2] = hex[s[i] >> 4];
    out[i * 2 + 1] = hex[s[i] & 15];
  }
  lua_pushlstring(L, out, size * 2);
  return 1;
}

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* from_hex(text) -> bytes | nil */
static int l_from_hex(lua_State *L) {
  size_t size;
  const char *s = luaL_checklstring(L, 1, &size);
  if (size % 2) return 0;
  char *out = lua_newuserdata(L, size / 2 + 1);
  for (size_t i = 0; i < size; i += 2) {
    if (is_over(L, i)) return 0;
    int high = digit(s[i]), low = digit(s[i + 1]);
    if (high < 0 || low < 0) return 0;
    out[i / 2] = (char)(high << 4 | low);
  }
  lua_pushlstring(L, out, size / 2);
  return 1;
}

/* --- base64 ------------------------------------------------------------- */

static const char standard[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char for_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* to_base64(bytes, url): with url no padding */
static int l_to_base64(lua_State *L) {
  size_t size, at = 0;
  const unsigned char *s = (const void *)luaL_checklstring(L, 1, &size);
  bool url = lua_toboolean(L, 2);
  const char *set = url ? for_url : standard;
  char *out = lua_newuserdata(L, (size + 2) / 3 * 4 + 1);
  for (size_t i = 0; i < size; i += 3) {
    if (is_over(L, i)) return 0;
    size_t n = size - i < 3 ? size - i : 3;
    unsigned bits = (unsigned)s[i] << 16;
    if (n > 1) bits |= (unsigned)s[i + 1] << 8;
    if (n > 2) bits |= s[i + 2];
    for (size_t k = 0; k <= n; k++) out[at++] = set[bits >> (18 - 6 * k) & 63];
    for (size_t k = n; k < 3 && !url; k++) out[at++] = '=';
  }
  lua_pushlstring(L, out, at);
  return 1;
}

static int value_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  return c == '/' || c == '_' ? 63 : -1;
}

/* from_base64(text) -> bytes | nil. Both alphabets, with or without padding;
 * white space is skipped. */
static int l_from_base64(lua_State *L) {
  size_t size, at = 0, digits = 0, pads = 0;
  const char *s = luaL_checklstring(L, 1, &size);
  char *out = lua_newuserdata(L, size / 4 * 3 + 4);
  unsigned bits = 0, held = 0;
  for (size_t i = 0; i < size; i++) {
    if (is_over(L, i)) return 0;
    if (s[i] && strchr(" \t\r\n", s[i])) continue;
    if (s[i] == '=') {
      pads++;
      continue;
    }
    int v = value_of(s[i]);
    if (v < 0 || pads) return 0;
    bits = bits << 6 | (unsigned)v;
    digits++;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out[at++] = (char)(bits >> held & 255);
  }
  if (digits % 4 == 1 || (pads && (digits + pads) % 4) || pads > 2) return 0;
  lua_pushlstring(L, out, at);
  return 1;
}

int rt__open_crypto(lua_State *L) {
  static const luaL_Reg functions[] = {{"digest", l_digest},
                                       {"hmac", l_hmac},
                                       {"random", l_random},
                                       {"equal", l_equal},
                                       {"to_hex", l_to_hex},
                                       {"from_hex", l_from_hex},
                                       {"to_base64", l_to_base64},
                                       {"from_base64", l_from_base64},
                                       {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
