/* rt/status.h - result codes and error text, used by every other header.
 *
 * A call that can fail returns rt_err: RT_OK (0) or a negative code on which a
 * caller may act. The words go into an optional rt_error, which the caller
 * owns and which no call keeps. Both are plain data: any thread may use its
 * own.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_STATUS_H
#define RT_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define RT_BEGIN_DECL extern "C" {
#define RT_END_DECL   }
#else
#define RT_BEGIN_DECL
#define RT_END_DECL
#endif

#if defined(__GNUC__)
#define RT_API               __attribute__((visibility("default")))
#define RT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define RT_API
#define RT_PRINTF(fmt, args)
#endif

#define RT_VERSION_MAJOR  0
#define RT_VERSION_MINOR  1
#define RT_VERSION_PATCH  0
#define RT_VERSION_STRING "0.1.0"

RT_BEGIN_DECL

/* X(name, number, kind seen by scripts, text) */
#define RT_STATUS_MAP(X)                                                       \
  X(OK, 0, "", "success")                                                      \
  X(EUNKNOWN, -1, "UNKNOWN", "unknown error")                                  \
  X(EINVAL, -2, "INVALID", "invalid argument")                                 \
  X(ENOTFOUND, -3, "NOT_FOUND", "not found")                                   \
  X(EEXIST, -4, "ALREADY_EXISTS", "already exists")                            \
  X(EPERM, -5, "PERMISSION_DENIED", "permission denied")                       \
  X(EUNAVAIL, -6, "UNAVAILABLE", "unavailable")                                \
  X(EINTERNAL, -7, "INTERNAL", "internal error")                               \
  X(ECANCELED, -8, "CANCELED", "canceled")                                     \
  X(ECONFLICT, -9, "CONFLICT", "conflict")                                     \
  X(ETIMEOUT, -10, "TIMEOUT", "timed out")                                     \
  X(ERATE, -11, "RATE_LIMITED", "rate limited")                                \
  X(EFULL, -12, "UNAVAILABLE", "queue is full")                                \
  X(ECLOSED, -13, "CANCELED", "closed")                                        \
  X(ENOMEM, -14, "INTERNAL", "out of memory")

typedef enum rt_err {
#define RT_STATUS_ENUM(name, number, kind, text) RT_##name = number,
  RT_STATUS_MAP(RT_STATUS_ENUM)
#undef RT_STATUS_ENUM
} rt_err;

/* Why a call failed. `retryable` tells whether the same call may succeed
 * later. `message` is always terminated; long text is cut. */
typedef struct rt_error {
  rt_err code;
  bool retryable;
  char message[500];
} rt_error;
#define RT_ERROR_INIT                                                          \
  {                                                                            \
    RT_OK, false, {                                                            \
      0                                                                        \
    }                                                                          \
  }

/* [any] The library's version, e.g. "0.1.0"; static storage. */
RT_API const char *rt_version(void);
/* [any] Which LuaJIT it is built with: "bundled", or "packaged" (make
 * LUAJIT=system), with which a long pattern match cannot be stopped; static
 * storage. */
RT_API const char *rt_luajit(void);
/* [any] The text of a code, and its kind as scripts see it ("NOT_FOUND");
 * static storage, never NULL. */
RT_API const char *rt_status_text(rt_err code);
RT_API const char *rt_status_kind(rt_err code);
/* [any] The code whose kind is `kind`; RT_EUNKNOWN when there is none. */
RT_API rt_err rt_status_from_kind(const char *kind);
/* [any] Fill `err` (may be NULL) and return `code`, RT_E... or RT_OK. A message
 * given to rt_fail_context() is put in front of what `err` says already, and
 * the code of `err` is kept and returned (RT_EUNKNOWN when `err` is NULL). */
RT_API rt_err rt_fail(rt_error *err, rt_err code, const char *fmt, ...)
    RT_PRINTF(3, 4);
RT_API rt_err rt_fail_context(rt_error *err, const char *fmt, ...)
    RT_PRINTF(2, 3);
/* [any] Release memory that a call of this library says to release so. */
RT_API void rt_free(void *memory);

RT_END_DECL
#endif
