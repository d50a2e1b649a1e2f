/* memory.c - what the program has in memory, against its bounds.
 *
 *   target + excess   Lua heaps are collected, malloc() trimmed; the target is
 *                     what was left after that
 *   ceiling           no new work: no job starts while one runs, dispatches
 *                     wait; what runs may send and end
 *
 * Above the ceiling the least goes on that gets by without more memory: one
 * job at a time, and when there is none, one dispatch. What runs may wait for
 * work that does not begin: where nothing ends for 10 s, one more of each
 * begins. So a ceiling that is too low makes a session slow, but it ends, and
 * nothing is lost.
 *
 * It is looked at every 10 s, and every second whether the ceiling was reached.
 * SPDX-License-Identifier: MIT */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dispatcher/internal.h"

#define EXCESS    (500ull << 20)
#define EVERY_NS  10000000000ull
#define SECOND_NS 1000000000ull
#define STALL_NS  10000000000ull
#define MB(bytes) ((unsigned long long)((bytes) >> 20))

/* --- what there is --------------------------------------------------- */
/* A number in a file of one line, above 0. */
static uint64_t number_in(const char *path) {
  char line[64] = "";
  FILE *file = fopen(path, "r");
  if (!file) return UINT64_MAX;
  char *text = fgets(line, sizeof(line), file);
  fclose(file);
  uint64_t number = text ? strtoull(text, NULL, 10) : 0;
  return number ? number : UINT64_MAX;
}

/* Of the group of processes that this one belongs to ("0::/PATH"). */
static uint64_t group_limit(void) {
  char line[400], path[500];
  uint64_t limit = UINT64_MAX;
  FILE *file = fopen("/proc/self/cgroup", "r");
  while (file && fgets(line, sizeof(line), file)) {
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "0::/", 4) != 0) continue;
    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", line + 3);
    limit = number_in(path);
  }
  if (file) fclose(file);
  return limit;
}

/* Of the machine, or of the container. */
static uint64_t all_there_is(void) {
  long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  uint64_t all =
      pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;
  static const char *const limits[] = {
      "/sys/fs/cgroup/memory.max",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes",
  };
  for (int i = 0; i < 2; i++) {
    uint64_t limit = number_in(limits[i]);
    if (limit < all) all = limit;
  }
  uint64_t limit = group_limit();
  return limit < all ? limit : all;
}

static uint64_t resident_now(const rt__heaps *heaps) {
  unsigned long long pages = 0;
  if (heaps->resident) return heaps->resident(heaps->self);
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file) return 0;
  if (fscanf(file, "%*u %llu", &pages) != 1) pages = 0;
  fclose(file);
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void measure(rt__memory *m) {
  struct mallinfo2 info = mallinfo2();
  m->heap = info.uordblks + info.hblkhd;
  m->lua = m->heaps.used ? m->heaps.used(m->heaps.self) : 0;
  m->resident = resident_now(&m->heaps);
}

/* --- telling --------------------------------------------------------- */
static void tell_session(rt_session *s, bool over, const char *words) {
  if (!s->loaded || s->draining || s->memory_told == over) return;
  s->memory_told = over;
  s->touched = true;
  rt__note_session(s, over ? "session.paused" : "session.resumed", words);
  rt__session_tell(s);
}

/* Also those that were opened meanwhile. */
static void tell(rt__engine *engine, bool changed) {
  rt__memory *m = &engine->memory;
  char *words = m->words;
  snprintf(words, sizeof(m->words),
           "memory: %llu MB are %s the ceiling of %llu MB%s", MB(m->resident),
           m->over ? "above" : "below", MB(m->ceiling),
           m->over ? "" : " again");
  for (rt_session *s = engine->sessions; s; s = s->next) {
    tell_session(s, m->over, words);
  }
  if (changed && engine->rt) {
    rt_runtime_log(engine->rt, m->over ? RT_LOG_WARN : RT_LOG_INFO, NULL, "%s",
                   words);
  }
}

/* --- looking --------------------------------------------------------- */
static void collect(rt__memory *m) {
  m->collections++;
  m->collected = true;
  if (m->heaps.collect) m->heaps.collect(m->heaps.self);
}

/* Who runs may wait for work that may not begin. */
static void ease(rt__engine *engine) {
  rt__memory *m = &engine->memory;
  if (m->over && engine->now - m->moved_ns < m->stall_ns) return;
  m->moved_ns = engine->now;
  m->one_job = m->one_dispatch = m->over;
}

static void look(rt__engine *engine) {
  rt__memory *m = &engine->memory;
  malloc_trim(0); /* what a burst left behind goes back to the system */
  measure(m);
  if (m->collected || m->target == 0 || m->resident < m->target) {
    m->target = m->resident;
  }
  m->collected = false;
  bool above = m->resident > m->ceiling;
  if (above || m->resident - m->target > m->excess) collect(m);
  bool before = m->over;
  if (above) m->over = true;
  /* Not at the first byte below, or it would change all the time. */
  if (m->resident <= m->ceiling / 16 * 15) m->over = false;
  if (m->over && !before) m->pauses++;
  if (!before) m->moved_ns = engine->now;
  ease(engine);
  tell(engine, m->over != before);
}

