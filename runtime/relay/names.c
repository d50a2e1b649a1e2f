/* names.c - a hash table of names under one lock.
 *
 * Names are found by their text, and by whose they are: when a process ends,
 * only its own are looked at.
 *
 * SPDX-License-Identifier: MIT */
#include "relay/names.h"

#include <stdlib.h>
#include <string.h>

struct rt__name {
  rt__name *next; /* in the bucket of its text */
  rt__name *owned,
      **owned_at; /* in that of its process, and what points here */
  rt_pid pid;
  size_t size;
  char text[];
};

rt_err rt__names_init(rt__names *names) {
  memset(names, 0, sizeof(*names));
  return uv_mutex_init(&names->lock) == 0 ? RT_OK : RT_ENOMEM;
}

void rt__names_deinit(rt__names *names) {
  for (size_t i = 0; i < names->room; i++)
    for (rt__name *name = names->buckets[i], *next; name; name = next) {
      next = name->next;
      free(name);
    }
  free(names->buckets);
  uv_mutex_destroy(&names->lock);
}

static size_t hash(const char *text, size_t size) {
  uint64_t h = 1469598103934665603u;
  for (size_t i = 0; i < size; i++)
    h = (h ^ (unsigned char)text[i]) * 1099511628211u;
  return (size_t)(h ^ h >> 32);
}

/* The link that points to the name, or the end of its chain. */
static rt__name **find_locked(rt__names *names, const char *text, size_t size) {
  rt__name **at = &names->buckets[hash(text, size) & (names->room - 1)];
  while (*at && ((*at)->size != size || memcmp((*at)->text, text, size) != 0))
    at = &(*at)->next;
  return at;
}

/* Where the names of a process are; the second half of the buckets. */
static rt__name **owned_by(rt__name **buckets, size_t room, rt_pid pid) {
  uint64_t h = pid * 0x9e3779b97f4a7c15u;
  return &buckets[room + ((size_t)(h >> 32) & (room - 1))];
}

static void own(rt__name **at, rt__name *name) {
  name->owned = *at;
  name->owned_at = at;
  if (name->owned) name->owned->owned_at = &name->owned;
  *at = name;
}

static bool grow_locked(rt__names *names) {
  size_t room = names->room ? names->room * 2 : 64;
  rt__name **buckets = calloc(room * 2, sizeof(*buckets));
  if (!buckets) return false;
  for (size_t i = 0; i < names->room; i++)
    for (rt__name *name = names->buckets[i], *next; name; name = next) {
      rt__name **at = &buckets[hash(name->text, name->size) & (room - 1)];
      next = name->next;
      name->next = *at;
      *at = name;
      own(owned_by(buckets, room, name->pid), name);
    }
  free(names->buckets);
  names->buckets = buckets;
  names->room = room;
  return true;
}

static rt_err add_locked(rt__names *names, const char *text, size_t size,
                         rt_pid pid) {
  if (names->count >= names->room && !grow_locked(names)) return RT_ENOMEM;
  rt__name **at = find_locked(names, text, size);
  if (*at) return RT_EEXIST;
  rt__name *name = malloc(sizeof(*name) + size + 1);
  if (!name) return RT_ENOMEM;
  name->next = NULL;
  name->pid = pid;
  name->size = size;
  memcpy(name->text, text, size);
  name->text[size] = 0;
  *at = name;
  own(owned_by(names->buckets, names->room, pid), name);
  names->count++;
  return RT_OK;
}

rt_err rt__names_add(rt__names *names, const char *name, size_t size,
                     rt_pid pid) {
  uv_mutex_lock(&names->lock);
  rt_err rc = add_locked(names, name, size, pid);
  uv_mutex_unlock(&names->lock);
  return rc;
}

rt_pid rt__names_find(rt__names *names, const char *name, size_t size) {
  rt_pid pid = 0;
  uv_mutex_lock(&names->lock);
  if (names->room > 0) {
    rt__name **at = find_locked(names, name, size);
    if (*at) pid = (*at)->pid;
  }
  uv_mutex_unlock(&names->lock);
  return pid;
}

static void unlink_locked(rt__names *names, rt__name **at) {
  rt__name *name = *at;
  *at = name->next;
  *name->owned_at = name->owned;
  if (name->owned) name->owned->owned_at = name->owned_at;
  names->count--;
  free(name);
}

rt_err rt__names_remove(rt__names *names, const char *name, size_t size,
                        rt_pid pid, rt_pid *owner) {
  rt_err rc = RT_ENOTFOUND;
  uv_mutex_lock(&names->lock);
  if (names->room > 0) {
    rt__name **at = find_locked(names, name, size);
    if (*at && (*at)->pid != pid) {
      if (owner) *owner = (*at)->pid;
      rc = RT_EPERM;
    } else if (*at) {
      unlink_locked(names, at);
      rc = RT_OK;
    }
  }
  uv_mutex_unlock(&names->lock);
  return rc;
}

void rt__names_each(rt__names *names, rt__name_fn fn, void *arg) {
  bool go = true;
  uv_mutex_lock(&names->lock);
  for (size_t i = 0; i < names->room && go; i++)
    for (rt__name *name = names->buckets[i]; name && go; name = name->next)
      go = fn(name->pid, name->text, name->size, arg);
  uv_mutex_unlock(&names->lock);
}

void rt__names_drop(rt__names *names, rt_pid pid) {
  uv_mutex_lock(&names->lock);
  rt__name *name = NULL, *next;
  if (names->count > 0) name = *owned_by(names->buckets, names->room, pid);
  for (; name; name = next) {
    next = name->owned;
    if (name->pid == pid)
      unlink_locked(names, find_locked(names, name->text, name->size));
  }
  uv_mutex_unlock(&names->lock);
}
