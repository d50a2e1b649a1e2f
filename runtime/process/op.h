/* process/op.h - an operation: one wait of a Lua coroutine on something.
 *
 * A binding starts an operation and returns it to the library, which awaits it:
 *
 *   C:    static int l_connect(lua_State *L) {
 *           connect_op *op = rt__op_new(L, sizeof(*op), &connect_type);
 *           ... start; on failure rt__op_fail(&op->op, &err) ...
 *           return rt__op_return(L, &op->op);          // pushes it
 *         }
 *   Lua:  return task.await(core.connect(host, port), timeout)
 *
 * It ends once: rt__op_end() on the worker's thread, or rt__op_post() from any
 * thread. Then `push` puts its results on the coroutine's stack (or nil and
 * the error after rt__op_fail()), and `release` frees what it holds. A timeout
 * or the end of the process calls `cancel`; the operation must still end once,
 * now or later, and its results then go nowhere. An operation is a hold of the
 * runtime while it has not ended.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__PROCESS_OP_H
#define RT__PROCESS_OP_H

#include "process/worker.h"

typedef struct rt__op rt__op;

typedef struct rt__op_type {
  const char *name;
  /* Stop early. May end the operation before it returns. NULL: cannot. */
  void (*cancel)(rt__op *op);
  /* Push the results, return their number. NULL: pushes true. */
  int (*push)(lua_State *L, rt__op *op);
  /* Release what the operation holds (not the operation). NULL: nothing. */
  void (*release)(rt__op *op);
} rt__op_type;

struct rt__op {
  const rt__op_type *type;
  rt__worker *worker;
  /* all else is private to process/op.c */
  rt__task task;
  rt__process *process; /* NULL once that has ended */
  void *fiber;          /* who awaits it; NULL: nobody */
  rt__op *prev, *next;
  rt_error error;
  int anchor; /* ref of the object it was asked of, 0: none */
  bool begun; /* it was returned to the library */
  bool failed, ended, detached, canceled;
};

/* A zeroed operation of `size` bytes (rt__op is its first member) for the
 * running process. Raises a Lua error when memory is short. Until it is started
 * the binding may raise, too, or leave it: an operation that was not returned
 * is released, without `cancel`, when its coroutine stops. From its start to
 * rt__op_return() nothing may raise. */
void *rt__op_new(lua_State *L, size_t size, const rt__op_type *type);
/* Push it for the library; returns 1. An object that is the first argument is
 * kept until the operation is over: it may be all that the script waits on. */
int rt__op_return(lua_State *L, rt__op *op);
/* Note a failure; the operation ends with nil and this error. */
void rt__op_fail(rt__op *op, const rt_error *err);
/* Worker thread: it has ended. */
void rt__op_end(rt__op *op);
/* [any] It has ended; wakes its worker. With `late` (process/late.h) also when
 * the runtime is gone: then it is released. */
void rt__op_post(rt__op *op);
struct rt__late;
void rt__op_post_late(rt__op *op, struct rt__late *late);

#endif
