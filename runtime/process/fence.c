/* fence.c - see fence.h. SPDX-License-Identifier: MIT */
#include "process/fence.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process/sched.h"

struct rt__fence {
  atomic_uint refs;
  rt_session *session;       /* [own ref]; NULL: it has a scope of its own */
  rt_capability *capability; /* [own ref] */
  rt__scope scope;           /* [own] */
  rt__lease lease;
  bool has_lease;
};

rt__fence *rt__fence_new(rt_session *session, const rt_capability *capability,
                         const rt__lease *lease, bool *failed) {
  *failed = false;
  if (!capability->active || !session) return NULL;
  rt__fence *fence = calloc(1, sizeof(*fence));
  if (!fence) {
    *failed = true;
    return NULL;
  }
  atomic_init(&fence->refs, 1);
  fence->session = rt_session_ref(session);
  fence->capability = rt__capability_ref((rt_capability *)capability);
  fence->has_lease = lease != NULL;
  if (lease) fence->lease = *lease;
  return fence;
}

rt_err rt__fence_alone(rt__fence **out, const char *const *rules, size_t count,
                       rt_error *err) {
  rt__fence *fence = calloc(1, sizeof(*fence));
  *out = NULL;
  if (!fence) return rt_fail(err, RT_ENOMEM, "no memory");
  atomic_init(&fence->refs, 1);
  rt_err rc = rt__scope_init(&fence->scope, rules, count, err);
  if (rc == RT_OK)
    *out = fence;
  else
    free(fence);
  return rc;
}

rt__fence *rt__fence_ref(rt__fence *fence) {
  if (fence) atomic_fetch_add(&fence->refs, 1);
  return fence;
}

void rt__fence_unref(rt__fence *fence) {
  if (!fence || atomic_fetch_sub(&fence->refs, 1) > 1) return;
  rt_session_unref(fence->session);
  rt__capability_unref(fence->capability);
  rt__scope_deinit(&fence->scope);
  free(fence);
}

rt__fence *rt__fence_of(lua_State *L) {
  const rt__process *process = rt__process_of(L);
  return process ? process->rare->fence : NULL;
}

bool rt__fence_same(const rt__fence *a, const rt__fence *b) {
  return a == b || (a && b && a->session == b->session);
}

static const unsigned char *bytes_of(const rt__addr *addr) {
  return addr->sa.sa_family == AF_INET6
             ? (const unsigned char *)&addr->v6.sin6_addr
             : (const unsigned char *)&addr->v4.sin_addr;
}

/* The target as it is stored: a URL, HOST:PORT or HOST. */
static void put_place(char *out, size_t size, const char *host, const char *url,
                      const rt__addr *addr, unsigned port) {
  char text[RT__ADDR_TEXT];
  if (addr) rt__addr_text(addr, text);
  const char *at = host ? host : addr ? text : "?";
  if (url)
    snprintf(out, size, "%s", url);
  else if (port)
    snprintf(out, size, strchr(at, ':') ? "[%s]:%u" : "%s:%u", at, port);
  else
    snprintf(out, size, "%s", at);
}

static void put_error(const char *what, const char *place, const rt__addr *addr,
                      const char *why, rt_error *err) {
  char at[RT__ADDR_TEXT + 8] = "", text[RT__ADDR_TEXT];
  if (addr) {
    rt__addr_text(addr, text);
    if (!strstr(place, text)) snprintf(at, sizeof(at), " at %s", text);
  }
  rt_fail(err, RT_EPERM, "%s %.300s%s: out of scope: %s", what, place, at, why);
}

static bool reaches(const rt__fence *fence, const rt__target *target, char *why,
                    size_t size) {
  if (fence->session)
    return rt__session_reaches(fence->session, target, why, size);
  return rt__scope_reaches(&fence->scope, target, why, size);
}

bool rt__fence_has(const rt__fence *fence, const char *class_,
                   const char *value, size_t size, char *why, size_t why_size) {
  return rt__scope_has(&fence->scope, class_, value, size, why, why_size);
}

bool rt__fence_would_allow(const rt__fence *fence, const char *what,
                           const char *host, const char *url,
                           const rt__addr *addr, unsigned port, rt_error *err) {
  char why[300] = "", place[1024];
  rt__addr literal;
  if (!fence) return true;
  if (host && rt__addr_parse(&literal, host, port)) {
    if (!addr) addr = &literal;
    host = NULL;
  }
  rt__target target = {.host = host, .url = url, .port = port};
  if (addr) {
    target.family = addr->sa.sa_family;
    target.address = bytes_of(addr);
  }
  if (reaches(fence, &target, why, sizeof(why))) return true;
  put_place(place, sizeof(place), host, url, addr, port);
  put_error(what, place, addr, why, err);
  return false;
}

void rt__fence_note(const rt__fence *fence, const char *host, const char *url,
                    const rt__addr *addr, unsigned port, const rt_error *err) {
  char place[1024];
  if (!fence || !fence->has_lease) return;
  put_place(place, sizeof(place), host, url, addr, port);
  rt__engine_refuse(fence->session, fence->lease, place, err->message);
}

bool rt__fence_allows(const rt__fence *fence, const char *what,
                      const char *host, const char *url, const rt__addr *addr,
                      unsigned port, rt_error *err) {
  if (rt__fence_would_allow(fence, what, host, url, addr, port, err))
    return true;
  rt__fence_note(fence, host, url, addr, port, err);
  return false;
}

static bool holds(const rt__fence *fence) {
  return fence && rt__session_scoped(fence->session);
}

bool rt__fence_lets_run(const rt__fence *fence, const char *program,
                        rt_error *err) {
  char place[512];
  if (!holds(fence) || fence->capability->exec) return true;
  rt_fail(err, RT_EPERM,
          "exec: run '%.300s': out of scope: programs keep to none, and the "
          "active capability does not declare exec = true",
          program);
  snprintf(place, sizeof(place), "exec:%.300s", program);
  rt__fence_note(fence, NULL, place, NULL, 0, err);
  return false;
}

bool rt__fence_lets_add(const rt__fence *fence, rt_error *err) {
  if (!holds(fence)) return true;
  rt_fail(err, RT_EPERM,
          "out of scope: a job of an active capability may register none and "
          "open no session: they would not keep to its scope");
  return false;
}
