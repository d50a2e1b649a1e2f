/* process/prompt.h - the process behind an rt_prompt and what it answers.
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_PROMPT_H
#define RT__PROCESS_PROMPT_H

#include "process/sched.h"
#include "rt/prompt.h"

/* The prompt whose process is running, or NULL. Worker's thread, as below. */
rt_prompt *rt__prompt_of(lua_State *L);
/* The handle of the fiber that runs the chunk: the one a break ends. */
void rt__prompt_running(rt_prompt *prompt, double fiber);
/* The request `id` is done; `text` (may be NULL) is what it asked for. Ids of
 * the past are ignored. */
void rt__prompt_answer(rt_prompt *prompt, uint64_t id,
                       rt_prompt_outcome outcome, const char *text,
                       size_t size);

/* The runtime has stopped: no request is answered any more but so. Called under
 * the runtime's lock. */
void rt__prompts_end_locked(rt_runtime *rt);
/* [any] The worker of a process is lost, with this `on_exit` and its argument:
 * who waits for a prompt's answer has it, in these words. */
void rt__prompt_lost(rt__ended_fn fn, void *arg, const char *words);

#endif
