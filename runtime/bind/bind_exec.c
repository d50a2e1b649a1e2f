/* bind_exec.c - rt.core.exec: programs as operations (sys/exec.h).
 * lua/exec.lua checks arguments. SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "process/fence.h"
#include "process/op.h"
#include "process/sched.h"
#include "sys/exec.h"

int rt__open_exec(lua_State *L);

extern char **environ;

typedef struct exec_op {
  rt__op op;
  rt__exec exec;
  rt_runtime *rt;
  char *input;
  rt__legacy legacy; /* while the program may run */
} exec_op;

static void on_done(rt__exec *exec) {
  exec_op *op = exec->arg;
  rt__legacy_remove(op->op.worker, &op->legacy);
  if (exec->rc != RT_OK) rt__op_fail(&op->op, &exec->error);
  rt__op_end(&op->op);
}

static void on_forward(rt__exec *exec, int fd, const char *data, size_t size) {
  rt__runtime_output(((exec_op *)exec->arg)->rt, fd, data, size);
}

static void cancel(rt__op *base) {
  exec_op *op = (exec_op *)base;
  rt__legacy_remove(base->worker, &op->legacy);
  rt__exec_kill(&op->exec);
}

static void lost(rt__legacy *legacy) {
  exec_op *op = (exec_op *)((char *)legacy - offsetof(exec_op, legacy));
  rt__child_kill(&op->exec.child, SIGKILL);
}

/* -> code, signal (0: none), stdout, stderr */
static int push(lua_State *L, rt__op *op) {
  const rt__exec *x = &((exec_op *)op)->exec;
  lua_pushinteger(L, x->code);
  lua_pushinteger(L, x->signal);
  for (int i = 0; i < 2; i++)
    lua_pushlstring(L, x->out[i].data ? x->out[i].data : "", x->out[i].size);
  return 4;
}

static void release(rt__op *base) {
  exec_op *op = (exec_op *)base;
  rt__exec_deinit(&op->exec);
  free(op->input);
}

static const rt__op_type exec_type = {"exec", cancel, push, release};

/* The strings of the list at `index`, NULL behind the last; pushes the memory.
 * They live as long as the list. */
static char **push_strings(lua_State *L, int index) {
  size_t n = lua_objlen(L, index);
  const char **list = lua_newuserdata(L, (n + 1) * sizeof(*list));
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, index, (int)i + 1);
    list[i] = luaL_checkstring(L, -1);
    lua_pop(L, 1);
  }
  list[n] = NULL;
  return (char **)list;
}

static bool take_input(lua_State *L, int index, exec_op *op) {
  size_t size;
  const char *input = lua_tolstring(L, index, &size);
  if (!input) return true;
  op->input = malloc(size + 1);
  if (!op->input) return false;
  memcpy(op->input, input, size);
  op->exec.input = op->input;
  op->exec.input_size = size;
  return true;
}

/* run(file, argv, env | nil, cwd | nil, input | nil, max, forwards) -> op.
 * `forwards`: 2 for stdout plus 4 for stderr, which then go where print goes.
 */
static int l_run(lua_State *L) {
  rt_error err = RT_ERROR_INIT;
  rt__child_spec spec = {0};
  spec.file = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  spec.cwd = luaL_optstring(L, 4, NULL);
  size_t max = (size_t)luaL_checknumber(L, 6);
  unsigned forwards = (unsigned)luaL_checkinteger(L, 7);
  spec.argv = push_strings(L, 2);
  if (lua_istable(L, 3)) spec.envp = push_strings(L, 3);
  exec_op *op = rt__op_new(L, sizeof(*op), &exec_type);
  op->rt = rt__runtime_of(L);
  op->exec.max = max;
  op->exec.done = on_done;
  op->exec.arg = op;
  op->exec.forwards = forwards;
  op->exec.forward = on_forward;
  rt_err rc = RT_OK;
  if (!rt__fence_lets_run(rt__fence_of(L), spec.file, &err))
    rc = RT_EPERM;
  else if (!take_input(L, 5, op))
    rc = rt_fail(&err, RT_ENOMEM, "exec: no memory");
  else
    rc = rt__exec_start(&op->exec, rt__worker_loop(op->op.worker), &spec, &err);
  op->legacy.lost = lost;
  if (rc == RT_OK) {
    rt__legacy_add(op->op.worker, &op->legacy);
  } else {
    rt__op_fail(&op->op, &err);
    rt__op_end(&op->op);
  }
  return rt__op_return(L, &op->op);
}

/* environ() -> list of "NAME=VALUE" */
static int l_environ(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; environ && environ[i]; i++) {
    lua_pushstring(L, environ[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

int rt__open_exec(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"run", l_run}, {"environ", l_environ}, {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}
