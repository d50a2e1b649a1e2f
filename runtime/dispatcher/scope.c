/* scope.c - rules on values. See scope.h. SPDX-License-Identifier: MIT */
#include "dispatcher/scope.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/pattern.h"

typedef struct network {
  int family; /* 0: no address */
  unsigned char bytes[16];
  int bits;
} network;

struct rt__rule {
  bool exclude;
  char *class_;         /* NULL: any */
  rt__pattern *pattern; /* on the value */
  rt__pattern *folded;  /* the same in lower case, for names of hosts */
  bool numeric;         /* a pattern of addresses: "10.0.*.*" */
  char *whole;          /* as it was given */
  network net;
};

/* --- addresses ------------------------------------------------------- */

static bool parse_address(const char *text, size_t size, network *out) {
  char copy[INET6_ADDRSTRLEN + 1];
  if (size == 0 || size >= sizeof(copy)) return false;
  memcpy(copy, text, size);
  copy[size] = '\0';
  if (inet_pton(AF_INET, copy, out->bytes) == 1) {
    out->family = AF_INET;
    out->bits = 32;
    return true;
  }
  if (inet_pton(AF_INET6, copy, out->bytes) == 1) {
    out->family = AF_INET6;
    out->bits = 128;
    return true;
  }
  return false;
}

static bool parse_network(const char *text, size_t size, network *out) {
  const char *slash = memchr(text, '/', size);
  if (!slash) return parse_address(text, size, out);
  if (!parse_address(text, (size_t)(slash - text), out)) return false;
  int bits = 0, digits = 0;
  for (const char *at = slash + 1; at < text + size; at++, digits++) {
    if (*at < '0' || *at > '9' || digits >= 3) return false;
    bits = bits * 10 + (*at - '0');
  }
  if (digits == 0 || bits > out->bits) return false;
  out->bits = bits;
  return true;
}

/* The address in a value: A, A/B, A:PORT, [A]:PORT or SCHEME://A... */
static bool value_network(const char *text, size_t size, network *out) {
  if (parse_network(text, size, out)) return true;
  for (size_t i = 0; i + 3 <= size; i++) {
    if (memcmp(text + i, "://", 3) != 0) continue;
    text += i + 3;
    size -= i + 3;
    break;
  }
  size_t end = 0;
  if (size > 0 && text[0] == '[') {
    const char *close = memchr(text, ']', size);
    return close && parse_address(text + 1, (size_t)(close - text) - 1, out);
  }
  while (end < size && text[end] != ':' && text[end] != '/') end++;
  return parse_address(text, end, out);
}

static bool inside(const network *outer, const network *inner) {
  if (outer->family != inner->family || inner->bits < outer->bits) {
    return false;
  }
  int whole = outer->bits / 8, rest = outer->bits % 8;
  if (memcmp(outer->bytes, inner->bytes, (size_t)whole) != 0) return false;
  if (rest == 0) return true;
  unsigned mask = 0xff00u >> rest & 0xff;
  return (outer->bytes[whole] & mask) == (inner->bytes[whole] & mask);
}

/* --- rules ----------------------------------------------------------- */

static size_t class_size(const char *text) {
  size_t size = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "abcdefghijklmnopqrstuvwxyz0123456789_-");
  bool named = size > 0 && text[size] == ':' && text[size + 1] != '\0';
  bool url = named && strncmp(text + size, "://", 3) == 0;
  return named && !url ? size : 0;
}

/* What is meant as a network and is none ("10.0.0.0/99", "10.0.0/8"): why, or
 * NULL. Taken for a pattern it would fit nothing, and an excluding rule would
 * exclude nothing. */
static const char *bad_network(const char *text) {
  network net;
  const char *slash = strchr(text, '/');
  if (!slash) return NULL;
  const char *length = slash + 1 + (slash[1] == '-' || slash[1] == '+');
  size_t digits = strspn(length, "0123456789"), head = (size_t)(slash - text);
  if (digits == 0 || length[digits] != '\0') return NULL;
  if (parse_address(text, head, &net)) {
    return length == slash + 1 ? "the prefix is too long"
                               : "expected a prefix length from 0 up";
  }
  bool numbers =
      strspn(text, "0123456789.") == head && memchr(text, '.', head) != NULL;
  return numbers ? "expected a whole address before the '/'" : NULL;
}

