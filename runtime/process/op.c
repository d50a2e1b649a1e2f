/* op.c - operations: one wait of a fiber on something outside of Lua.
 *
 *   new --await--> awaited --end--> its fiber is woken, takes the results
 *    \--end--> kept until it is awaited      \--timeout--> detached, cancelled
 *
 * A detached operation belongs to nobody and is released when it ends. One that
 * its binding did not return (it raised an error before it had started it) has
 * not begun: it is the newest of its process, and goes when the fiber stops.
 *
 * SPDX-License-Identifier: MIT */
#include "process/op.h"

#include <stdlib.h>

#include "process/late.h"
#include "process/sched.h"

void *rt__op_new(lua_State *L, size_t size, const rt__op_type *type) {
  rt__process *process = rt__process_of(L);
  if (!process) luaL_error(L, "%s: only a process may wait", type->name);
  if (process->nowait) luaL_error(L, "%s: may not wait here", type->name);
  rt__op *op = calloc(1, size);
  if (!op) luaL_error(L, "%s: out of memory", type->name);
  op->type = type;
  op->worker = process->vm->worker;
  op->process = process;
  op->next = process->ops;
  if (op->next) op->next->prev = op;
  process->ops = op;
  op->worker->ops++;
  return op;
}

/* Pinning its object may raise; it has begun by then. */
int rt__op_return(lua_State *L, rt__op *op) {
  op->begun = true;
  if (!op->ended && !op->anchor && lua_type(L, 1) == LUA_TUSERDATA) {
    lua_pushvalue(L, 1);
    op->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  lua_pushlightuserdata(L, op);
  return 1;
}

void rt__op_fail(rt__op *op, const rt_error *err) {
  op->failed = true;
  op->error = *err;
}

static void unlink_op(rt__op *op) {
  if (op->process && op->anchor)
    luaL_unref(op->process->vm->L, LUA_REGISTRYINDEX, op->anchor);
  op->anchor = 0;
  if (op->prev)
    op->prev->next = op->next;
  else if (op->process)
    op->process->ops = op->next;
  if (op->next) op->next->prev = op->prev;
  op->prev = op->next = NULL;
  op->process = NULL;
}

static void free_op(rt__op *op) {
  unlink_op(op);
  if (op->type->release) op->type->release(op);
  free(op);
}

void rt__op_end(rt__op *op) {
  if (op->ended) return;
  op->ended = true;
  op->worker->ops--;
  if (op->detached) {
    if (!op->canceled) free_op(op); /* else rt__op_detach() does */
    return;
  }
  rt__fiber *fiber = op->fiber;
  if (fiber) rt__fiber_wake(fiber);
}

void rt__op_run_end(rt__worker *worker, rt__task *task) {
  (void)worker;
  rt__op_end((rt__op *)((char *)task - offsetof(rt__op, task)));
}

void rt__op_post(rt__op *op) {
  op->task.run = rt__op_run_end;
  rt__worker_post(op->worker, &op->task);
}

/* Its process, which it belonged to, has ended long ago. */
static void release_late(rt__worker *none, rt__task *task) {
  rt__op *op = (rt__op *)((char *)task - offsetof(rt__op, task));
  (void)none;
  if (op->type->release) op->type->release(op);
  free(op);
}

void rt__op_post_late(rt__op *op, rt__late *late) {
  op->task.run = rt__op_run_end;
  rt__late_post(late, op->worker, &op->task, release_late);
}

/* Nobody waits for it any more. `canceled` guards against an end from inside
 * `cancel`, which must not free what is still in use here. What has not begun
 * has nothing to be cancelled. */
void rt__op_detach(rt__op *op) {
  unlink_op(op);
  op->fiber = NULL;
  op->detached = true;
  if (!op->begun && !op->ended) {
    op->ended = true;
    op->worker->ops--;
  }
  if (!op->ended && op->type->cancel) {
    op->canceled = true;
    op->type->cancel(op);
    op->canceled = false;
  }
  if (op->ended) free_op(op);
}

void rt__ops_sweep(rt__process *process) {
  while (process->ops && !process->ops->begun) rt__op_detach(process->ops);
}

void rt__ops_drop(rt__process *process) {
  while (process->ops) rt__op_detach(process->ops);
}

bool rt__op_await(lua_State *L, rt__op *op, double timeout) {
  rt__fiber *fiber = rt__fiber_of(L);
  if (op->ended) return false;
  op->fiber = fiber;
  fiber->op = op;
  fiber->parking = true;
  fiber->woken = fiber->timed_out = false;
  if (timeout >= 0 &&
      rt__timer_start(op->worker, &fiber->timer, timeout) != RT_OK) {
    fiber->parking = false;
    luaL_error(L, "%s: out of memory", op->type->name);
  }
  return true;
}

/* The results are taken while the operation is still listed, so that an error
 * in `push` leaves it to the end of the process. */
int rt__op_take(lua_State *L, rt__op *op) {
  rt__fiber *fiber = op->fiber;
  if (fiber) fiber->op = NULL;
  if (!op->ended) {
    rt_error err = RT_ERROR_INIT;
    rt_fail(&err, RT_ETIMEOUT, "%s: timed out", op->type->name);
    err.retryable = true;
    rt__op_detach(op);
    return rt__lua_fail(L, &err);
  }
  int count = 1;
  if (op->failed)
    count = rt__lua_fail(L, &op->error);
  else if (op->type->push)
    count = op->type->push(L, op);
  else
    lua_pushboolean(L, 1);
  free_op(op);
  return count;
}
