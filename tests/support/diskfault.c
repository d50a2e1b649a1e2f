/* diskfault.c - see diskfault.h. SPDX-License-Identifier: MIT */
#include "diskfault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

static _Atomic int state_now;
static _Atomic long fired;
static _Atomic unsigned noise;
static _Atomic bool watching;
static _Atomic int syncs_left; /* that will fail */

static int failing(int code) {
  atomic_fetch_add(&fired, 1);
  errno = code;
  return -1;
}

static unsigned dice(void) {
  unsigned x = atomic_fetch_add(&noise, 1) * 0x9e3779b9u;
  x ^= x >> 15;
  x *= 0x2c1b3c6du;
  return x ^ x >> 12;
}

/* --- what is on the disk --------------------------------------------- */
typedef struct change {
  struct change *next;
  char name[80]; /* of its file */
  off_t at;      /* for a cut: the size */
  size_t size;
  char *data; /* NULL: a cut */
} change;

static struct {
  uv_mutex_t lock;
  bool on;
  char dir[200], kept[200];
  change *first, **last; /* not yet synced, in order */
} disk;

/* Its name, when it is one of those that are watched. */
static bool watched(int fd, char *name, size_t room) {
  char link[64], path[400] = "";
  size_t dir = strlen(disk.dir);
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof(path) - 1);
  if (size < 0 || strncmp(path, disk.dir, dir) != 0 || path[dir] != '/') {
    return false;
  }
  snprintf(name, room, "%s", path + dir + 1);
  size_t end = strlen(name);
  return (end > 7 && !strcmp(name + end - 7, ".sqlite")) ||
         (end > 4 && !strcmp(name + end - 4, "-wal"));
}

static void changed(int fd, const void *data, size_t size, off_t at) {
  char name[80];
  uv_mutex_lock(&disk.lock);
  if (disk.on && watched(fd, name, sizeof(name))) {
    change *c = calloc(1, sizeof(*c));
    memcpy(c->name, name, sizeof(name));
    c->at = at;
    c->size = size;
    if (data) {
      c->data = malloc(size);
      memcpy(c->data, data, size);
    }
    *disk.last = c;
    disk.last = &c->next;
  }
  uv_mutex_unlock(&disk.lock);
}

static void keep(const change *c) {
  char path[300];
  snprintf(path, sizeof(path), "%s/%s", disk.kept, c->name);
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) abort();
  if (c->data) {
    if (pwrite(fd, c->data, c->size, c->at) != (ssize_t)c->size) abort();
  } else if (ftruncate(fd, c->at) != 0) {
    abort();
  }
  close(fd);
}

/* The changes of this file are on the disk, or will never be. */
static void settle(const char *name, bool kept) {
  change **at = &disk.first;
  while (*at) {
    change *c = *at;
    if (strcmp(c->name, name) != 0) {
      at = &c->next;
      continue;
    }
    if (kept) keep(c);
    *at = c->next;
    free(c->data);
    free(c);
  }
  disk.last = at;
}

static int synced(int fd, long number) {
  char name[80];
  int state = atomic_load(&state_now);
  bool fail =
      (state == DISK_SYNCS_FAIL && atomic_fetch_sub(&syncs_left, 1) > 0) ||
      (state == DISK_OFTEN_SYNCS_FAIL && dice() % 4 == 0);
  int rc = fail ? failing(EIO) : (int)syscall(number, fd);
  int code = errno;
  if (atomic_load(&watching)) {
    uv_mutex_lock(&disk.lock);
    if (disk.on && watched(fd, name, sizeof(name))) settle(name, rc == 0);
    uv_mutex_unlock(&disk.lock);
  }
  errno = code;
  return rc;
}

/* Those of the C library give way to these. */
__attribute__((visibility("default"))) int fsync(int fd) {
  return synced(fd, SYS_fsync);
}

__attribute__((visibility("default"))) int fdatasync(int fd) {
  return synced(fd, SYS_fdatasync);
}

/* 0: the write may go on. */
static int write_fault(void) {
  switch (atomic_load(&state_now)) {
  case DISK_FULL:
    return ENOSPC;
  case DISK_WRITES_FAIL:
    return EIO;
  case DISK_READ_ONLY:
    return EROFS;
  case DISK_OFTEN_FAILS: {
    unsigned x = dice();
    return x % 8 ? 0 : x & 64 ? EIO : ENOSPC;
  }
  default:
    return 0;
  }
}