/* In lower case, without the dot behind a full name. */
static void fold(char *out, size_t size, const char *text) {
  size_t length = strlen(text);
  if (length >= size) length = size - 1;
  for (size_t i = 0; i < length; i++)
    out[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
  if (length > 1 && out[length - 1] == '.') length--;
  out[length] = '\0';
}

static rt__pattern *folded_pattern(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = malloc(size);
  if (!copy) return NULL;
  fold(copy, size, text);
  rt__pattern *pattern = rt__pattern_new(copy, strlen(copy));
  free(copy);
  return pattern;
}

static bool is_numeric(const char *text) {
  return text[strspn(text, "0123456789.*(|)")] == '\0' &&
         strpbrk(text, "0123456789") != NULL;
}

static rt_err parse_rule(rt__rule *rule, const char *text, rt_error *err) {
  rule->whole = strdup(text);
  if (text[0] == '!') {
    rule->exclude = true;
    text++;
  }
  if (!parse_network(text, strlen(text), &rule->net)) {
    rule->net.family = 0;
    size_t size = class_size(text);
    if (size > 0) {
      rule->class_ = strndup(text, size);
      text += size + 1;
      if (!parse_network(text, strlen(text), &rule->net)) {
        rule->net.family = 0;
      }
    }
  }
  if (*text == '\0') return rt_fail(err, RT_EINVAL, "an empty scope rule");
  const char *why = rule->net.family == 0 ? bad_network(text) : NULL;
  if (why) {
    return rt_fail(err, RT_EINVAL, "scope rule '%s': %s",
                   rule->whole ? rule->whole : text, why);
  }
  rule->pattern = rt__pattern_new(text, strlen(text));
  rule->folded = folded_pattern(text);
  rule->numeric = is_numeric(text);
  if (rule->pattern && rule->folded && rule->whole) return RT_OK;
  return rt_fail(err, RT_ENOMEM, "no memory");
}

rt_err rt__scope_init(rt__scope *scope, const char *const *rules, size_t count,
                      rt_error *err) {
  *scope = (rt__scope){NULL, 0};
  if (count == 0) return RT_OK;
  scope->rules = calloc(count, sizeof(*scope->rules));
  if (!scope->rules) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_err rc = RT_OK;
  for (size_t i = 0; rc == RT_OK && i < count; i++) {
    scope->count++;
    rc = parse_rule(&scope->rules[i], rules[i], err);
  }
  if (rc != RT_OK) rt__scope_deinit(scope);
  return rc;
}

void rt__scope_deinit(rt__scope *scope) {
  for (size_t i = 0; i < scope->count; i++) {
    free(scope->rules[i].class_);
    rt__pattern_free(scope->rules[i].pattern);
    rt__pattern_free(scope->rules[i].folded);
    free(scope->rules[i].whole);
  }
  free(scope->rules);
  *scope = (rt__scope){NULL, 0};
}

static bool fits(const rt__rule *rule, const char *value, size_t size,
                 const network *net) {
  if (rule->net.family) return net->family && inside(&rule->net, net);
  return rt__pattern_matches(rule->pattern, value, size);
}

bool rt__scope_has(const rt__scope *scope, const char *class_name,
                   const char *value, size_t size, char *why, size_t why_size) {
  bool asked = false, included = false;
  network net = {0};
  if (scope->count == 0) return true;
  if (!value_network(value, size, &net)) net.family = 0;
  for (size_t i = 0; i < scope->count; i++) {
    const rt__rule *rule = &scope->rules[i];
    if (rule->class_ && strcmp(rule->class_, class_name) != 0) continue;
    bool hit = fits(rule, value, size, &net);
    if (hit && rule->exclude) {
      snprintf(why, why_size, "scope: excluded by %.200s", rule->whole);
      return false;
    }
    if (!rule->exclude) asked = true;
    if (hit) included = true;
  }
  if (included || !asked) return true;
  snprintf(why, why_size, "scope: no rule includes it");
  return false;
}

/* --- targets of connections ------------------------------------------- */
#define HOST_BYTES 512

typedef struct forms {
  char name[HOST_BYTES], address[INET6_ADDRSTRLEN];
  char named_port[HOST_BYTES + 12], address_port[INET6_ADDRSTRLEN + 16];
  char url[4096];
  network net;
} forms;

/* ::ffff:192.0.2.1 is 192.0.2.1. */
static void set_address(forms *f, const rt__target *target) {
  static const unsigned char mapped[12] = {0, 0, 0, 0, 0,   0,
                                           0, 0, 0, 0, 255, 255};
  const unsigned char *bytes = target->address;
  int family = target->family;
  if (family == AF_INET6 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
    family = AF_INET;
    bytes += sizeof(mapped);
  }
  f->net.family = family;
  f->net.bits = family == AF_INET ? 32 : 128;
  memcpy(f->net.bytes, bytes, family == AF_INET ? 4 : 16);
  inet_ntop(family, bytes, f->address, sizeof(f->address));
}

static void read_forms(forms *f, const rt__target *target) {
  memset(f, 0, sizeof(*f));
  if (target->family) set_address(f, target);
  if (target->host) fold(f->name, sizeof(f->name), target->host);
  if (target->url) snprintf(f->url, sizeof(f->url), "%s", target->url);
  if (!target->port) return;
  if (*f->name)
    snprintf(f->named_port, sizeof(f->named_port), "%s:%u", f->name,
             target->port);
  if (*f->address)
    snprintf(f->address_port, sizeof(f->address_port),
             f->net.family == AF_INET6 ? "[%s]:%u" : "%s:%u", f->address,
             target->port);
}

static bool text_fits(const rt__rule *rule, const char *text) {
  size_t size = strlen(text);
  return size > 0 && (rt__pattern_matches(rule->pattern, text, size) ||
                      rt__pattern_matches(rule->folded, text, size));
}

static bool is_for(const rt__rule *rule, const char *a, const char *b) {
  return !rule->class_ || strcmp(rule->class_, a) == 0 ||
         strcmp(rule->class_, b) == 0;
}

static bool fits_address(const rt__rule *rule, const forms *f) {
  if (rule->net.family) return f->net.family && inside(&rule->net, &f->net);
  return (is_for(rule, "ipv4", "ipv6") && text_fits(rule, f->address)) ||
         (is_for(rule, "port", "port") && text_fits(rule, f->address_port));
}

static bool fits_name(const rt__rule *rule, const forms *f) {
  if (rule->net.family) return false;
  return (is_for(rule, "domain", "host") && text_fits(rule, f->name)) ||
         (is_for(rule, "port", "port") && text_fits(rule, f->named_port)) ||
         (is_for(rule, "url", "url") && text_fits(rule, f->url));
}

static bool speaks_of_targets(const rt__rule *rule) {
  static const char *const classes[] = {"domain", "host", "ipv4",
                                        "ipv6",   "url",  "port"};
  if (!rule->class_ || rule->net.family) return true;
  for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++)
    if (strcmp(rule->class_, classes[i]) == 0) return true;
  return false;
}

