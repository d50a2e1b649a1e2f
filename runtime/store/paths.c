/* paths.c - names, files and ownership of sessions. See paths.h.
 * SPDX-License-Identifier: MIT */
#include "store/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rt/session.h"

#define NAME_MAX_BYTES  100
#define SOCKET_NAME_MAX 60 /* a longer name is replaced by its hash */

static bool name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

rt_err rt__session_name_check(const char *name, rt_error *err) {
  if (!name || !*name) {
    return rt_fail(err, RT_EINVAL, "a session needs a name");
  }
  size_t size = strlen(name);
  bool good = size <= NAME_MAX_BYTES && name[0] != '.';
  for (size_t i = 0; good && i < size; i++) good = name_byte(name[i]);
  if (good) return RT_OK;
  return rt_fail(err, RT_EINVAL,
                 "bad session name '%.120s' (letters, digits, '.', '_' and "
                 "'-', no dot first, at most %d bytes)",
                 name, NAME_MAX_BYTES);
}

char *rt__session_path(const char *dir, const char *name, const char *suffix) {
  if (!dir || !*dir) dir = RT__DIR_DEFAULT;
  size_t size = strlen(dir) + strlen(name) + strlen(suffix) + 2;
  char *path = malloc(size);
  if (path) snprintf(path, size, "%s/%s%s", dir, name, suffix);
  return path;
}

/* FNV-1a */
static uint64_t hash_of(const char *text) {
  uint64_t hash = 14695981039346656037u;
  for (; *text; text++) {
    hash = (hash ^ (unsigned char)*text) * 1099511628211u;
  }
  return hash;
}

char *rt_session_socket(const char *dir, const char *name) {
  char file[32];
  if (strlen(name) <= SOCKET_NAME_MAX) {
    return rt__session_path(dir, name, ".sock");
  }
  snprintf(file, sizeof(file), ".%016llx.sock",
           (unsigned long long)hash_of(name));
  return rt__session_path(dir, file, "");
}

static rt_err mkdir_fail(const char *dir, int code, rt_error *err) {
  rt_err rc =
      code == EACCES || code == EPERM || code == EROFS ? RT_EPERM : RT_EUNAVAIL;
  return rt_fail(err, rc, "cannot make the folder %s: %s", dir, strerror(code));
}

rt_err rt__session_mkdir(const char *dir, rt_error *err) {
  if (!dir || !*dir) dir = RT__DIR_DEFAULT;
  char *path = strdup(dir);
  if (!path) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_err rc = RT_OK;
  for (char *at = path + 1; rc == RT_OK; at++) {
    if (*at != '/' && *at != '\0') continue;
    char kept = *at;
    *at = '\0';
    struct stat st;
    if (mkdir(path, 0777) != 0 && errno != EEXIST) {
      int code = errno;
      if (stat(path, &st) != 0) rc = mkdir_fail(path, code, err);
    }
    *at = kept;
    if (kept == '\0') break;
  }
  free(path);
  return rc;
}

static struct flock whole_file(short type) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
  return lock;
}

static pid_t read_pid(int fd) {
  char text[32] = "";
  ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
  return got > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* The number of the owner, and what it waits for. In one write: who reads
 * meanwhile sees a number. */
static bool write_owner(int fd, const char *words) {
  char text[400];
  int size = snprintf(text, sizeof(text), "%ld\n%.300s%s", (long)getpid(),
                      words ? words : "", words ? "\n" : "");
  return pwrite(fd, text, (size_t)size, 0) == size && ftruncate(fd, size) == 0;
}

/* The file may have been removed between open and lock: then what is locked
 * is nobody's, and the one that has the name now is tried. */
static bool still_named(int fd, const char *path) {
  struct stat a, b;
  return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
         a.st_dev == b.st_dev;
}

static rt_err take(int *fd, const char *path, const char *name, bool *died,
                   rt_error *err) {
  for (;;) {
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (file < 0) {
      int code = errno;
      return rt_fail(err,
                     code == EACCES || code == EROFS || code == EPERM
                         ? RT_EPERM
                         : RT_EUNAVAIL,
                     "cannot write %s: %s", path, strerror(code));
    }
    struct flock lock = whole_file(F_WRLCK);
    if (fcntl(file, F_OFD_SETLK, &lock) != 0) {
      int code = errno;
      pid_t owner = read_pid(file);
      close(file);
      if (code != EAGAIN && code != EACCES) {
        return rt_fail(err, RT_EUNAVAIL, "cannot lock %s: %s", path,
                       strerror(code));
      }
      return rt_fail(err, RT_ECONFLICT, "session '%s' is open in process %ld%s",
                     name, (long)owner, owner == getpid() ? ", this one" : "");
    }
    if (still_named(file, path)) {
      if (died) *died = read_pid(file) != 0;
      if (write_owner(file, NULL)) {
        *fd = file;
        return RT_OK;
      }
      int code = errno; /* a death of ours could not be told from an end */
      close(file);
      return rt_fail(err, RT_EUNAVAIL, "cannot write %s: %s", path,
                     strerror(code));
    }
    close(file);
  }
}

rt_err rt__owner_take(int *fd, const char *dir, const char *name, bool *died,
                      rt_error *err) {
  *fd = -1;
  char *path = rt__session_path(dir, name, ".lock");
  if (!path) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_err rc = take(fd, path, name, died, err);
  free(path);
  return rc;
}

void rt__owner_release(int fd, bool clean) {
  if (fd < 0) return;
  /* the lock decides, not the text */
  if (clean && ftruncate(fd, 0) != 0) errno = 0;
  close(fd);
}

void rt__owner_tell(int fd, const char *words) {
  /* What does not fit on the disk is not told. */
  if (fd >= 0 && !write_owner(fd, words)) errno = 0;
}

char *rt__owner_told(const char *dir, const char *name) {
  char text[400] = "";
  if (rt__owner_of(dir, name) == 0) return NULL;
  char *path = rt__session_path(dir, name, ".lock");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  free(path);
  if (fd < 0) return NULL;
  ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
  close(fd);
  char *words = got > 0 ? strchr(text, '\n') : NULL;
  if (!words || !words[1]) return NULL;
  words++;
  words[strcspn(words, "\n")] = '\0';
  return strdup(words);
}

pid_t rt__owner_of(const char *dir, const char *name) {
  char *path = rt__session_path(dir, name, ".lock");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  free(path);
  if (fd < 0) return 0;
  struct flock lock = whole_file(F_RDLCK);
  bool free_now = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
  pid_t owner = free_now ? 0 : read_pid(fd);
  if (!free_now && owner == 0) owner = -1; /* between locking and writing */
  close(fd);
  return owner;
}
