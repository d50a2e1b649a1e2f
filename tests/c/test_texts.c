/* test_texts.c - source texts that a VM keeps are bounded, in number and bytes.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "process/sched.h"
#include "runner.h"

/* (dir): a text is kept once its file has settled. Answers what was most. */
static const char code[] =
    "local dir = ...\n"
    "local texts = require('rt.texts')\n"
    "local text = ('-'):rep(400 * 1024)\n"
    "local function write(name, content)\n"
    "  local file = assert(io.open(dir .. '/' .. name, 'w'))\n"
    "  file:write(content)\n"
    "  file:close()\n"
    "  return dir .. '/' .. name\n"
    "end\n"
    "local paths = {}\n"
    "for i = 1, 24 do paths[i] = write('part' .. i, text .. i) end\n"
    "local large = write('large', text:rep(4))\n"
    "local most, at_once, stop = 0, 0, os.time() + 60\n"
    "repeat\n"
    "  for i, path in ipairs(paths) do\n"
    "    assert(texts.get(path) == text .. i)\n"
    "    local count, bytes = texts.kept()\n"
    "    most, at_once = math.max(most, bytes), math.max(at_once, count)\n"
    "  end\n"
    "until at_once >= 8 or os.time() > stop\n"
    "local count = texts.kept()\n"
    "assert(#texts.get(large) == 4 * #text)\n"
    "assert(texts.kept() == count, 'the large one is kept')\n"
    "for _, path in ipairs(paths) do os.remove(path) end\n"
    "os.remove(large)\n"
    "assert(texts.get(paths[24]) == nil)\n"
    "return most, at_once\n";

typedef struct look {
  rt__task task;
  char dir[64];
  double most, at_once;
  atomic_bool done;
} look;

static int call(lua_State *L) {
  look *k = lua_touserdata(L, 1);
  if (luaL_loadstring(L, code) != 0) return lua_error(L);
  lua_pushstring(L, k->dir);
  lua_call(L, 1, 2);
  k->most = lua_tonumber(L, -2);
  k->at_once = lua_tonumber(L, -1);
  return 0;
}

static void run(rt__worker *worker, rt__task *task) {
  look *k = (look *)task;
  rt__vm *vm = worker->vm;
  vm->shielded = true;
  if (lua_cpcall(vm->L, call, k) != 0) {
    print_error("%s\n", lua_tostring(vm->L, -1));
    lua_pop(vm->L, 1);
  }
  vm->shielded = false;
  atomic_store(&k->done, true);
}

static void they_are_bounded(void **state) {
  (void)state;
  runner *r = runner_new(1, 0);
  look k = {.task = {NULL, run}, .dir = "/tmp/texts-XXXXXX"};
  uint64_t end = uv_hrtime() + 90u * 1000000000ull;
  assert_non_null(mkdtemp(k.dir));
  rt__worker_post(rt__runtime_worker(runner_runtime(r), 0), &k.task);
  while (!atomic_load(&k.done) && uv_hrtime() < end) uv_sleep(2);
  assert_true(atomic_load(&k.done));
  assert_true(k.at_once >= 8);
  assert_true(k.most >= 2 << 20);
  assert_true(k.most <= 4 << 20);
  assert_int_equal(rmdir(k.dir), 0);
  runner_free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(they_are_bounded)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
