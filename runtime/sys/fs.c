/* fs.c - file system work for the thread pool (sys/fs.h).
 * SPDX-License-Identifier: MIT */
#include "sys/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/sys_error.h"

static void fail(rt__fs *fs, int number, const char *what) {
  fs->code = rt__sys_fail(&fs->error, number, "fs: cannot %s '%s'", what,
                          fs->path ? fs->path : "");
}

static void out_of_memory(rt__fs *fs) {
  fs->code = rt_fail(&fs->error, RT_ENOMEM, "fs: no memory for '%s'",
                     fs->path ? fs->path : "");
}

/* --- reading and writing ------------------------------------------------ */

/* Never waits: a pipe without its other end, or a terminal, says so. */
static int open_now(const char *path, int flags, mode_t mode) {
  int fd;
  do {
    fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

/* At least one byte of room more; false when memory is short. */
static bool grow(rt__fs *fs, size_t *room, size_t hint) {
  size_t want = *room ? *room * 2 : hint;
  char *data = realloc(fs->data, want + 1);
  if (!data) return false;
  fs->data = data;
  *room = want;
  return true;
}

static void read_all(rt__fs *fs, int fd, size_t hint) {
  size_t room = 0;
  for (;;) {
    if (fs->size == room && !grow(fs, &room, hint)) {
      out_of_memory(fs);
      return;
    }
    ssize_t n = read(fd, fs->data + fs->size, room - fs->size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      fail(fs, errno, "read");
      return;
    }
    if (n == 0) return;
    fs->size += (size_t)n;
    if (fs->size > fs->max) {
      fs->code =
          rt_fail(&fs->error, RT_EINVAL, "fs: '%s' has more than %llu bytes",
                  fs->path, (unsigned long long)fs->max);
      return;
    }
  }
}

static void do_read(rt__fs *fs) {
  struct stat st;
  int fd = open_now(fs->path, O_RDONLY, 0);
  if (fd < 0) {
    fail(fs, errno, "read");
    return;
  }
  if (fstat(fd, &st) < 0)
    fail(fs, errno, "read");
  else if (S_ISDIR(st.st_mode))
    fail(fs, EISDIR, "read");
  else if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > fs->max)
    fs->code =
        rt_fail(&fs->error, RT_EINVAL, "fs: '%s' has more than %llu bytes",
                fs->path, (unsigned long long)fs->max);
  else /* one byte more, so that the end is seen without growing */
    read_all(fs, fd, st.st_size > 0 ? (size_t)st.st_size + 1 : 4096);
  close(fd);
}

static bool write_all(int fd, const char *data, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    data += n;
    size -= (size_t)n;
  }
  return true;
}

static void do_write(rt__fs *fs) {
  int flags = O_WRONLY | O_CREAT | (fs->append ? O_APPEND : O_TRUNC) |
              (fs->exclusive ? O_EXCL : 0);
  int fd = open_now(fs->path, flags, fs->mode);
  if (fd < 0) {
    fail(fs, errno, "write");
    return;
  }
  bool ok = write_all(fd, fs->data, fs->size);
  int number = errno;
  if (close(fd) < 0 && ok && errno != EINTR) ok = false, number = errno;
  if (!ok) fail(fs, number, "write");
}

/* --- open files --------------------------------------------------------- */

static void do_open(rt__fs *fs) {
  struct stat st;
  fs->fd = open_now(fs->path, fs->flags, fs->mode);
  if (fs->fd < 0) {
    fail(fs, errno, "open");
    return;
  }
  if (fstat(fs->fd, &st) == 0 && !S_ISDIR(st.st_mode)) return;
  close(fs->fd);
  fs->fd = -1;
  fail(fs, EISDIR, "open");
}

static void do_read_fd(rt__fs *fs) {
  ssize_t n;
  fs->data = malloc((size_t)fs->max + 1);
  if (!fs->data) {
    out_of_memory(fs);
    return;
  }
  do {
    n = fs->offset < 0 ? read(fs->fd, fs->data, (size_t)fs->max)
                       : pread(fs->fd, fs->data, (size_t)fs->max, fs->offset);
    if (n < 0 && errno == ESPIPE && fs->offset >= 0) {
      fs->offset = -1; /* a device */
      errno = EINTR;
    }
  } while (n < 0 && errno == EINTR);
  if (n < 0)
    fail(fs, errno, "read");
  else
    fs->size = (size_t)n;
}

static void do_write_fd(rt__fs *fs) {
  const char *data = fs->data;
  size_t left = fs->size;
  while (left > 0) {
    ssize_t n = fs->offset < 0 ? write(fs->fd, data, left)
                               : pwrite(fs->fd, data, left, fs->offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ESPIPE && fs->offset >= 0) {
      fs->offset = -1;
      continue;
    }
    if (n < 0) {
      fail(fs, errno, "write");
      return;
    }
    data += n;
    left -= (size_t)n;
    if (fs->offset >= 0) fs->offset += n;
  }
}

/* --- names -------------------------------------------------------------- */

static void do_stat(rt__fs *fs) {
  int rc =
      fs->nofollow ? lstat(fs->path, &fs->stat) : stat(fs->path, &fs->stat);
  if (rc < 0) fail(fs, errno, "stat");
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const rt__fs_entry *)a)->name,
                ((const rt__fs_entry *)b)->name);
}

