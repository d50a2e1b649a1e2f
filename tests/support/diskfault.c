/* diskfault.c - see diskfault.h. SPDX-License-Identifier: MIT */
#include "diskfault.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic int state_now;
static _Atomic long fired;
static _Atomic unsigned noise;

static int failing(int code) {
  atomic_fetch_add(&fired, 1);
  errno = code;
  return -1;
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
    unsigned x = atomic_fetch_add(&noise, 1) * 0x9e3779b9u;
    x ^= x >> 15;
    x *= 0x2c1b3c6du;
    x ^= x >> 12;
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
  if (!code) return write(fd, data, size);
  if (often() && write(fd, data, size / 2) < 0) return -1;
  return failing(code);
}

static ssize_t bad_pwrite(int fd, const void *data, size_t size, off_t at) {
  int code = write_fault();
  if (!code) return pwrite(fd, data, size, at);
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
  }
  atomic_store(&fired, 0);
  atomic_store(&state_now, state);
}

long disk_fired(void) {
  return atomic_load(&fired);
}