bool rt__scope_reaches(const rt__scope *scope, const rt__target *target,
                       char *why, size_t why_size) {
  bool ask_name = false, ask_address = false, ask_bare = false;
  bool name_in = false, address_in = false;
  forms f;
  if (scope->count == 0) return true;
  read_forms(&f, target);
  for (size_t i = 0; i < scope->count; i++) {
    const rt__rule *rule = &scope->rules[i];
    if (!speaks_of_targets(rule)) continue;
    bool name = fits_name(rule, &f), address = fits_address(rule, &f);
    if (rule->exclude && (name || address)) {
      snprintf(why, why_size, "excluded by %.200s", rule->whole);
      return false;
    }
    if (rule->exclude) continue;
    *(rule->net.family || rule->numeric ? &ask_address : &ask_name) = true;
    if (is_for(rule, "ipv4", "ipv6") || is_for(rule, "port", "port"))
      ask_bare = true;
    if (name) name_in = true;
    if (address) address_in = true;
  }
  bool has_name = *f.name != '\0', has_address = f.net.family != 0;
  if (has_name && ask_name && !name_in)
    snprintf(why, why_size, "no rule includes the name");
  else if (has_address && ask_address && !address_in)
    snprintf(why, why_size, "no rule includes the address");
  else if (!has_name && ask_bare && !address_in && !name_in)
    snprintf(why, why_size, "no rule includes the address");
  else
    return true;
  return false;
}
