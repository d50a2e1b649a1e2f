/* bind_tls.c - rt.core.tls: TLS on a connection of rt.core.tcp.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "bind/net_bind.h"
#include "net/tls.h"

int rt__open_tls(lua_State *L);

static const char *string_field(lua_State *L, const char *name, size_t *size) {
  const char *text;
  lua_getfield(L, 2, name); /* the options table keeps it alive */
  text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, size) : NULL;
  lua_pop(L, 1);
  return text;
}

static bool bool_field(lua_State *L, const char *name) {
  bool value;
  lua_getfield(L, 2, name);
  value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

/* start(conn, {server, verify, server_name, alpn, ca_file, certificate, key})
 * -> true; then wait with rt.core.tcp's ready(). */
static int l_start(lua_State *L) {
  rt__conn *conn = rt__bind_conn(L, 1);
  rt_error err = RT_ERROR_INIT;
  rt__tls_opts opts = {0};
  luaL_checktype(L, 2, LUA_TTABLE);
  opts.server = bool_field(L, "server");
  opts.verify = bool_field(L, "verify");
  opts.server_name = string_field(L, "server_name", NULL);
  opts.alpn = string_field(L, "alpn", &opts.alpn_size);
  opts.ca_file = string_field(L, "ca_file", NULL);
  opts.certificate = string_field(L, "certificate", NULL);
  opts.key = string_field(L, "key", NULL);
  luaL_argcheck(L, !opts.server || (opts.certificate && opts.key), 2,
                "certificate and key expected");
  if (rt__tls_start(conn, &opts, &err) != RT_OK) return rt__lua_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* info(conn) -> version, cipher, alpn or nil, verified; nothing without TLS */
static int l_info(lua_State *L) {
  rt__conn *conn = rt__bind_conn(L, 1);
  char alpn[256];
  if (!conn->tls) return 0;
  rt__tls_alpn(conn, alpn);
  lua_pushstring(L, rt__tls_version(conn));
  lua_pushstring(L, rt__tls_cipher(conn));
  if (*alpn)
    lua_pushstring(L, alpn);
  else
    lua_pushnil(L);
  lua_pushboolean(L, rt__tls_verified(conn));
  return 4;
}

static void set_string(lua_State *L, const char *name, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

static void push_cert(lua_State *L, const rt__cert *cert) {
  lua_createtable(L, 0, 7);
  set_string(L, "subject", cert->subject);
  set_string(L, "issuer", cert->issuer);
  set_string(L, "sha256", cert->sha256);
  set_string(L, "pem", cert->pem);
  lua_pushnumber(L, (lua_Number)cert->not_before);
  lua_setfield(L, -2, "not_before");
  lua_pushnumber(L, (lua_Number)cert->not_after);
  lua_setfield(L, -2, "not_after");
  lua_createtable(L, (int)cert->san_count, 0);
  luaL_getmetatable(L, "rt.json.array"); /* an empty list stays one */
  lua_setmetatable(L, -2);
  for (size_t i = 0; i < cert->san_count; i++) {
    lua_pushstring(L, cert->sans[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  lua_setfield(L, -2, "sans");
}

/* What a raise would leak is kept in a userdata meanwhile. */
typedef struct cert_list {
  rt__cert *certs;
  size_t count;
} cert_list;

static int l_collect_certs(lua_State *L) {
  cert_list *list = lua_touserdata(L, 1);
  rt__certs_free(list->certs, list->count);
  *list = (cert_list){NULL, 0};
  return 0;
}

/* certificates(conn) -> list from leaf to root */
static int l_certificates(lua_State *L) {
  rt__conn *conn = rt__bind_conn(L, 1);
  rt_error err = RT_ERROR_INIT;
  cert_list *list;
  luaL_argcheck(L, conn->tls != NULL, 1, "connection with TLS expected");
  list = lua_newuserdata(L, sizeof(*list));
  *list = (cert_list){NULL, 0};
  luaL_getmetatable(L, "rt.certificates");
  lua_setmetatable(L, -2);
  if (rt__tls_certificates(conn, &list->certs, &list->count, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  lua_createtable(L, (int)list->count, 0);
  for (size_t i = 0; i < list->count; i++) {
    push_cert(L, &list->certs[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  rt__certs_free(list->certs, list->count);
  *list = (cert_list){NULL, 0};
  return 1;
}

int rt__open_tls(lua_State *L) {
  static const luaL_Reg functions[] = {{"start", l_start},
                                       {"info", l_info},
                                       {"certificates", l_certificates},
                                       {NULL, NULL}};
  rt__bind_net(L);
  rt__bind_open_conn(L);
  rt__bind_meta(L, "rt.certificates", l_collect_certs);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
