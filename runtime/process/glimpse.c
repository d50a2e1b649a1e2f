/* glimpse.c - where a script is that another thread runs just now.
 *
 * The thread is stuck in C code, so its Lua state should hold still; but it may
 * come back at any instant. So nothing is followed: each piece is copied by the
 * system, which fails where there is no memory, and what was read is checked or
 * only shown. What comes out may be nothing, never a crash.
 *
 * Any thread. SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "process/sched.h"

#ifndef RT_LUAJIT_SYSTEM
#include <lj_obj.h> /* the others need it */

#include <lj_bc.h>
#include <lj_frame.h>
#include <lj_jit.h>

#include <lj_dispatch.h>
#endif

#if defined(RT_LUAJIT_SYSTEM) || !LJ_GC64 || !LJ_HASJIT

bool rt__glimpse(const rt__vm *vm, char *text, size_t room) {
  (void)vm, (void)text, (void)room;
  return false;
}

#else

#define LEVELS 64

/* Where a sandbox forbids the one there is the other. */
static bool peek_file(void *to, const void *from, size_t size) {
  int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool got = pread(fd, to, size, (off_t)(uintptr_t)from) == (ssize_t)size;
  close(fd);
  return got;
}

static bool peek(void *to, const void *from, size_t size) {
  struct iovec here = {to, size}, there = {(void *)from, size};
  ssize_t got = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
  if (got < 0 && (errno == EPERM || errno == ENOSYS))
    return peek_file(to, from, size);
  return got == (ssize_t)size;
}

/* Its chunk's name as shown in messages, of a long path the end; false: there
 * is none, or it is the library's. */
static bool chunk_of(const GCproto *pt, char *name, size_t room) {
  const GCstr *at = (const GCstr *)gcref(pt->chunkname);
  const char *chars = (const char *)(at + 1);
  GCstr head;
  char text[64] = "";
  if (!at || !peek(&head, at, sizeof(head))) return false;
  size_t size = head.len < sizeof(text) - 1 ? head.len : sizeof(text) - 1;
  if (size < 2 || !peek(text, chars, size)) return false;
  bool cut = *text == '@' && head.len > size;
  if (cut && !peek(text + 1, chars + head.len - size + 1, size - 1))
    return false;
  if (strncmp(text, "=rt/", 4) == 0) return false;
  for (char *c = text; *c; c++)
    if ((unsigned char)*c < ' ') *c = ' ';
  if (*text == '@' || *text == '=')
    snprintf(name, room, "%s%s", cut ? "..." : "", text + 1);
  else
    snprintf(name, room, "[string \"%.40s\"]", text);
  return true;
}

/* As lj_debug_line(), of the instruction before `pc`. */
static BCLine line_of(const GCproto *pt, const GCproto *at, const BCIns *pc) {
  const BCIns *code = (const BCIns *)((const char *)at + sizeof(GCproto));
  const char *info = mref(pt->lineinfo, const char);
  ptrdiff_t pos = pc - code - 1;
  uint32_t line = 0;
  size_t width = pt->numline < 256 ? 1 : pt->numline < 65536 ? 2 : 4;
  if (!pc || !info || pos <= 0 || pos >= (ptrdiff_t)pt->sizebc) return 0;
  /* the machine is a little-endian one, or the line is left out */
  if (!peek(&line, info + (size_t)(pos - 1) * width, width)) return 0;
  return LJ_LE ? pt->firstline + (BCLine)line : 0;
}

static bool describe(const GCproto *at, const BCIns *pc, char *text,
                     size_t room) {
  char name[128];
  GCproto pt;
  if (!peek(&pt, at, sizeof(pt)) || pt.gct != (uint8_t)~LJ_TPROTO) return false;
  if (!chunk_of(&pt, name, sizeof(name))) return false;
  BCLine line = line_of(&pt, at, pc);
  if (line > 0)
    snprintf(text, room, "in function <%s:%d> (%s:%d)", name, (int)pt.firstline,
             name, (int)line);
  else
    snprintf(text, room, "in function <%s:%d>", name, (int)pt.firstline);
  return true;
}

/* The prototype of the function of a frame, when it is a Lua function. */
static const GCproto *proto_of(const TValue *frame) {
  TValue slot;
  GCfuncL fn;
  if (!peek(&slot, frame - LJ_FR2, sizeof(slot))) return NULL;
  if (!peek(&fn, gcval(&slot), sizeof(fn))) return NULL;
  if (fn.gct != (uint8_t)~LJ_TFUNC || fn.ffid != FF_LUA) return NULL;
  return (const GCproto *)(mref(fn.pc, const char) - sizeof(GCproto));
}

/* Outwards from the frame of `base`; `pc` is where the innermost one is. */
static bool walk(const TValue *base, const BCIns *pc, char *text, size_t room) {
  const TValue *frame = base - 1;
  for (int level = 0; level < LEVELS; level++) {
    TValue link;
    BCIns call;
    const GCproto *pt = proto_of(frame);
    if (pt && describe(pt, pc, text, room)) return true;
    if (!peek(&link, frame, sizeof(link))) return false;
    if ((link.ftsz & FRAME_TYPE) == FRAME_LUA) {
      pc = (const BCIns *)(intptr_t)link.ftsz;
      if (!peek(&call, pc - 1, sizeof(call))) return false;
      frame -= 1 + LJ_FR2 + bc_a(call);
    } else {
      if ((link.ftsz & FRAME_TYPEP) != FRAME_VARG) pc = NULL;
      if (link.ftsz < 16) return false;
      frame -= (size_t)(link.ftsz & ~(int64_t)FRAME_TYPEP) / sizeof(TValue);
    }
  }
  return false;
}

/* In compiled code the stack is that of where it was entered. */
static const BCIns *start_of_trace(const global_State *at, int32_t number) {
  const jit_State *J = G2J((global_State *)at);
  const GCRef *traces;
  GCRef trace;
  MRef start;
  const GCtrace *T;
  if (number <= 0) return NULL;
  if (!peek(&traces, &J->trace, sizeof(traces))) return NULL;
  if (!peek(&trace, traces + number, sizeof(trace))) return NULL;
  T = (const GCtrace *)gcref(trace);
  if (!T || !peek(&start, &T->startpc, sizeof(start))) return NULL;
  return mref(start, const BCIns) + 1;
}

bool rt__glimpse(const rt__vm *vm, char *text, size_t room) {
  const global_State *g;
  MRef ref, compiled;
  GCRef running;
  TValue *base;
  int32_t state;
  if (!vm || !vm->L || !peek(&ref, &vm->L->glref, sizeof(ref))) return false;
  g = mref(ref, global_State);
  if (!peek(&running, &g->cur_L, sizeof(running)) ||
      !peek(&compiled, &g->jit_base, sizeof(compiled)) ||
      !peek(&state, (const void *)&g->vmstate, sizeof(state)))
    return false;
  if (mref(compiled, TValue) && state > 0)
    return walk(mref(compiled, TValue), start_of_trace(g, state), text, room);
  const lua_State *L = (const lua_State *)gcref(running);
  if (!L || !peek(&base, &L->base, sizeof(base))) return false;
  return walk(base, NULL, text, room);
}

#endif
