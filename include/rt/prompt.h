/* rt/prompt.h - a process that runs chunks of Lua as they come.
 *
 * What an interactive prompt stands on: a process whose globals last from one
 * chunk to the next. Expressions print their values, through the runtime's
 * output like whatever the chunk prints; errors print their traceback as fd 2.
 * When the process ends (terminated, an error in one of its coroutines, out of
 * memory) the next chunk gets another one, with the same globals unless memory
 * was short. All calls are [any] thread but none of the runtime's own, nor the
 * one of the host's loop.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_PROMPT_H
#define RT_PROMPT_H

#include "rt/runtime.h"

RT_BEGIN_DECL

typedef struct rt_prompt rt_prompt;

/* What became of a chunk. */
typedef enum rt_prompt_outcome {
  RT_PROMPT_DONE,
  RT_PROMPT_FAILED, /* an error, which was printed */
  RT_PROMPT_MORE,   /* it is not complete: give it again, with more lines */
  RT_PROMPT_BROKEN, /* ended by rt_prompt_break() */
  RT_PROMPT_EXIT,   /* it called os.exit(): the program is to end */
  RT_PROMPT_CLOSED  /* the runtime is stopping */
} rt_prompt_outcome;

/* The process starts with the first chunk. `*out` [own] goes to
 * rt_prompt_close(), before rt_runtime_free(); once the runtime stops a chunk
 * that runs ends, and no other begins (RT_PROMPT_CLOSED). RT_ENOMEM: `*out` is
 * NULL. */
RT_API rt_err rt_prompt_open(rt_prompt **out, rt_runtime *rt, rt_error *err);
/* Ends the process. NULL allowed. */
RT_API void rt_prompt_close(rt_prompt *prompt);

/* [waits] Run a chunk and print its values, tables in lines of at most `width`
 * columns. One at a time. `*exit_code` (may be NULL) is set when it exits. */
RT_API rt_prompt_outcome rt_prompt_run(rt_prompt *prompt, const char *text,
                                       size_t size, unsigned width,
                                       int *exit_code);
/* End the chunk that is running, also in an endless loop, and print where it
 * was; globals stay. Does nothing when none runs. */
RT_API void rt_prompt_break(rt_prompt *prompt);
/* [waits] What the last word of `text` may go on as: *out is text of whole
 * words, sorted, one a line, [own] and for rt_free(); "" when there are none.
 * Runs no code of the user's. RT_ETIMEOUT when the process is busy; RT_ECLOSED:
 * the runtime stops; RT_ENOMEM. On failure *out is NULL. */
RT_API rt_err rt_prompt_complete(rt_prompt *prompt, const char *text,
                                 size_t size, char **out, rt_error *err);

RT_END_DECL
#endif
