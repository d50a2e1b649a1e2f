/* sys/fs.h - file system work as blocking calls, for the thread pool.
 *
 * A request is filled in by the loop's thread, run by one thread, then read by
 * the loop's thread again. Nothing here opens a pipe, a socket or a terminal
 * in a way that could wait, so that no request holds its thread for long.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__SYS_FS_H
#define RT__SYS_FS_H

#include <sys/stat.h>

#include "rt/status.h"

typedef enum rt__fs_kind {
  RT__FS_READ,     /* path, max -> data, size */
  RT__FS_WRITE,    /* path, data, size, mode, append, exclusive */
  RT__FS_STAT,     /* path, nofollow -> stat */
  RT__FS_LIST,     /* path -> entries, count, sorted by name */
  RT__FS_MKDIR,    /* path, mode, parents */
  RT__FS_REMOVE,   /* path, recursive */
  RT__FS_RENAME,   /* path, to */
  RT__FS_REAL,     /* path -> data, size */
  RT__FS_TEMP_DIR, /* path: template -> data, size */
  RT__FS_TEMP_FILE,
  RT__FS_OPEN,    /* path, flags, mode -> fd */
  RT__FS_READ_FD, /* fd, max, offset -> data, size */
  RT__FS_WRITE_FD /* fd, data, size, offset (-1: where it is, or appends) */
} rt__fs_kind;

typedef struct rt__fs_entry {
  char *name;
  mode_t type; /* S_IFREG and so on; 0: unknown */
} rt__fs_entry;

typedef struct rt__fs {
  rt__fs_kind kind;
  char *path, *to; /* [own] */
  char *data;      /* [own] */
  size_t size;
  uint64_t max;
  mode_t mode;
  int flags, fd;
  int64_t offset;
  bool append, exclusive, nofollow, parents, recursive;
  struct stat stat;
  rt__fs_entry *entries; /* [own] */
  size_t count;
  rt_err code;
  rt_error error;
} rt__fs;

/* [any] Do it: `code` and `error` tell how it went. */
void rt__fs_run(rt__fs *fs);
void rt__fs_deinit(rt__fs *fs);
/* "file", "directory", "link", "pipe", "socket", "device" or "unknown". */
const char *rt__fs_type_name(mode_t mode);

#endif
