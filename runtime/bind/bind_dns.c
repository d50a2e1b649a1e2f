/* bind_dns.c - rt.core.dns: questions to DNS servers, names to addresses.
 *
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/net_bind.h"
#include "net/dns.h"
#include "net/lookup.h"
#include "process/fence.h"

int rt__open_dns(lua_State *L);

/* --- ask(name, type, server, timeout, tries) -> op -> list of records ---- */
typedef struct ask_op {
  rt__op op;
  rt__dns_query *query;
  unsigned type;
  unsigned char *packet;
  size_t size;
} ask_op;

static void on_answer(void *arg, const unsigned char *packet, size_t size,
                      const rt_error *err) {
  ask_op *op = arg;
  rt_error full = RT_ERROR_INIT;
  if (packet) op->packet = malloc(size);
  if (op->packet) {
    memcpy(op->packet, packet, size);
    op->size = size;
  } else if (packet) {
    rt_fail(&full, RT_ENOMEM, "dns: no memory");
    err = &full;
  }
  if (err) rt__op_fail(&op->op, err);
  rt__op_end(&op->op);
}

static void cancel_ask(rt__op *base) {
  ask_op *op = (ask_op *)base;
  rt__dns_cancel(op->query);
  op->query = NULL;
  rt__op_end(base);
}

static void release_ask(rt__op *base) {
  free(((ask_op *)base)->packet);
}

static void set_string(lua_State *L, const char *name, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, lua_Number number) {
  lua_pushnumber(L, number);
  lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const rt__dns_record *record) {
  luaL_Buffer buffer;
  const char *text;
  size_t size, offset = 0;
  luaL_buffinit(L, &buffer);
  while (rt__dns_text(record, &offset, &text, &size))
    luaL_addlstring(&buffer, text, size);
  luaL_pushresult(&buffer);
  lua_setfield(L, -2, "text");
}

static void set_soa(lua_State *L, const rt__dns_record *record) {
  static const char *const names[] = {"serial", "refresh", "retry", "expire",
                                      "minimum"};
  set_string(L, "target", record->target);
  set_string(L, "admin", record->admin);
  for (int i = 0; i < 5; i++) set_number(L, names[i], record->soa[i]);
}

static void set_caa(lua_State *L, const rt__dns_record *record) {
  size_t tag = record->data[1];
  set_number(L, "flags", record->preference);
  lua_pushlstring(L, (const char *)record->data + 2, tag);
  lua_setfield(L, -2, "tag");
  lua_pushlstring(L, (const char *)record->data + 2 + tag,
                  record->size - 2 - tag);
  lua_setfield(L, -2, "value");
}

static void set_fields(lua_State *L, const rt__dns_record *record) {
  switch (record->type) {
  case RT__DNS_A:
  case RT__DNS_AAAA: {
    char text[RT__ADDR_TEXT];
    rt__addr_text(&record->address, text);
    set_string(L, "address", text);
    break;
  }
  case RT__DNS_MX:
    set_number(L, "preference", record->preference);
    set_string(L, "exchange", record->target);
    break;
  case RT__DNS_SRV:
    set_number(L, "priority", record->preference);
    set_number(L, "weight", record->weight);
    set_number(L, "port", record->port);
    set_string(L, "target", record->target);
    break;
  case RT__DNS_TXT:
    set_text(L, record);
    break;
  case RT__DNS_SOA:
    set_soa(L, record);
    break;
  case RT__DNS_CAA:
    set_caa(L, record);
    break;
  default:
    set_string(L, "target", record->target);
  }
}

static void push_record(lua_State *L, const rt__dns_record *record) {
  lua_createtable(L, 0, 5);
  set_string(L, "name", record->name);
  set_string(L, "type", rt__dns_type_name(record->type));
  set_number(L, "ttl", record->ttl);
  set_fields(L, record);
}

static bool is_wanted(const ask_op *op, const rt__dns_record *record) {
  if (op->type == RT__DNS_ANY) return rt__dns_type_name(record->type) != NULL;
  return record->type == op->type;
}

/* Of a malformed answer the records before the fault would be a lie. */
static int push_answer(lua_State *L, rt__op *base) {
  ask_op *op = (ask_op *)base;
  rt__dns_reader reader;
  rt__dns_record record;
  rt_error err = RT_ERROR_INIT;
  int count = 0;
  int more = rt__dns_read(&reader, op->packet, op->size) ? 1 : -1;
  lua_newtable(L);
  while (more > 0 && (more = rt__dns_next(&reader, &record)) > 0) {
    if (!is_wanted(op, &record)) continue;
    push_record(L, &record);
    lua_rawseti(L, -2, ++count);
  }
  if (more == 0) return 1;
  rt_fail(&err, RT_EUNAVAIL, "dns: malformed answer");
  return rt__lua_fail(L, &err);
}

static rt_err read_opts(lua_State *L, int index, rt__net *net,
                        rt__dns_opts *opts, char server[RT__ADDR_TEXT + 16],
                        rt_error *err) {
  const char *text = luaL_optstring(L, index, NULL);
  opts->timeout = luaL_optnumber(L, index + 1, 0);
  opts->tries = (unsigned)luaL_optinteger(L, index + 2, 0);
  if (!text) return RT_OK;
  opts->server = server;
  return rt__net_server(net, text, server, err);
}

