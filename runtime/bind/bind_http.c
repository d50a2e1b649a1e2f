/* bind_http.c - rt.core.http: one HTTP exchange, and URLs in parts.
 *
 * SPDX-License-Identifier: MIT */
#include <string.h>

#include "bind/net_bind.h"
#include "net/http.h"
#include "process/fence.h"

int rt__open_http(lua_State *L);

enum { MAX_HEADERS = 200 };

typedef struct http_op {
  rt__op op;
  rt__http_request *request;
  rt__http_result result; /* with its buffers taken */
  rt_error err;
} http_op;

static void on_done(void *arg, rt__http_result *result, const rt_error *err) {
  http_op *op = arg;
  op->result = *result;
  memset(&result->head, 0, sizeof(result->head));
  memset(&result->body, 0, sizeof(result->body));
  if (err) op->err = *err;
  rt__op_end(&op->op);
}

static void cancel(rt__op *base) {
  http_op *op = (http_op *)base;
  rt__http_cancel(op->request);
  op->request = NULL;
  rt__op_end(base);
}

static void release(rt__op *base) {
  http_op *op = (http_op *)base;
  rt__buf_deinit(&op->result.head);
  rt__buf_deinit(&op->result.body);
}

static void push_buf(lua_State *L, const rt__buf *buf) {
  lua_pushlstring(L, buf->data ? buf->data : "", buf->size);
}

/* -> status, version, head, body, seconds, truncated | nil, err, unreachable */
static int push_result(lua_State *L, rt__op *base) {
  http_op *op = (http_op *)base;
  if (op->err.code) {
    rt__lua_fail(L, &op->err);
    lua_pushboolean(L, op->result.unreachable);
    return 3;
  }
  lua_pushinteger(L, op->result.status);
  lua_pushstring(L, op->result.version);
  push_buf(L, &op->result.head);
  push_buf(L, &op->result.body);
  lua_pushnumber(L, op->result.seconds);
  lua_pushboolean(L, op->result.truncated);
  return 6;
}

/* The string in field `name` of the options at 1, which keep it alive. */
static const char *text_field(lua_State *L, const char *name, size_t *size) {
  const char *text;
  lua_getfield(L, 1, name);
  text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, size) : NULL;
  lua_pop(L, 1);
  return text;
}

static bool flag_field(lua_State *L, const char *name) {
  bool value;
  lua_getfield(L, 1, name);
  value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static lua_Number number_field(lua_State *L, const char *name) {
  lua_Number value;
  lua_getfield(L, 1, name);
  value = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

static size_t read_headers(lua_State *L, const char *lines[MAX_HEADERS]) {
  size_t count;
  lua_getfield(L, 1, "headers");
  if (!lua_istable(L, -1)) luaL_error(L, "headers: table expected");
  count = lua_objlen(L, -1);
  if (count > MAX_HEADERS) luaL_error(L, "more than %d headers", MAX_HEADERS);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, -1, (int)i + 1);
    lines[i] = luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return count;
}

static void read_opts(lua_State *L, rt__http_opts *opts) {
  opts->url = text_field(L, "url", NULL);
  opts->method = text_field(L, "method", NULL);
  if (!opts->url || !opts->method) luaL_error(L, "url and method expected");
  opts->connect_to = text_field(L, "connect_to", NULL);
  opts->proxy = text_field(L, "proxy", NULL);
  opts->user = text_field(L, "user", NULL);
  opts->password = text_field(L, "password", NULL);
  opts->body = text_field(L, "body", &opts->body_size);
  opts->has_body = opts->body != NULL;
  opts->verify = flag_field(L, "verify");
  opts->ca_file = text_field(L, "ca_file", NULL);
  opts->http_version = text_field(L, "version", NULL);
  opts->max_body = (size_t)number_field(L, "max_body");
  opts->truncate = flag_field(L, "truncate");
  opts->connect_timeout = number_field(L, "connect_timeout");
}

/* The address that curl is told to connect to, whatever the host is. */
static bool address_of(const char *place, rt__addr *addr) {
  char host[RT__HOST_MAX];
  unsigned port = 0;
  return place && rt__host_port(place, host, &port) &&
         rt__addr_parse(addr, host, port);
}

/* A proxy is a target as well, and an address that the script has chosen is
 * one without a name. */
static bool fence_allows(lua_State *L, const rt__http_opts *opts,
                         rt_error *err) {
  const rt__fence *fence = rt__fence_of(L);
  rt__addr addr;
  rt__url url, proxy;
  bool literal, ok;
  if (!fence) return true;
  if (rt__url_parse(&url, opts->url, NULL, false, err) != RT_OK) return false;
  literal = !opts->proxy && address_of(opts->connect_to, &addr);
  ok = rt__fence_allows(fence, opts->method, url.host, opts->url,
                        literal ? &addr : NULL, url.port, err);
  if (ok && literal && flag_field(L, "chosen"))
    ok =
        rt__fence_allows(fence, "connect to", NULL, NULL, &addr, url.port, err);
  rt__url_deinit(&url);
  if (!ok || !opts->proxy) return ok;
  if (rt__url_parse(&proxy, opts->proxy, NULL, true, err) != RT_OK)
    return false;
  ok = rt__fence_allows(fence, "use the proxy", proxy.host, NULL, NULL,
                        proxy.port, err);
  rt__url_deinit(&proxy);
  return ok;
}

/* exchange{url, method, headers = {lines}, ...} -> op */
static int l_exchange(lua_State *L) {
  static const rt__op_type type = {"http", cancel, push_result, release};
  const char *lines[MAX_HEADERS];
  rt__http_opts opts = {0};
  rt_error err = RT_ERROR_INIT;
  http_op *op;
  luaL_checktype(L, 1, LUA_TTABLE);
  read_opts(L, &opts);
  opts.header_count = read_headers(L, lines);
  opts.headers = lines;
  op = rt__op_new(L, sizeof(*op), &type);
  if (!fence_allows(L, &opts, &err) ||
      rt__http_start(&op->request, rt__bind_net(L), &opts, on_done, op, &err) !=
          RT_OK) {
    rt__op_fail(&op->op, &err);
    rt__op_end(&op->op);
  }
  return rt__op_return(L, &op->op);
}

static void set_text(lua_State *L, const char *name, const char *text) {
  lua_pushstring(L, text); /* nil for NULL */
  lua_setfield(L, -2, name);
}

/* url(text, base or nil, any scheme?) -> {url, scheme, host, port, ...} */
static int l_url(lua_State *L) {
  const char *text = luaL_checkstring(L, 1), *base = luaL_optstring(L, 2, NULL);
  bool any_scheme = lua_toboolean(L, 3);
  rt_error err = RT_ERROR_INIT;
  rt__url url;
  lua_createtable(L, 0, 8);
  if (rt__url_parse(&url, text, base, any_scheme, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  set_text(L, "url", url.text);
  set_text(L, "scheme", url.scheme);
  set_text(L, "host", url.host);
  set_text(L, "user", url.user);
  set_text(L, "password", url.password);
  lua_pushinteger(L, (lua_Integer)url.port);
  lua_setfield(L, -2, "port");
  rt__url_deinit(&url);
  return 1;
}

int rt__open_http(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"exchange", l_exchange}, {"url", l_url}, {NULL, NULL}};
  rt__bind_net(L);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