static bool often(void) {
  return atomic_load(&state_now) == DISK_OFTEN_FAILS;
}

static ssize_t bad_write(int fd, const void *data, size_t size) {
  int code = write_fault();
  if (!code) return write(fd, data, size); /* not used for what is kept */
  if (often() && write(fd, data, size / 2) < 0) return -1;
  return failing(code);
}

static ssize_t bad_pwrite(int fd, const void *data, size_t size, off_t at) {
  int code = write_fault();
  if (!code) {
    ssize_t done = pwrite(fd, data, size, at);
    if (done > 0 && atomic_load(&watching)) {
      changed(fd, data, (size_t)done, at);
    }
    return done;
  }
  if (often() && pwrite(fd, data, size / 2, at) < 0) return -1;
  return failing(code);
}

static ssize_t bad_read(int fd, void *data, size_t size) {
  if (atomic_load(&state_now) == DISK_READS_FAIL) return failing(EIO);
  return read(fd, data, size);
}

static ssize_t bad_pread(int fd, void *data, size_t size, off_t at) {
  if (atomic_load(&state_now) == DISK_READS_FAIL) return failing(EIO);
  return pread(fd, data, size, at);
}

static int cut(int fd, off_t size) {
  int rc = ftruncate(fd, size);
  if (rc == 0 && atomic_load(&watching)) changed(fd, NULL, 0, size);
  return rc;
}

/* Gone at once: SQLite syncs the folder where that matters. */
static int gone(const char *path) {
  if (atomic_load(&watching)) {
    const char *name = strrchr(path, '/');
    uv_mutex_lock(&disk.lock);
    size_t dir = strlen(disk.dir);
    if (disk.on && name && (size_t)(name - path) == dir &&
        strncmp(path, disk.dir, dir) == 0) {
      char kept[400];
      settle(name + 1, false);
      snprintf(kept, sizeof(kept), "%s%s", disk.kept, name);
      unlink(kept);
    }
    uv_mutex_unlock(&disk.lock);
  }
  return unlink(path);
}

static void replace(const char *name, sqlite3_syscall_ptr fn) {
  sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
  if (vfs->xSetSystemCall(vfs, name, fn) != SQLITE_OK) abort();
}

void disk_is(disk_state state) {
  static atomic_flag set = ATOMIC_FLAG_INIT;
  if (!atomic_flag_test_and_set(&set)) {
    replace("write", (sqlite3_syscall_ptr)bad_write);
    replace("pwrite", (sqlite3_syscall_ptr)bad_pwrite);
    replace("pwrite64", (sqlite3_syscall_ptr)bad_pwrite);
    replace("read", (sqlite3_syscall_ptr)bad_read);
    replace("pread", (sqlite3_syscall_ptr)bad_pread);
    replace("pread64", (sqlite3_syscall_ptr)bad_pread);
    replace("ftruncate", (sqlite3_syscall_ptr)cut);
    replace("unlink", (sqlite3_syscall_ptr)gone);
  }
  atomic_store(&fired, 0);
  atomic_store(&syncs_left, INT_MAX / 2);
  atomic_store(&state_now, state);
}

void disk_fails_syncs(int count) {
  disk_is(DISK_SYNCS_FAIL);
  atomic_store(&syncs_left, count);
}

long disk_fired(void) {
  return atomic_load(&fired);
}

void disk_keep(const char *dir, const char *kept) {
  disk_is(DISK_WELL);
  if (uv_mutex_init(&disk.lock) < 0) abort();
  if (!realpath(dir, disk.dir)) abort();
  snprintf(disk.kept, sizeof(disk.kept), "%s", kept);
  disk.last = &disk.first;
  disk.on = true;
  atomic_store(&watching, true);
}

void disk_lose_power(const char *to) {
  char command[500];
  snprintf(command, sizeof(command), "cp '%s'/* '%s'/", disk.kept, to);
  uv_mutex_lock(&disk.lock);
  int status = system(command);
  uv_mutex_unlock(&disk.lock);
  if (status != 0) abort();
}

void disk_keep_end(void) {
  uv_mutex_lock(&disk.lock);
  atomic_store(&watching, false);
  disk.on = false;
  while (disk.first) settle(disk.first->name, false);
  uv_mutex_unlock(&disk.lock);
  uv_mutex_destroy(&disk.lock);
}