/* An active capability asks about names in scope only, and no server of its own
 * choice that is not. "5.2.0.192.in-addr.arpa" stands for its address. */
static rt_err check_fence(lua_State *L, const char *what, const char *name,
                          const rt__dns_opts *opts, rt_error *err) {
  const rt__fence *fence = rt__fence_of(L);
  char host[RT__HOST_MAX], text[RT__ADDR_TEXT];
  unsigned port = 53, a, b, c, d;
  rt__addr addr;
  int end = 0;
  if (!fence) return RT_OK;
  if (sscanf(name, "%3u.%3u.%3u.%3u.in-addr.arpa%n", &a, &b, &c, &d, &end) ==
          4 &&
      end > 0) {
    snprintf(text, sizeof(text), "%u.%u.%u.%u", d, c, b, a);
    if (rt__addr_parse(&addr, text, 0)) name = text;
  }
  if (!rt__fence_allows(fence, what, name, NULL, NULL, 0, err)) return RT_EPERM;
  if (!opts->server || !rt__host_port(opts->server, host, &port)) return RT_OK;
  if (!rt__fence_allows(fence, "ask the server", host, NULL, NULL, port, err))
    return RT_EPERM;
  return RT_OK;
}

static int l_ask(lua_State *L) {
  static const rt__op_type type = {"dns", cancel_ask, push_answer, release_ask};
  const char *name = luaL_checkstring(L, 1);
  unsigned number = rt__dns_type(luaL_checkstring(L, 2));
  rt__net *net = rt__bind_net(L);
  char server[RT__ADDR_TEXT + 16];
  rt__dns_opts opts = {0};
  rt_error err = RT_ERROR_INIT;
  rt_err rc = read_opts(L, 3, net, &opts, server, &err);
  ask_op *op;
  luaL_argcheck(L, number != 0, 2, "record type expected");
  op = rt__op_new(L, sizeof(*op), &type);
  op->type = number;
  if (rc == RT_OK) rc = check_fence(L, "resolve", name, &opts, &err);
  if (rc == RT_OK)
    rc = rt__dns_ask(&op->query, net, name, number, &opts, on_answer, op, &err);
  if (rc != RT_OK) {
    rt__op_fail(&op->op, &err);
    rt__op_end(&op->op);
  }
  return rt__op_return(L, &op->op);
}

/* type(text) -> its name in capitals, or nil */
static int l_type(lua_State *L) {
  const char *name = rt__dns_type_name(rt__dns_type(luaL_checkstring(L, 1)));
  if (name)
    lua_pushstring(L, name);
  else
    lua_pushnil(L);
  return 1;
}

/* --- lookup(host, server, timeout, tries) -> op -> list of addresses ----- */
typedef struct lookup_op {
  rt__op op;
  rt__lookup *lookup;
  rt__addr addrs[RT__LOOKUP_MAX];
  size_t count;
} lookup_op;

static void on_lookup(void *arg, const rt__addr *addrs, size_t count,
                      const rt_error *err) {
  lookup_op *op = arg;
  op->count = count;
  if (count > 0)
    memcpy(op->addrs, addrs, count * sizeof(*addrs));
  else
    rt__op_fail(&op->op, err);
  rt__op_end(&op->op);
}

static void cancel_lookup(rt__op *base) {
  lookup_op *op = (lookup_op *)base;
  rt__lookup_cancel(op->lookup);
  op->lookup = NULL;
  rt__op_end(base);
}

static int push_lookup(lua_State *L, rt__op *base) {
  lookup_op *op = (lookup_op *)base;
  char text[RT__ADDR_TEXT];
  lua_createtable(L, (int)op->count, 0);
  for (size_t i = 0; i < op->count; i++) {
    rt__addr_text(&op->addrs[i], text);
    lua_pushstring(L, text);
    lua_rawseti(L, -2, (int)i + 1);
  }
  return 1;
}

static int l_lookup(lua_State *L) {
  static const rt__op_type type = {"lookup", cancel_lookup, push_lookup, NULL};
  const char *host = luaL_checkstring(L, 1);
  rt__net *net = rt__bind_net(L);
  char server[RT__ADDR_TEXT + 16];
  rt__dns_opts opts = {0};
  rt_error err = RT_ERROR_INIT;
  rt_err rc = read_opts(L, 2, net, &opts, server, &err);
  lookup_op *op = rt__op_new(L, sizeof(*op), &type);
  if (rc == RT_OK) rc = check_fence(L, "look up", host, &opts, &err);
  if (rc == RT_OK)
    rc = rt__lookup_start(&op->lookup, net, host, &opts, on_lookup, op, &err);
  if (rc != RT_OK) {
    rt__op_fail(&op->op, &err);
    rt__op_end(&op->op);
  }
  return rt__op_return(L, &op->op);
}

/* literal(text) -> 4 or 6 for an address, nil for anything else */
static int l_literal(lua_State *L) {
  rt__addr addr;
  if (!rt__addr_parse(&addr, luaL_checkstring(L, 1), 0)) return 0;
  lua_pushinteger(L, addr.sa.sa_family == AF_INET6 ? 6 : 4);
  return 1;
}

int rt__open_dns(lua_State *L) {
  static const luaL_Reg functions[] = {{"ask", l_ask},
                                       {"type", l_type},
                                       {"lookup", l_lookup},
                                       {"literal", l_literal},
                                       {NULL, NULL}};
  rt__bind_net(L);
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