static mode_t entry_type(int dir, const struct dirent *d) {
  struct stat st;
  if (d->d_type != DT_UNKNOWN) return (mode_t)DTTOIF(d->d_type);
  if (fstatat(dir, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) return 0;
  return st.st_mode & S_IFMT;
}

static bool add_entry(rt__fs *fs, size_t *room, const char *name, mode_t type) {
  if (fs->count == *room) {
    size_t want = *room ? *room * 2 : 32;
    rt__fs_entry *more = realloc(fs->entries, want * sizeof(*more));
    if (!more) return false;
    fs->entries = more;
    *room = want;
  }
  char *copy = strdup(name);
  if (!copy) return false;
  fs->entries[fs->count++] = (rt__fs_entry){copy, type};
  /* cppcheck-suppress memleak ; the list owns the copy */
  return true;
}

static void do_list(rt__fs *fs) {
  size_t room = 0;
  const struct dirent *d;
  DIR *dir = opendir(fs->path);
  if (!dir) {
    fail(fs, errno, "list");
    return;
  }
  while (errno = 0, (d = readdir(dir)) != NULL) {
    if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")) continue;
    if (add_entry(fs, &room, d->d_name, entry_type(dirfd(dir), d))) continue;
    out_of_memory(fs);
    break;
  }
  if (!d && errno) fail(fs, errno, "list");
  closedir(dir);
  if (fs->count) qsort(fs->entries, fs->count, sizeof(*fs->entries), by_name);
}

/* Each folder on the way; one that exists is fine. */
static int make_parents(char *path, mode_t mode) {
  for (char *at = path + 1; *at; at++) {
    if (*at != '/') continue;
    *at = 0;
    int rc = mkdir(path, mode);
    *at = '/';
    if (rc < 0 && errno != EEXIST) return -1;
  }
  return 0;
}

static void do_mkdir(rt__fs *fs) {
  struct stat st;
  if (fs->parents && make_parents(fs->path, fs->mode) < 0) {
    fail(fs, errno, "make the folder");
    return;
  }
  if (mkdir(fs->path, fs->mode) == 0) return;
  int number = errno;
  if (fs->parents && number == EEXIST && stat(fs->path, &st) == 0 &&
      S_ISDIR(st.st_mode))
    return;
  fail(fs, number, "make the folder");
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *at) {
  (void)st, (void)at;
  int rc = type == FTW_DP || type == FTW_D ? rmdir(path) : unlink(path);
  return rc == 0 || errno == ENOENT ? 0 : errno;
}

static void do_remove(rt__fs *fs) {
  struct stat st;
  int rc = lstat(fs->path, &st) < 0 ? errno : 0;
  if (!rc && !S_ISDIR(st.st_mode))
    rc = unlink(fs->path) < 0 ? errno : 0;
  else if (!rc && !fs->recursive)
    rc = rmdir(fs->path) < 0 ? errno : 0;
  else if (!rc) {
    rc = nftw(fs->path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
    if (rc < 0) rc = errno;
  }
  if (rc) fail(fs, rc, "remove");
}

static void do_rename(rt__fs *fs) {
  if (rename(fs->path, fs->to) == 0) return;
  fs->code = rt__sys_fail(&fs->error, errno, "fs: cannot rename '%s' to '%s'",
                          fs->path, fs->to);
}

static void take_text(rt__fs *fs, char *text) {
  fs->data = text;
  fs->size = text ? strlen(text) : 0;
}

static void do_real(rt__fs *fs) {
  take_text(fs, realpath(fs->path, NULL));
  if (!fs->data) fail(fs, errno, "resolve");
}

static void do_temp(rt__fs *fs) {
  char *name = strdup(fs->path);
  int fd = -1;
  if (!name) {
    out_of_memory(fs);
    return;
  }
  bool ok = fs->kind == RT__FS_TEMP_DIR ? mkdtemp(name) != NULL
                                        : (fd = mkostemp(name, O_CLOEXEC)) >= 0;
  if (!ok) fail(fs, errno, "create");
  if (fd >= 0) close(fd);
  take_text(fs, name);
}

void rt__fs_run(rt__fs *fs) {
  static void (*const run[])(rt__fs *) = {
      [RT__FS_READ] = do_read,         [RT__FS_WRITE] = do_write,
      [RT__FS_STAT] = do_stat,         [RT__FS_LIST] = do_list,
      [RT__FS_MKDIR] = do_mkdir,       [RT__FS_REMOVE] = do_remove,
      [RT__FS_RENAME] = do_rename,     [RT__FS_REAL] = do_real,
      [RT__FS_TEMP_DIR] = do_temp,     [RT__FS_TEMP_FILE] = do_temp,
      [RT__FS_OPEN] = do_open,         [RT__FS_READ_FD] = do_read_fd,
      [RT__FS_WRITE_FD] = do_write_fd,
  };
  fs->code = RT_OK;
  run[fs->kind](fs);
}

void rt__fs_deinit(rt__fs *fs) {
  for (size_t i = 0; i < fs->count; i++) free(fs->entries[i].name);
  free(fs->entries);
  free(fs->path);
  free(fs->to);
  free(fs->data);
}

const char *rt__fs_type_name(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
    return "file";
  case S_IFDIR:
    return "directory";
  case S_IFLNK:
    return "link";
  case S_IFIFO:
    return "pipe";
  case S_IFSOCK:
    return "socket";
  case S_IFBLK:
  case S_IFCHR:
    return "device";
  default:
    return "unknown";
  }
}
