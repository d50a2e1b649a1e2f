/* sanitized.h - is this built with a sanitizer? Then memory is kept, and there
 * are threads that are not ours. SANITIZED is 1 or 0.
 * SPDX-License-Identifier: MIT */
#ifndef SANITIZED

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif
