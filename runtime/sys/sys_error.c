/* sys_error.c - which kind of failure an errno is.
 * SPDX-License-Identifier: MIT */
#include "sys/sys_error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

rt_err rt__sys_code(int number) {
  switch (abs(number)) {
  case 0:
    return RT_OK;
  case ENOENT:
  case ENOTDIR:
  case ESRCH:
    return RT_ENOTFOUND;
  case EEXIST:
    return RT_EEXIST;
  case ENOTEMPTY:
  case EBUSY:
  case ETXTBSY:
    return RT_ECONFLICT;
  case EACCES:
  case EPERM:
  case EROFS:
    return RT_EPERM;
  case EINVAL:
  case EISDIR:
  case ENAMETOOLONG:
  case ELOOP:
  case EXDEV:
  case EBADF:
  case ENOEXEC:
  case E2BIG:
  case ESPIPE:
    return RT_EINVAL;
  case EAGAIN:
  case EMFILE:
  case ENFILE:
  case ENOSPC:
  case EDQUOT:
  case EPIPE:
  case ENXIO:
    return RT_EUNAVAIL;
  case ETIMEDOUT:
    return RT_ETIMEOUT;
  case ECANCELED:
    return RT_ECANCELED;
  case ENOMEM:
    return RT_ENOMEM;
  default:
    return RT_EUNKNOWN;
  }
}

rt_err rt__sys_fail(rt_error *err, int number, const char *fmt, ...) {
  char message[400], text[100];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof(message), fmt, args);
  va_end(args);
  /* the GNU form: it may or may not use the room */
  const char *words = strerror_r(abs(number), text, sizeof(text));
  return rt_fail(err, rt__sys_code(number), "%s: %s", message, words);
}
