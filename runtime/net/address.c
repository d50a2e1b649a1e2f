/* address.c - socket addresses and their text (net/address.h).
 *
 * SPDX-License-Identifier: MIT */
#include "net/address.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

socklen_t rt__addr_len(const rt__addr *addr) {
  return addr->sa.sa_family == AF_INET6 ? sizeof(addr->v6) : sizeof(addr->v4);
}

bool rt__addr_equal(const rt__addr *a, const rt__addr *b) {
  if (a->sa.sa_family != b->sa.sa_family) return false;
  if (rt__addr_port(a) != rt__addr_port(b)) return false;
  if (a->sa.sa_family == AF_INET6)
    return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr,
                  sizeof(a->v6.sin6_addr)) == 0;
  return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
}

/* Without the brackets that may stand around an IPv6 address. */
static bool unbracket(const char *host, char out[RT__ADDR_TEXT]) {
  size_t size = strlen(host);
  if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
    host++;
    size -= 2;
  }
  if (size == 0 || size >= RT__ADDR_TEXT) return false;
  memcpy(out, host, size);
  out[size] = '\0';
  return true;
}

bool rt__addr_parse(rt__addr *out, const char *host, unsigned port) {
  char text[RT__ADDR_TEXT];
  memset(out, 0, sizeof(*out));
  if (!unbracket(host, text)) return false;
  if (strchr(text, ':')) return uv_ip6_addr(text, (int)port, &out->v6) == 0;
  return uv_ip4_addr(text, (int)port, &out->v4) == 0;
}

void rt__addr_text(const rt__addr *addr, char out[RT__ADDR_TEXT]) {
  out[0] = '\0';
  if (addr->sa.sa_family == AF_INET6)
    uv_ip6_name(&addr->v6, out, RT__ADDR_TEXT);
  else if (addr->sa.sa_family == AF_INET)
    uv_ip4_name(&addr->v4, out, RT__ADDR_TEXT);
}

unsigned rt__addr_port(const rt__addr *addr) {
  return ntohs(addr->sa.sa_family == AF_INET6 ? addr->v6.sin6_port
                                              : addr->v4.sin_port);
}

void rt__addr_set_port(rt__addr *addr, unsigned port) {
  if (addr->sa.sa_family == AF_INET6)
    addr->v6.sin6_port = htons((uint16_t)port);
  else
    addr->v4.sin_port = htons((uint16_t)port);
}

static bool parse_port(const char *text, unsigned *port) {
  unsigned n = 0;
  if (!*text || strlen(text) > 5) return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9') return false;
    n = n * 10 + (unsigned)(*text - '0');
  }
  if (n == 0 || n > 65535) return false;
  *port = n;
  return true;
}

bool rt__host_port(const char *text, char host[RT__HOST_MAX], unsigned *port) {
  const char *end = text + strlen(text), *colon = strrchr(text, ':');
  const char *bracket = strrchr(text, ']');
  if (bracket && text[0] == '[') {
    if (bracket[1] == ':') {
      if (!parse_port(bracket + 2, port)) return false;
    } else if (bracket[1]) {
      return false;
    }
    text++;
    end = bracket;
  } else if (colon && strchr(text, ':') == colon) {
    if (!parse_port(colon + 1, port)) return false;
    end = colon;
  }
  if (end == text || end - text >= RT__HOST_MAX) return false;
  memcpy(host, text, (size_t)(end - text));
  host[end - text] = '\0';
  return true;
}
