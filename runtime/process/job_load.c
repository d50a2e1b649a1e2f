/* job_load.c - capability files: found, read, run in a process, registered.
 *
 *   caller: path -> files -> text --post--> worker: process (rt.loader)
 *     ^--- runtime's `changed` <--------------- its end
 *
 * A worker that has ended, as the runtime stops, runs no more: then nobody
 * waits for it.
 *
 * SPDX-License-Identifier: MIT */
#include "process/job_load.h"
#include "process/embed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/job.h"

#define LOAD_SECONDS 5.0
#define FILE_MAX     (16u << 20)

typedef struct load_note {
  struct load_note *next;
  const char *kind; /* NULL: `text` is the name of what was loaded */
  char text[];
} load_note;

/* One file. The caller waits for `done`; until then the worker has it. When
 * that is lost, or ends, the last of the two frees it. */
typedef struct loading {
  rt__task task;
  _Atomic(unsigned) refs;
  rt_runtime *rt;
  rt_registry *registry;
  rt__job_worker *home;
  char *file, *text; /* [own] */
  size_t size;
  unsigned flags;
  bool done;                /* guarded by the runtime's lock */
  char *lost;               /* [own] its worker is, for this reason */
  load_note *first, **last; /* the caller's unless that is so */
  load_note *declared;      /* the names in the file, likewise */
} loading;

static void free_notes(load_note *note) {
  while (note) {
    load_note *next = note->next;
    free(note);
    note = next;
  }
}

static void load_unref(loading *load) {
  if (!load || atomic_fetch_sub(&load->refs, 1) > 1) return;
  free_notes(load->first);
  free_notes(load->declared);
  free(load->lost);
  free(load->file);
  free(load->text);
  free(load);
}

static loading *load_new(rt_registry *registry, const char *file,
                         unsigned flags) {
  loading *load = calloc(1, sizeof(*load));
  if (!load) return NULL;
  load->file = strdup(file);
  if (!load->file) {
    free(load);
    return NULL;
  }
  atomic_init(&load->refs, 1);
  load->rt = rt__registry_runtime(registry);
  load->registry = registry;
  load->flags = flags;
  load->last = &load->first;
  return load;
}

/* --- reading, on the caller's thread -------------------------------------- */
static rt_err read_all(int fd, size_t size, char **text, size_t *got) {
  size_t at = 0;
  *text = malloc(size + 1);
  if (!*text) return RT_ENOMEM;
  while (at < size) {
    ssize_t n = read(fd, *text + at, size - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return RT_EUNAVAIL;
    if (n == 0) break;
    at += (size_t)n;
  }
  *got = at;
  return RT_OK;
}

/* A folder's pipe or device must not hold up the caller. */
static rt_err read_file(const char *file, char **text, size_t *size,
                        rt_error *err) {
  struct stat info;
  rt_err rc = RT_OK;
  int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || fstat(fd, &info) < 0)
    rc = rt_fail(err, RT_EUNAVAIL, "%s: %s", file, strerror(errno));
  else if (!S_ISREG(info.st_mode))
    rc = rt_fail(err, RT_EINVAL, "%s: expected a regular file", file);
  else if (info.st_size > FILE_MAX)
    rc = rt_fail(err, RT_EINVAL, "%s: larger than 16 MiB", file);
  else if (read_all(fd, (size_t)info.st_size, text, size) != RT_OK)
    rc = rt_fail(err, RT_EUNAVAIL, "%s: cannot be read", file);
  if (fd >= 0) close(fd);
  return rc;
}

static bool ends_in(const char *name, const char *end) {
  size_t a = strlen(name), b = strlen(end);
  return a > b && strcmp(name + a - b, end) == 0;
}

