/* hosts.c - /etc/hosts as a sorted table (net/hosts.h).
 *
 * A changed file is noticed by its time and size, looked at once a second at
 * most. One thread. SPDX-License-Identifier: MIT */
#include "net/hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { CHECK_EVERY_MS = 1000 };

typedef struct entry {
  char *name;
  rt__addr addr;
  size_t line; /* keeps the order of the file among equal names */
} entry;

struct rt__hosts {
  char *path;
  entry *entries;
  size_t count, room;
  uint64_t checked_ms;
  struct timespec changed;
  off_t size;
  bool loaded;
};

static void forget(struct rt__hosts *hosts) {
  for (size_t i = 0; i < hosts->count; i++) free(hosts->entries[i].name);
  free(hosts->entries);
  hosts->entries = NULL;
  hosts->count = hosts->room = 0;
}

void rt__hosts_free(struct rt__hosts *hosts) {
  if (!hosts) return;
  forget(hosts);
  free(hosts->path);
  free(hosts);
}

static void add(struct rt__hosts *hosts, const char *name,
                const rt__addr *addr) {
  if (hosts->count == hosts->room) {
    size_t room = hosts->room ? hosts->room * 2 : 16;
    entry *more = realloc(hosts->entries, room * sizeof(*more));
    if (!more) return;
    hosts->entries = more;
    hosts->room = room;
  }
  entry *last = &hosts->entries[hosts->count];
  last->name = strdup(name);
  if (!last->name) return;
  last->addr = *addr;
  last->line = hosts->count++;
}

static void read_line(struct rt__hosts *hosts, char *line) {
  char *rest = line, *word;
  rt__addr addr;
  line[strcspn(line, "#\r\n")] = '\0';
  word = strtok_r(rest, " \t", &rest);
  if (!word || !rt__addr_parse(&addr, word, 0)) return;
  while ((word = strtok_r(NULL, " \t", &rest))) add(hosts, word, &addr);
}

/* By name, then IPv4 before IPv6, then as written. */
static int by_name(const void *left, const void *right) {
  const entry *a = left, *b = right;
  int order = strcasecmp(a->name, b->name);
  if (order != 0) return order;
  if (a->addr.sa.sa_family != b->addr.sa.sa_family)
    return a->addr.sa.sa_family == AF_INET ? -1 : 1;
  return a->line < b->line ? -1 : 1;
}

static void load(struct rt__hosts *hosts) {
  char *line = NULL;
  size_t room = 0;
  FILE *file = fopen(hosts->path, "re");
  forget(hosts);
  if (!file) return;
  while (getline(&line, &room, file) >= 0) read_line(hosts, line);
  free(line);
  fclose(file);
  if (hosts->count > 0)
    qsort(hosts->entries, hosts->count, sizeof(entry), by_name);
}

static void refresh(struct rt__hosts *hosts, uint64_t now_ms) {
  struct stat st;
  if (hosts->loaded && now_ms - hosts->checked_ms < CHECK_EVERY_MS) return;
  hosts->checked_ms = now_ms;
  if (stat(hosts->path, &st) != 0) memset(&st, 0, sizeof(st));
  if (hosts->loaded && st.st_size == hosts->size &&
      st.st_mtim.tv_sec == hosts->changed.tv_sec &&
      st.st_mtim.tv_nsec == hosts->changed.tv_nsec)
    return;
  hosts->loaded = true;
  hosts->changed = st.st_mtim;
  hosts->size = st.st_size;
  load(hosts);
}

void rt__hosts_use(rt__net *net, const char *path) {
  rt__hosts_free(net->hosts);
  net->hosts = calloc(1, sizeof(*net->hosts));
  if (!net->hosts) return;
  net->hosts->path = strdup(path);
  if (net->hosts->path) return;
  free(net->hosts);
  net->hosts = NULL;
}

/* "localhost" and what ends in ".localhost" never leaves the machine. */
static bool is_localhost(const char *name) {
  size_t size = strlen(name), want = strlen("localhost");
  if (size > 0 && name[size - 1] == '.') size--;
  if (size < want || strncasecmp(name + size - want, "localhost", want) != 0)
    return false;
  return size == want || name[size - want - 1] == '.';
}

static size_t localhost(rt__addr *out, size_t max) {
  size_t count = 0;
  if (count < max) rt__addr_parse(&out[count++], "127.0.0.1", 0);
  if (count < max) rt__addr_parse(&out[count++], "::1", 0);
  return count;
}

static size_t first_of(const struct rt__hosts *hosts, const char *name) {
  size_t low = 0, high = hosts->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcasecmp(hosts->entries[middle].name, name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

size_t rt__hosts_find(rt__net *net, const char *name, rt__addr *out,
                      size_t max) {
  size_t count = 0;
  if (is_localhost(name)) return localhost(out, max);
  if (!net->hosts) rt__hosts_use(net, "/etc/hosts");
  if (!net->hosts) return 0;
  refresh(net->hosts, uv_now(net->loop));
  for (size_t i = first_of(net->hosts, name);
       i < net->hosts->count && count < max; i++) {
    if (strcasecmp(net->hosts->entries[i].name, name) != 0) break;
    out[count++] = net->hosts->entries[i].addr;
  }
  return count;
}