void rt__memory_look(rt__engine *engine) {
  rt__memory *m = &engine->memory;
  uint64_t second = m->every_ns < SECOND_NS ? m->every_ns : SECOND_NS;
  if (engine->now < m->next_ns) return;
  bool due = m->over || engine->now >= m->full_ns;
  if (!due) due = resident_now(&m->heaps) > m->ceiling;
  m->next_ns = engine->now + second;
  if (!due) return;
  m->full_ns = engine->now + m->every_ns;
  look(engine);
}

/* --- what waits ------------------------------------------------------ */
static uint32_t running(const rt__engine *engine) {
  uint32_t count = 0;
  for (rt_session *s = engine->sessions; s; s = s->next) count += s->running;
  return count;
}

bool rt__memory_room(const rt__engine *engine) {
  const rt__memory *m = &engine->memory;
  return !m->over || m->one_job || running(engine) == 0;
}

void rt__memory_moved(rt__engine *engine, bool begun) {
  engine->memory.moved_ns = engine->now;
  if (begun) engine->memory.one_job = false;
}

static void park(rt__memory *m, rt__cmd *cmd) {
  cmd->next = NULL;
  if (!m->parked) m->parked_last = &m->parked;
  *m->parked_last = cmd;
  m->parked_last = &cmd->next;
}

/* Only one that would be taken; the others are answered. */
bool rt__memory_parks(rt__engine *engine, rt__cmd *cmd) {
  const rt_session *s = cmd->session;
  if (!engine || !engine->memory.over || engine->memory.releasing) return false;
  if (engine->stopping || !s->engine || s->failed || s->draining) return false;
  park(&engine->memory, cmd);
  return true;
}

bool rt__memory_follows(rt__engine *engine, rt__cmd *cmd) {
  const rt__cmd *at = engine->memory.parked;
  while (at && at->session != cmd->session) at = at->next;
  if (at) park(&engine->memory, cmd);
  return at != NULL;
}

static void release(rt__engine *engine, rt__cmd *cmd) {
  engine->memory.releasing = true;
  rt__session_run(engine, cmd);
  engine->memory.releasing = false;
}

/* Those of sessions that end are answered in any case. */
static bool is_due(const rt__engine *engine, const rt__cmd *cmd) {
  const rt_session *s = cmd->session;
  return !engine->memory.over || engine->stopping || !s->engine || s->failed ||
         s->draining;
}

bool rt__memory_unpark(rt__engine *engine) {
  rt__memory *m = &engine->memory;
  bool any = false, one = running(engine) == 0 || m->one_dispatch;
  rt__cmd *list = m->parked;
  m->parked = NULL;
  while (list) {
    rt__cmd *cmd = list;
    list = cmd->next;
    if (cmd->follows) {
      rt__session_run(engine, cmd);
    } else if (is_due(engine, cmd) || (one && !any)) {
      release(engine, cmd);
      any = true;
    } else {
      rt__memory_parks(engine, cmd);
    }
  }
  if (any) m->one_dispatch = false;
  return any;
}

/* --- setting, reporting ---------------------------------------------- */
void rt__memory_init(rt__memory *m) {
  m->excess = EXCESS;
  m->ceiling = all_there_is() / 4 * 3;
  m->every_ns = EVERY_NS;
  m->stall_ns = STALL_NS;
}

void rt__memory_stats(rt_builder *b, const rt__engine *engine) {
  const rt__memory *m = &engine->memory;
  const struct {
    const char *name;
    uint64_t value;
  } all[] = {{"resident", m->resident},
             {"lua", m->lua},
             {"malloc", m->heap},
             {"target", m->target},
             {"ceiling", m->ceiling},
             {"excess", m->excess},
             {"collections", m->collections},
             {"pauses", m->pauses}};
  rt_builder_key(b, "memory");
  rt_builder_begin_map(b);
  for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
    rt_builder_key(b, all[i].name);
    rt_builder_int(b, (int64_t)all[i].value);
  }
  rt_builder_key(b, "paused");
  rt_builder_bool(b, m->over);
  rt_builder_end(b);
}

typedef struct watch_cmd {
  rt__cmd cmd;
  rt__heaps heaps;
  rt__memory_opts opts;
  bool has_heaps;
} watch_cmd;

static void run_watch(rt__engine *engine, rt__cmd *cmd) {
  const watch_cmd *w = (watch_cmd *)cmd;
  if (engine) {
    rt__memory *m = &engine->memory;
    if (w->has_heaps) m->heaps = w->heaps;
    if (w->opts.excess) m->excess = w->opts.excess;
    if (w->opts.ceiling) m->ceiling = w->opts.ceiling;
    if (w->opts.check > 0) m->every_ns = rt__ns(w->opts.check);
    if (w->opts.stall > 0) m->stall_ns = rt__ns(w->opts.stall);
    m->next_ns = m->full_ns = m->target = 0;
  }
  rt__cmd_free(cmd);
}

void rt__engine_watch(rt__engine *engine, const rt__heaps *heaps,
                      const rt__memory_opts *opts) {
  watch_cmd *w = rt__cmd_new(sizeof(*w), run_watch, NULL);
  if (!w) return;
  w->has_heaps = heaps != NULL;
  if (heaps) w->heaps = *heaps;
  if (opts) w->opts = *opts;
  rt__port_post(engine->port, &w->cmd);
}