static int is_capability_file(const struct dirent *entry) {
  const char *name = entry->d_name;
  return name[0] != '.' && ends_in(name, ".lua") &&
         !ends_in(name, "_test.lua") && !ends_in(name, ".test.lua");
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

/* --- one file ------------------------------------------------------------- */
static void note_into(load_note ***last, const char *text, const char *kind) {
  size_t size = strlen(text);
  load_note *n = malloc(sizeof(*n) + size + 1);
  if (!n) return;
  n->next = NULL;
  n->kind = kind;
  memcpy(n->text, text, size + 1);
  for (char *c = n->text; *c; c++) /* one line, and nothing a terminal obeys */
    if ((unsigned char)*c < ' ' || *c == 127)
      *c = *c == '\n' || *c == '\r' || *c == '\t' ? ' ' : '?';
  **last = n;
  *last = &n->next;
}

static void note(loading *load, const char *text, const char *kind) {
  note_into(&load->last, text, kind);
}

static char *file_words(const loading *load, const char *what) {
  size_t size = strlen(load->file) + strlen(what) + 3;
  char *text = malloc(size);
  if (text) snprintf(text, size, "%s: %s", load->file, what);
  return text;
}

static void note_error(loading *load, const char *what) {
  char *text = file_words(load, what);
  if (!text) return;
  note(load, text, rt_status_kind(RT_EINVAL));
  free(text);
}

static void set_done(loading *load) {
  uv_mutex_lock(&load->rt->lock);
  load->done = true;
  uv_cond_broadcast(&load->rt->changed);
  uv_mutex_unlock(&load->rt->lock);
}

/* The caller has it again. */
static void hand_back(loading *load) {
  rt__jobs_done(load->home);
  set_done(load);
  load_unref(load);
}

static void on_loaded(rt__process *process, rt_err how, rt_value *result,
                      rt_value *error, void *arg) {
  loading *load = arg;
  (void)result;
  if (rt__worker_lost(process->vm->worker)) { /* the caller knows */
    load_unref(load);
    return;
  }
  if (how == RT_ETIMEOUT) {
    note_error(load, "did not return within 5 s");
  } else if (how != RT_OK) {
    char *words = rt__job_words("cannot be loaded", error);
    note_error(load, words ? words : "cannot be loaded");
    free(words);
  }
  hand_back(load);
}

bool rt__load_lost(rt__ended_fn fn, void *arg, const char *words) {
  loading *load = arg;
  if (fn != on_loaded) return false;
  load->lost = strdup(words);
  set_done(load);
  return true;
}

static void run_load(rt__worker *worker, rt__task *task) {
  loading *load = (loading *)task; /* its first member */
  rt_error err = RT_ERROR_INIT;
  rt__process *process;
  rt__start start = RT__START_INIT;
  load->home = rt__jobs_arrive(worker, load->home);
  start.on_exit = on_loaded;
  start.exit_arg = load;
  start.deadline = LOAD_SECONDS;
  start.internal = true;
  if (rt__job_process(&process, load->home, RT__ENTRY_LOAD, LUA_NOREF, &start,
                      &err) == RT_OK)
    return;
  note_error(load, err.message);
  hand_back(load);
}

static void tell(const load_note *n, const rt__load_opts *opts) {
  for (; n; n = n->next) {
    if (n->kind && opts->fault) opts->fault(n->text, n->kind, opts->arg);
    if (!n->kind && opts->loaded) opts->loaded(n->text, opts->arg);
  }
}

/* What the worker noted is still its own. */
static void tell_lost(const loading *load, const rt__load_opts *opts) {
  load_note *first = NULL, **last = &first;
  char *words = file_words(load, load->lost);
  if (words) note_into(&last, words, rt_status_kind(RT_EINVAL));
  tell(first, opts);
  free_notes(first);
  free(words);
}

/* Have it run by a worker; false: the runtime is stopping. */
static bool run_there(loading *load) {
  rt_runtime *rt = load->rt;
  uv_mutex_lock(&rt->lock);
  bool closed = rt->joined;
  uv_mutex_unlock(&rt->lock);
  if (closed) return false;
  rt__worker *worker;
  atomic_fetch_add(&load->refs, 1);
  load->home = rt__jobs_pick(rt->jobs);
  worker = load->home->worker;
  load->task.run = run_load;
  rt__worker_post(worker, &load->task);
  uv_mutex_lock(&rt->lock);
  while (!load->done && !(rt->stopping && atomic_load(&worker->ended)))
    uv_cond_wait(&rt->changed, &rt->lock);
  bool done = load->done;
  uv_mutex_unlock(&rt->lock);
  return done;
}

/* --- what a file that is loaded again has no longer ----------------------- */
static bool is_stray(const rt_capability *c, void *arg) {
  const loading *load = arg;
  if (!c->file || strcmp(c->file, load->file) != 0) return false;
  for (const load_note *n = load->declared; n; n = n->next)
    if (!strcmp(n->text, c->name)) return false;
  return true;
}

/* In the folder `arg`, and there no more? */
static bool is_orphan(const rt_capability *c, void *arg) {
  const char *folder = arg;
  size_t size = strlen(folder);
  while (size && folder[size - 1] == '/') size--;
  if (!c->file || strncmp(c->file, folder, size) != 0 || c->file[size] != '/')
    return false;
  const char *rest = c->file + size;
  while (*rest == '/') rest++;
  return !strchr(rest, '/') && access(c->file, F_OK) != 0 && errno == ENOENT;
}

static void take_out(rt_registry *registry, rt__capability_is_fn is, void *arg,
                     const rt__load_opts *opts) {
  char *name;
  if (!(opts->flags & RT__PUT_REPLACE)) return;
  while ((name = rt__registry_find(registry, is, arg)) != NULL) {
    bool out = rt_registry_remove(registry, name, NULL) == RT_OK;
    if (out && opts->loaded) opts->loaded(name, opts->arg);
    free(name);
  }
}

static bool any_fault(const loading *load) {
  for (const load_note *n = load->first; n; n = n->next)
    if (n->kind) return true;
  return false;
}

/* A path, or text that is called so. */
typedef struct origin {
  const char *path, *code;
  size_t size;
} origin;

/* Has it run, and tells; takes it. Without text there is only a fault. */
static rt_err finish_load(loading *load, const rt__load_opts *opts,
                          rt_error *why) {
  if (load->text && !run_there(load)) { /* the worker may still note */
    load_unref(load);
    return rt_fail(why, RT_ECLOSED, "the runtime is stopping");
  }
  if (load->lost)
    tell_lost(load, opts);
  else
    tell(load->first, opts);
  if (!load->lost && !any_fault(load)) {
    take_out(load->registry, is_stray, load, opts);
  }
  load_unref(load);
  return RT_OK;
}

static rt_err load_file(rt_registry *registry, const char *file,
                        const rt__load_opts *opts, rt_error *why) {
  loading *load = load_new(registry, file, opts->flags);
  rt_error err = RT_ERROR_INIT;
  if (!load) return rt_fail(why, RT_ENOMEM, "no memory to load %s", file);
  if (read_file(file, &load->text, &load->size, &err) != RT_OK) {
    note(load, err.message, rt_status_kind(RT_EINVAL));
    free(load->text);
    load->text = NULL;
  }
  return finish_load(load, opts, why);
}

static rt_err load_text(rt_registry *registry, const origin *from,
                        const rt__load_opts *opts, rt_error *why) {
  loading *load = load_new(registry, from->path, opts->flags);
  if (load) load->text = malloc(from->size + 1);
  if (!load || !load->text) {
    load_unref(load);
    return rt_fail(why, RT_ENOMEM, "no memory to load %s", from->path);
  }
  memcpy(load->text, from->code, from->size);
  load->size = from->size;
  return finish_load(load, opts, why);
}

static rt_err load_folder(rt_registry *registry, const char *path,
                          const rt__load_opts *opts, rt_error *err) {
  struct dirent **entries = NULL;
  char file[4096 + 256];
  rt_err rc = RT_OK;
  int count = scandir(path, &entries, is_capability_file, by_name);
  if (count < 0)
    return rt_fail(err, RT_EUNAVAIL, "%s: %s", path, strerror(errno));
  const char *slash = ends_in(path, "/") ? "" : "/";
  for (int i = 0; i < count; i++) {
    snprintf(file, sizeof(file), "%s%s%s", path, slash, entries[i]->d_name);
    if (rc == RT_OK) rc = load_file(registry, file, opts, err);
    free(entries[i]);
  }
  free(entries);
  if (rc == RT_OK) take_out(registry, is_orphan, (char *)path, opts);
  return rc;
}

rt_err rt__load(rt_registry *registry, const char *path,
                const rt__load_opts *opts, rt_error *err) {
  struct stat info;
  if (strlen(path) > 4096)
    return rt_fail(err, RT_EINVAL, "the path is too long");
  if (stat(path, &info) < 0)
    return rt_fail(err, errno == ENOENT ? RT_ENOTFOUND : RT_EUNAVAIL, "%s: %s",
                   path, strerror(errno));
  if (S_ISDIR(info.st_mode)) return load_folder(registry, path, opts, err);
  return load_file(registry, path, opts, err);
}

/* --- rt/registry.h -------------------------------------------------------- */
typedef struct counting {
  rt_fault_fn fault;
  void *arg;
  size_t loaded;
} counting;

static void count_loaded(const char *name, void *arg) {
  (void)name;
  ((counting *)arg)->loaded++;
}

static void tell_fault(const char *text, const char *kind, void *arg) {
  counting *c = arg;
  (void)kind;
  if (c->fault) c->fault(text, c->arg);
}

static rt_err load_counted(rt_registry *registry, origin from, unsigned flags,
                           rt_fault_fn fault, void *arg, size_t *loaded,
                           rt_error *err) {
  counting c = {fault, arg, 0};
  rt__load_opts opts = {flags, count_loaded, tell_fault, &c};
  rt__host *host = rt__registry_runtime(registry)->embed->host;
  if (host) rt__host_enter_wait(host);
  rt_err rc = from.code ? load_text(registry, &from, &opts, err)
                        : rt__load(registry, from.path, &opts, err);
  if (host) rt__host_leave_wait(host);
  if (loaded) *loaded = c.loaded;
  return rc;
}

rt_err rt_registry_load(rt_registry *registry, const char *path,
                        rt_fault_fn fault, void *arg, size_t *loaded,
                        rt_error *err) {
  const origin from = {path, NULL, 0};
  return load_counted(registry, from, RT__PUT_AGAIN, fault, arg, loaded, err);
}

rt_err rt_registry_load_code(rt_registry *registry, const char *code,
                             size_t size, const char *name, rt_fault_fn fault,
                             void *arg, size_t *loaded, rt_error *err) {
  if (loaded) *loaded = 0;
  if (!code || size == 0)
    return rt_fail(err, RT_EINVAL, "code: expected the text of a script");
  if (!name || !*name) return rt_fail(err, RT_EINVAL, "name: expected a name");
  if (size > FILE_MAX) return rt_fail(err, RT_EINVAL, "larger than 16 MiB");
  const origin from = {name, code, size};
  return load_counted(registry, from, RT__PUT_AGAIN, fault, arg, loaded, err);
}

rt_err rt_registry_reload(rt_registry *registry, const char *path,
                          rt_fault_fn fault, void *arg, size_t *changed,
                          rt_error *err) {
  const origin from = {path, NULL, 0};
  return load_counted(registry, from, RT__PUT_REPLACE, fault, arg, changed,
                      err);
}

/* --- rt.loader's part ----------------------------------------------------- */
static loading *loading_of(lua_State *L) {
  rt__process *process = rt__process_of(L);
  if (!process || process->rare->on_exit != on_loaded)
    luaL_error(L, "no file is being loaded");
  return process->rare->exit_arg;
}

int rt__l_loading(lua_State *L) {
  const loading *load = loading_of(L);
  lua_pushstring(L, load->file);
  lua_pushlstring(L, load->text, load->size);
  return 2;
}

int rt__l_fault(lua_State *L) {
  const char *text = luaL_checkstring(L, 1);
  const char *kind = luaL_optstring(L, 2, "INVALID");
  note(loading_of(L), text, rt_status_kind(rt_status_from_kind(kind)));
  return 0;
}

int rt__l_add(lua_State *L) {
  loading *load = loading_of(L);
  uint32_t index = (uint32_t)luaL_checkinteger(L, 2);
  rt_error err = RT_ERROR_INIT;
  rt_value *map;
  if (rt__lua_encode(L, 1, "capability", &map, &err) != RT_OK)
    return rt__lua_fail(L, &err);
  bool changed = true;
  rt_err rc =
      rt__registry_change(load->registry, map, load->file, load->text,
                          load->size, index, load->flags, &changed, &err);
  size_t size = 0;
  const char *name =
      rt_view_string(rt_view_get(rt_value_view(map), "name"), &size);
  char *copy = name ? strndup(name, size) : NULL;
  if (rc == RT_OK && copy) {
    load_note **last = &load->declared;
    while (*last) last = &(*last)->next;
    note_into(&last, copy, NULL);
  }
  if (rc == RT_OK && copy && (changed || !(load->flags & RT__PUT_REPLACE)))
    note(load, copy, NULL);
  free(copy);
  rt_value_unref(map);
  if (rc != RT_OK) return rt__lua_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}
