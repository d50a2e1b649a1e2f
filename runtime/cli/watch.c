/* cli/watch.c - see watch.h.
 *
 * The folders are watched, not the files: editors write another file and give
 * it the old one's name. A change is taken in once nothing has happened for a
 * moment, so that a file that is being written is not read half.
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

#define REST_SECONDS 0.1
#define CHANGES                                                                \
  (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_MODIFY | IN_ATTRIB)

struct watch {
  cli *c;
  rt_runtime *rt;
  const cli_list *paths; /* borrowed */
  int fd;
  bool changed;
  double last; /* when, on the steady clock */
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

static bool any_event(const watch *w) {
  char buffer[4096];
  bool any = false;
  while (read(w->fd, buffer, sizeof(buffer)) > 0) any = true;
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

static void take_in(watch *w, const char *path) {
  rt_error err = RT_ERROR_INIT;
  reload r = {w, 0};
  size_t changed = 0;
  rt_err rc = rt_registry_reload(rt_runtime_registry(w->rt), path, tell_fault,
                                 &r, &changed, &err);
  if (rc != RT_OK) console_say(&w->c->console, "runtime: %s\n", err.message);
  if (rc != RT_OK || r.faults)
    console_say(&w->c->console,
                "runtime: what was loaded before stays in its place\n");
  if (changed)
    console_say(&w->c->console, "runtime: %s: taken in anew: %zu %s\n", path,
                changed, changed == 1 ? "capability" : "capabilities");
}

void watch_tick(watch *w) {
  if (!w) return;
  if (any_event(w)) {
    w->changed = true;
    w->last = now();
  }
  if (!w->changed || now() - w->last < REST_SECONDS) return;
  w->changed = false;
  for (size_t i = 0; i < w->paths->count; i++) take_in(w, w->paths->items[i]);
}
