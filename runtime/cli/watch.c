/* cli/watch.c - see watch.h.
 *
 * The folders are watched, not the files: editors write another file and give
 * it the old one's name. Of what happens in them only Lua files count. A change
 * is taken in once nothing has happened for a moment, so that a file that is
 * being written is not read half; when it goes on for LONGEST_SECONDS, as it
 * is. Modules that a capability's file required are watched like it; which ones
 * those are the registry knows.
 * SPDX-License-Identifier: MIT */
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REST_SECONDS    0.1
#define LONGEST_SECONDS 3.0
#define CHANGES                                                                \
  (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE |      \
   IN_MODIFY | IN_ATTRIB)

struct watch {
  cli *c;
  rt_runtime *rt;
  const cli_list *paths; /* borrowed */
  int fd;
  bool changed;
  double first, last; /* since and until when, on the steady clock */
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The folder of a path, or the path when it is one. */
static bool add_folder(watch *w, const char *path) {
  char folder[PATH_MAX];
  struct stat info;
  if (strlen(path) >= sizeof(folder)) return false;
  strcpy(folder, path);
  if (stat(path, &info) != 0) return false;
  char *slash = strrchr(folder, '/');
  if (!S_ISDIR(info.st_mode)) {
    if (slash)
      slash[slash == folder] = '\0';
    else
      strcpy(folder, ".");
  }
  return inotify_add_watch(w->fd, folder, CHANGES) >= 0;
}

/* The folders of the modules that are required now. */
static void add_modules(watch *w) {
  rt_value *list = NULL;
  rt_view capability, module;
  rt_registry_list(rt_runtime_registry(w->rt), &list, NULL);
  rt_iter each = rt_iter_of(rt_value_view(list));
  while (rt_iter_next(&each, NULL, &capability)) {
    rt_iter modules = rt_iter_of(rt_view_get(capability, "modules"));
    while (rt_iter_next(&modules, NULL, &module)) {
      size_t size = 0;
      const char *text = rt_view_string(module, &size);
      char *path = text ? strndup(text, size) : NULL;
      if (path) add_folder(w, path);
      free(path);
    }
  }
  rt_value_unref(list);
}

watch *watch_new(cli *c, rt_runtime *rt, const cli_list *paths) {
  watch *w = calloc(1, sizeof(*w));
  if (!w) return NULL;
  w->c = c;
  w->rt = rt;
  w->paths = paths;
  w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  bool ok = w->fd >= 0;
  for (size_t i = 0; ok && i < paths->count; i++)
    ok = add_folder(w, paths->items[i]);
  if (ok) add_modules(w);
  if (ok) return w;
  console_say(&c->console, "runtime: --watch: cannot watch: %s\n",
              strerror(errno));
  watch_free(w);
  return NULL;
}

void watch_free(watch *w) {
  if (!w) return;
  if (w->fd >= 0) close(w->fd);
  free(w);
}

static bool ends_in(const char *text, const char *end) {
  size_t a = strlen(text), b = strlen(end);
  return a >= b && strcmp(text + a - b, end) == 0;
}

/* A file of this name may hold a capability, or a module of one. */
static bool counts(const watch *w, const char *name) {
  if (ends_in(name, ".lua")) return true;
  for (size_t i = 0; i < w->paths->count; i++)
    if (*name && ends_in(w->paths->items[i], name)) return true;
  return false;
}

static bool any_event(const watch *w) {
  union {
    struct inotify_event first; /* for its alignment */
    char bytes[16384];
  } buffer;
  bool any = false;
  ssize_t size;
  while ((size = read(w->fd, &buffer, sizeof(buffer))) > 0) {
    for (ssize_t at = 0; at < size;) {
      const struct inotify_event *e = (const void *)(buffer.bytes + at);
      bool lost = e->mask & (IN_Q_OVERFLOW | IN_IGNORED);
      any = any || lost || counts(w, e->len ? e->name : "");
      at += (ssize_t)(sizeof(*e) + e->len);
    }
  }
  return any;
}

typedef struct reload {
  watch *watch;
  size_t faults;
} reload;

static void tell_fault(const char *text, void *arg) {
  reload *r = arg;
  r->faults++;
  console_say(&r->watch->c->console, "runtime: %s\n", text);
}

/* The names of all that are registered. */
static rt_value *names_now(const watch *w) {
  rt_value *list = NULL;
  rt_registry_list(rt_runtime_registry(w->rt), &list, NULL);
  return list;
}

static bool is_among(rt_view list, const char *name, size_t size) {
  rt_view item;
  size_t got = 0;
  rt_iter iter = rt_iter_of(list);
  while (rt_iter_next(&iter, NULL, &item)) {
    const char *text = rt_view_string(rt_view_get(item, "name"), &got);
    if (text && got == size && !memcmp(text, name, size)) return true;
  }
  return false;
}

/* Say which ones are gone; how many. */
static size_t tell_gone(const watch *w, const rt_value *before,
                        const char *path) {
  rt_value *after = names_now(w);
  rt_view item;
  size_t gone = 0, size = 0;
  rt_iter iter = rt_iter_of(rt_value_view(before));
  while (after && rt_iter_next(&iter, NULL, &item)) {
    const char *name = rt_view_string(rt_view_get(item, "name"), &size);
    if (!name || is_among(rt_value_view(after), name, size)) continue;
    gone++;
    console_say(&w->c->console,
                "runtime: %s: '%.*s' is declared no longer, and taken out\n",
                path, (int)size, name);
  }
  rt_value_unref(after);
  return gone;
}

/* False: once more, a name that was taken is free now. */
static bool take_in(watch *w, const char *path) {
  rt_error err = RT_ERROR_INIT;
  reload r = {w, 0};
  size_t changed = 0;
  rt_value *before = names_now(w);
  rt_err rc = rt_registry_reload(rt_runtime_registry(w->rt), path, tell_fault,
                                 &r, &changed, &err);
  if (rc != RT_OK) console_say(&w->c->console, "runtime: %s\n", err.message);
  if (rc != RT_OK || r.faults)
    console_say(&w->c->console,
                "runtime: what was loaded before stays in its place\n");
  size_t gone = tell_gone(w, before, path);
  rt_value_unref(before);
  changed -= gone < changed ? gone : changed;
  if (changed)
    console_say(&w->c->console, "runtime: %s: taken in anew: %zu %s\n", path,
                changed, changed == 1 ? "capability" : "capabilities");
  return !(gone && r.faults);
}

static void take_in_all(watch *w) {
  bool through = true;
  for (size_t i = 0; i < w->paths->count; i++)
    through = take_in(w, w->paths->items[i]) && through;
  for (size_t i = 0; i < w->paths->count && !through; i++)
    take_in(w, w->paths->items[i]);
  for (size_t i = 0; i < w->paths->count; i++) /* it may be another by now */
    add_folder(w, w->paths->items[i]);
  add_modules(w);
}

void watch_tick(watch *w) {
  if (!w) return;
  double at = now();
  if (any_event(w)) {
    if (!w->changed) w->first = at;
    w->changed = true;
    w->last = at;
  }
  bool rests = at - w->last >= REST_SECONDS;
  if (!w->changed || (!rests && at - w->first < LONGEST_SECONDS)) return;
  if (!rests)
    console_say(&w->c->console,
                "runtime: files have been changing for %g s; taken in as they "
                "are\n",
                LONGEST_SECONDS);
  w->changed = false;
  take_in_all(w);
}
