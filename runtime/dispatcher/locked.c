/* locked.c - while another program holds a session's file.
 *
 *   a command that writes --> gate: begin the transaction --> run
 *                               `--> parked, in order --> (free again) --> run
 *
 * The transaction is begun before a command changes anything in memory, so a
 * file that is locked then costs nothing: what was sent waits here, what runs
 * goes on, other sessions do not notice. The first attempt waits a moment, the
 * further ones do not: the engine's thread is everybody's.
 * SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dispatcher/internal.h"

#define PATIENCE_MS   50
#define AGAIN_NS      20000000ull
#define AGAIN_LOG_NS  250000000ull /* each attempt looks at all of it */
#define OPEN_NS       5000000000ull
#define OPEN_AGAIN_NS 250000000ull
#define TELL_NS       10000000000ull /* not more often in the log */

/* --- telling --------------------------------------------------------- */
void rt__session_tell(rt_session *s) {
  const char *words = NULL;
  if (s->failed) {
    words = s->fault.message;
  } else if (s->locked) {
    words = s->lock_words;
  } else if (s->memory_told) {
    words = s->engine->memory.words;
  } else if (s->held_told) {
    words = s->held_words;
  }
  rt__store_tell(s->store, words);
}

static void tell_locked(rt_session *s) {
  uint64_t now = rt__now_ns();
  s->lock_logged = now >= s->lock_log_ns;
  if (s->lock_logged) {
    s->lock_log_ns = now + TELL_NS;
    rt__session_log(s, RT_LOG_WARN, "session '%s' waits: %s", s->name,
                    s->lock_words);
  }
  rt__session_tell(s);
  rt__note_session(s, "session.paused", s->lock_words);
  rt__notes_send(s);
}

static void tell_free(rt_session *s) {
  if (s->lock_logged) {
    rt__session_log(s, RT_LOG_INFO, "session '%s' goes on", s->name);
  }
  rt__session_tell(s);
  rt__note_session(s, "session.resumed", "the file is free again");
}

/* A reader that stays keeps the log from being taken into the file: the log
 * grows, and when it is full nothing more is written. Once told it is looked
 * for each time: it may go when nothing is written any more. */
void rt__session_tell_held(rt_session *s) {
  if (s->locked || s->failed) return;
  if (s->held_told && s->loaded) rt__store_empty_log(s->store, NULL);
  int64_t bytes = s->loaded ? rt__store_held_bytes(s->store) : 0;
  if ((bytes > 0) == s->held_told) return;
  s->held_told = bytes > 0;
  snprintf(s->held_words, sizeof(s->held_words), RT__HELD_WORDS " %lld MB",
           (long long)(bytes >> 20));
  rt__session_tell(s);
  if (s->held_told) {
    rt__session_log(s, RT_LOG_WARN, "session '%s': %s", s->name, s->held_words);
  }
}

/* --- the gate -------------------------------------------------------- */
static void look_again(rt_session *s) {
  bool full = rt__store_log_full(s->store);
  s->unlock_ns = rt__now_ns() + (full ? AGAIN_LOG_NS : AGAIN_NS);
  rt__wake_at(&s->wake_ns, s->unlock_ns);
}

/* RT_OK: what is to be written can be, now. RT_ETIMEOUT: not while another
 * program does what it does. The end of a session has room in a full log. */
static rt_err try_lock(rt_session *s, int patience_ms, rt_error *err) {
  rt_err rc = RT_OK;
  if (!s->draining && rt__store_log_full(s->store)) {
    rc = rt__store_empty_log(s->store, err);
  }
  return rc == RT_OK ? rt__store_lock(s->store, patience_ms, err) : rc;
}

bool rt__session_gate(rt_session *s) {
  rt_error err = RT_ERROR_INIT;
  if (!s->loaded || s->failed) return true;
  s->touched = true;
  if (s->locked) return false;
  rt_err rc = try_lock(s, PATIENCE_MS, &err);
  if (rc == RT_OK) return true;
  if (rc != RT_ETIMEOUT) {
    rt__session_fail(s, &err);
    return true;
  }
  s->locked = true;
  snprintf(s->lock_words, sizeof(s->lock_words), "%.159s", err.message);
  look_again(s);
  tell_locked(s);
  return false;
}

void rt__session_run(rt__engine *engine, rt__cmd *cmd) {
  rt_session *s = cmd->session;
  bool behind = cmd->follows && s->parked;
  if (!s->engine || (!behind && (!cmd->writes || rt__session_gate(s)))) {
    cmd->run(engine, cmd);
    return;
  }
  cmd->next = NULL;
  if (!s->parked) s->parked_last = &s->parked;
  *s->parked_last = cmd;
  s->parked_last = &cmd->next;
}

void rt__session_unpark(rt__engine *engine, rt_session *s) {
  rt__cmd *list = s->parked;
  s->parked = NULL;
  while (list) {
    rt__cmd *cmd = list;
    list = cmd->next;
    cmd->run(engine, cmd);
  }
}

bool rt__session_unlocked(rt_session *s) {
  rt_error err = RT_ERROR_INIT;
  uint64_t now = rt__now_ns();
  if (s->locked && now < s->unlock_ns) {
    rt__wake_at(&s->wake_ns, s->unlock_ns);
    return false;
  }
  if (s->locked) {
    rt_err rc = try_lock(s, 0, &err);
    if (rc == RT_ETIMEOUT) {
      snprintf(s->lock_words, sizeof(s->lock_words), "%.159s", err.message);
      look_again(s);
      rt__notes_send(s); /* progress and the like: nothing that is to be kept */
      return false;
    }
    s->locked = false;
    tell_free(s);
    if (rc != RT_OK) rt__session_fail(s, &err);
  }
  if (s->parked) rt__session_unpark(s->engine, s);
  return true;
}

/* --- opening --------------------------------------------------------- */
bool rt__session_open_later(rt__engine *engine, rt__cmd *cmd,
                            const rt_error *err) {
  rt_session *s = cmd->session;
  uint64_t now = rt__now_ns();
  if (!strstr(err->message, RT__LOCKED_WORDS)) return false;
  if (!s->open_until_ns) s->open_until_ns = now + OPEN_NS;
  if (now >= s->open_until_ns) return false;
  s->unlock_ns = now + OPEN_AGAIN_NS;
  cmd->next = engine->opening;
  engine->opening = cmd;
  return true;
}

void rt__session_open_on(rt__engine *engine, rt__cmd *cmd) {
  cmd->session->unlock_ns = engine->now;
  cmd->next = engine->opening;
  engine->opening = cmd;
  engine->wake_ns = 0;
}

void rt__engine_open_again(rt__engine *engine) {
  rt__cmd **at = &engine->opening;
  rt__cmd *due = NULL;
  while (*at) {
    rt__cmd *cmd = *at;
    if (engine->now < cmd->session->unlock_ns && !engine->stopping) {
      rt__wake_at(&engine->wake_ns, cmd->session->unlock_ns);
      at = &cmd->next;
      continue;
    }
    *at = cmd->next;
    cmd->next = due;
    due = cmd;
  }
  while (due) {
    rt__cmd *cmd = due;
    due = cmd->next;
    cmd->run(engine, cmd);
  }
  for (rt__cmd *cmd = engine->opening; cmd; cmd = cmd->next) {
    rt__wake_at(&engine->wake_ns, cmd->session->unlock_ns);
  }
}
