/* rt/process.h - processes, in Lua and in C, as seen from C.
 *
 * A process is an isolated unit of Lua code in one of the runtime's VMs, with
 * a PID. Processes exchange copied messages. [any] marks calls any thread may
 * make; those that [wait] not on a thread of the runtime or of its loop. [own]:
 * who gets it releases it; [borrowed]: it is looked at, and copied or
 * referenced where it is needed for longer.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT_PROCESS_H
#define RT_PROCESS_H

#include "rt/runtime.h"

RT_BEGIN_DECL

/* 0 is no process. Ids are not used again. */
typedef uint64_t rt_pid;
#define RT_PID_TEXT 32

/* [any] The PID as scripts see it, and back (0 when `text` is no PID). */
RT_API void rt_pid_text(rt_pid pid, char out[RT_PID_TEXT]);
RT_API rt_pid rt_pid_parse(const char *text);

/* How a process ended: `result` [own] is its first result, or NULL with what
 * went wrong in `error` (a map {message, kind, retryable, stack}) [own]. */
typedef void (*rt_exit_fn)(rt_pid pid, rt_value *result, rt_value *error,
                           void *arg);

/* [any] Start a process. `source`: a path (with "/" or ".lua") or a module
 * name; `args` [borrowed]: an array of arguments or NULL; `on_exit` (may be
 * NULL) is called once, on a worker's thread or the host's (see rt/runtime.h),
 * and must not wait. RT_EINVAL: no source; RT_EUNAVAIL: no room; RT_ECLOSED:
 * the runtime is stopping; on failure `*out` is 0 and `on_exit` is not called.
 */
RT_API rt_err rt_process_spawn(rt_runtime *rt, rt_pid *out, const char *source,
                               const rt_value *args, rt_exit_fn on_exit,
                               void *arg, rt_error *err);
/* [any] The same with `size` bytes of Lua text, which are copied, shown as
 * `name` in error messages. RT_EINVAL: no code; else as above. */
RT_API rt_err rt_process_spawn_code(rt_runtime *rt, rt_pid *out,
                                    const char *code, size_t size,
                                    const char *name, const rt_value *args,
                                    rt_exit_fn on_exit, void *arg,
                                    rt_error *err);
/* [any, waits] The same, and wait for its end: `*result` [own] is its first
 * result, or NULL. What it failed with is answered as it is: the code of its
 * kind, its message in `err`. After `timeout` seconds (negative: none) it is
 * terminated: RT_ETIMEOUT. RT_EINVAL also on the thread of the host's loop;
 * RT_ECANCELED, RT_ECLOSED: the runtime stops. */
RT_API rt_err rt_process_exec(rt_runtime *rt, rt_value **result,
                              const char *source, const rt_value *args,
                              double timeout, rt_error *err);
RT_API rt_err rt_process_exec_code(rt_runtime *rt, rt_value **result,
                                   const char *code, size_t size,
                                   const char *name, const rt_value *args,
                                   double timeout, rt_error *err);
/* [any] Send a message, from nobody; `payloads` [borrowed] is an array of
 * values or NULL. RT_ENOTFOUND: no such process; RT_EINVAL: a reserved topic
 * ("@..."), or more than 4,000 payloads; RT_EFULL: it has 64 MiB of messages
 * that it did not read, or less when all processes of its VM together did not
 * read a quarter of `vm_memory`. */
RT_API rt_err rt_process_send(rt_runtime *rt, rt_pid to, const char *topic,
                              const rt_value *payloads, rt_error *err);
/* [any] The same in the name of `from`, which the receiver may answer; RT_E...
 * as above. */
RT_API rt_err rt_process_send_as(rt_runtime *rt, rt_pid from, rt_pid to,
                                 const char *topic, const rt_value *payloads,
                                 rt_error *err);
/* [any] The process registered under `name`, or 0. */
RT_API rt_pid rt_process_lookup(rt_runtime *rt, const char *name);
/* [any] Give a living process, in Lua or in C, one more name, which it has
 * until it ends. RT_EINVAL: empty, or beginning with "{"; RT_EEXIST: taken;
 * RT_ENOTFOUND: no such process; RT_ENOMEM. */
