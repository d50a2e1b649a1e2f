/* bind_stdin.c - one read of standard input as an operation (sys/stdin.h).
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "bind/bind_io.h"
#include "process/op.h"
#include "sys/stdin.h"
#include "sys/sys_error.h"

#define CHUNK 65536

typedef struct stdin_op {
  rt__op op;
  rt__stdin in;
  uv_poll_t poll;
  bool polling;
  char *data;
  size_t size;
} stdin_op;

static void on_closed(uv_handle_t *handle) {
  stdin_op *op = handle->data;
  rt__stdin_close(&op->in);
  rt__op_end(&op->op);
}

static void stop(stdin_op *op) {
  if (op->polling) {
    op->polling = false;
    uv_close((uv_handle_t *)&op->poll, on_closed);
  }
}

static void cancel(rt__op *op) {
  stop((stdin_op *)op);
}

/* Is there an outcome? */
static bool try_read(stdin_op *op) {
  rt_error err = RT_ERROR_INIT;
  ssize_t n = rt__stdin_read(&op->in, op->data, CHUNK);
  if (n == -EAGAIN) return false;
  if (n >= 0) {
    op->size = (size_t)n;
    return true;
  }
  rt__sys_fail(&err, (int)n, "io: cannot read standard input");
  rt__op_fail(&op->op, &err);
  return true;
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  stdin_op *op = poll->data;
  (void)status, (void)events;
  if (op->polling && try_read(op)) stop(op);
}

static int push(lua_State *L, rt__op *base) {
  stdin_op *op = (stdin_op *)base;
  lua_pushlstring(L, op->data, op->size);
  return 1;
}

static void release(rt__op *base) {
  free(((stdin_op *)base)->data);
}

static const rt__op_type stdin_type = {"io.read", cancel, push, release};

static bool wait(stdin_op *op) {
  uv_loop_t *loop = rt__worker_loop(op->op.worker);
  if (op->in.epoll < 0 || uv_poll_init(loop, &op->poll, op->in.epoll) < 0)
    return false;
  op->poll.data = op;
  op->polling = true;
  uv_poll_start(&op->poll, UV_READABLE, on_readable);
  return true;
}

static void fail(stdin_op *op, int number) {
  rt_error err = RT_ERROR_INIT;
  rt__sys_fail(&err, number, "io: cannot read standard input");
  rt__op_fail(&op->op, &err);
}

int rt__l_read_stdin(lua_State *L) {
  stdin_op *op = rt__op_new(L, sizeof(*op), &stdin_type);
  op->in = (rt__stdin){.fd = -1, .epoll = -1};
  op->data = malloc(CHUNK);
  int number = op->data ? rt__stdin_open(&op->in) : ENOMEM;
  if (number)
    fail(op, number);
  else if (!try_read(op)) {
    if (wait(op)) return rt__op_return(L, &op->op);
    fail(op, EAGAIN);
  }
  rt__stdin_close(&op->in);
  rt__op_end(&op->op);
  return rt__op_return(L, &op->op);
}
