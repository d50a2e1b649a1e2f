/* fault.c - what errno means to a caller (net/fault.h).
 *
 * SPDX-License-Identifier: MIT */
#include "net/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <uv.h>

typedef struct meaning {
  int number;
  rt_err code;
  bool retryable;
} meaning;

/* A refused connection is an answer, not an accident: asking again at once
 * will not change it. What passes by itself is retryable. */
static const meaning meanings[] = {
    {ECONNREFUSED, RT_EUNAVAIL, false}, {ECONNRESET, RT_EUNAVAIL, true},
    {EPIPE, RT_EUNAVAIL, true},         {ECONNABORTED, RT_EUNAVAIL, true},
    {ETIMEDOUT, RT_ETIMEOUT, true},     {EHOSTUNREACH, RT_EUNAVAIL, false},
    {ENETUNREACH, RT_EUNAVAIL, false},  {EHOSTDOWN, RT_EUNAVAIL, false},
    {ENETDOWN, RT_EUNAVAIL, true},      {EADDRINUSE, RT_ECONFLICT, false},
    {EADDRNOTAVAIL, RT_EUNAVAIL, true}, {EACCES, RT_EPERM, false},
    {EPERM, RT_EPERM, false},           {EMFILE, RT_EUNAVAIL, true},
    {ENFILE, RT_EUNAVAIL, true},        {ENOBUFS, RT_EUNAVAIL, true},
    {ENOMEM, RT_ENOMEM, true},          {EINVAL, RT_EINVAL, false},
    {EMSGSIZE, RT_EINVAL, false},       {EAFNOSUPPORT, RT_EUNAVAIL, false},
};

rt_err rt__net_fault(rt_error *err, int code, const char *fmt, ...) {
  int number = code < 0 ? -code : code;
  meaning found = {number, RT_EUNKNOWN, false};
  char what[300];
  va_list args;
  for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
    if (meanings[i].number == number) found = meanings[i];
  va_start(args, fmt);
  vsnprintf(what, sizeof(what), fmt, args);
  va_end(args);
  rt_fail(err, found.code, "%s: %s", what, uv_strerror(-number));
  if (err) err->retryable = found.retryable;
  return found.code;
}