RT_API rt_err rt_process_register(rt_runtime *rt, rt_pid pid, const char *name,
                                  rt_error *err);
/* [any] Take it away again. RT_ENOTFOUND: it is no name of this process. */
RT_API rt_err rt_process_unregister(rt_runtime *rt, rt_pid pid,
                                    const char *name);
/* [any] Ask to end (delivers CANCEL; `reason` may be NULL), or end, also in a
 * tight loop. RT_ENOTFOUND: no such process. */
RT_API rt_err rt_process_cancel(rt_runtime *rt, rt_pid pid, const char *reason);
RT_API rt_err rt_process_terminate(rt_runtime *rt, rt_pid pid);

/* --- processes in C -------------------------------------------------------
 * A process may also be code of the host: it has a PID like any other, can be
 * sent to, linked, monitored and registered from Lua, and reads its mail in a
 * callback or by waiting for it. */

typedef enum rt_mail_kind {
  RT_MAIL_MESSAGE,
  RT_MAIL_EXIT,      /* a process it monitors has ended */
  RT_MAIL_LINK_DOWN, /* a linked one has */
  RT_MAIL_CANCEL     /* it is asked to end */
} rt_mail_kind;

typedef struct rt_mail {
  rt_mail_kind kind;
  rt_pid from;       /* 0: nobody */
  const char *topic; /* of a message, else "" */
  /* An array, or NULL. EXIT, LINK_DOWN: [result, error]; CANCEL: [reason]. */
  const rt_value *payloads;
} rt_mail;

/* One piece of mail [borrowed], in order, one at a time: on a worker's thread,
 * always the same for a process, or on the host's. It must not wait. */
typedef void (*rt_receive_fn)(rt_runtime *rt, rt_pid self, const rt_mail *mail,
                              void *arg);

typedef struct rt_process_opts {
  size_t size;           /* sizeof(rt_process_opts) as compiled */
  const char *name;      /* to be registered under, or NULL */
  rt_receive_fn receive; /* NULL: mail waits for rt_process_receive() */
  void *arg;
  /* Called once nothing is received any more and `arg` may be released, on the
   * thread that ends the process, that frees the runtime, or of its last
   * callback. NULL: not called. */
  void (*ended)(rt_pid self, void *arg);
  bool keeps; /* while it lives, a main script that waits is not done */
} rt_process_opts;
#define RT_PROCESS_OPTS_INIT                                                   \
  { sizeof(rt_process_opts), NULL, NULL, NULL, NULL, false }

/* [any] Start a process in C. RT_EEXIST: the name is taken; RT_EINVAL: it is
 * none; RT_ECLOSED: the runtime stops; RT_ENOMEM. On failure `*out` is 0 and
 * `ended` not called. */
RT_API rt_err rt_process_start(rt_runtime *rt, rt_pid *out,
                               const rt_process_opts *opts, rt_error *err);
/* [any] End a process in C: with a result [borrowed] or NULL, or, when
 * `failure` [borrowed] is not NULL, with that error. Monitors and links are
 * told; mail that was not received is dropped. RT_ENOTFOUND: it is none, or has
 * ended. */
RT_API rt_err rt_process_end(rt_runtime *rt, rt_pid pid, const rt_value *result,
                             const rt_error *failure);
/* [any, waits] The next mail of a process in C without a callback; `*out` [own]
 * goes to rt_mail_free(). RT_ETIMEOUT after `timeout` seconds (negative: none);
 * RT_ECLOSED: it has ended; RT_EINVAL: it has a callback, or is none in C.
 * Else than RT_OK, `*out` is NULL. */
RT_API rt_err rt_process_receive(rt_runtime *rt, rt_pid pid, double timeout,
                                 rt_mail **out, rt_error *err);
/* [any] Release it; NULL is allowed. */
RT_API void rt_mail_free(rt_mail *mail);
/* [any] Let a process in C hear when another ends (at once, when it has), or
 * no more. RT_ENOTFOUND: `watcher` is no process in C. */
RT_API rt_err rt_process_monitor(rt_runtime *rt, rt_pid watcher, rt_pid pid);
RT_API rt_err rt_process_unmonitor(rt_runtime *rt, rt_pid watcher, rt_pid pid);

RT_END_DECL
#endif
