/* events.c - a session's life on the bus, system "session".
 *
 * Notes are kept until the commit that makes them true; nothing is made when
 * nobody listens. SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dispatcher/internal.h"

static bool wanted(const rt_session *s, const char *kind) {
  return s->engine->bus && rt_bus_wanted(s->engine->bus, "session", kind);
}

static char *path_of(const rt_session *s, rt__text key) {
  size_t name = strlen(s->name);
  char *path = malloc(name + key.size + 2);
  if (!path) return NULL;
  memcpy(path, s->name, name + 1);
  if (key.at) {
    path[name] = '/';
    memcpy(path + name + 1, key.at, key.size);
    path[name + 1 + key.size] = '\0';
  }
  return path;
}

/* Takes the builder, in which a map is open. */
static void add(rt_session *s, const char *kind, rt__text key, rt_builder *b) {
  rt__note *note = calloc(1, sizeof(*note));
  rt_builder_key(b, "time");
  rt_builder_number(b, rt__session_now(s));
  rt_builder_end(b);
  if (note) {
    note->kind = kind;
    note->path = path_of(s, key);
    rt_builder_finish(b, &note->data, NULL);
    if (!s->notes) s->notes_last = &s->notes;
    *s->notes_last = note;
    s->notes_last = &note->next;
  }
  rt_builder_free(b);
}

static rt_builder *begin(const rt_session *s, const char *kind,
                         const char *reason) {
  rt_builder *b = wanted(s, kind) ? rt_builder_new() : NULL;
  if (!b) return NULL;
  rt_builder_begin_map(b);
  if (reason) {
    rt_builder_key(b, "reason");
    rt_builder_string(b, reason);
  }
  return b;
}

static void put_label(const rt_session *s, rt_builder *b) {
  if (s->meta) {
    rt_builder_key(b, "meta");
    rt_builder_value(b, s->meta);
  }
  if (!s->label) return;
  rt_builder_key(b, "name");
  rt_builder_string(b, s->label);
}

void rt__note_session(rt_session *s, const char *kind, const char *reason) {
  rt_builder *b = begin(s, kind, reason);
  rt__text none = {NULL, 0};
  if (b) add(s, kind, none, b);
}

void rt__note_asset(rt_session *s, const char *kind, rt__text key,
                    const rt__asset_row *row, const char *class_name,
                    const char *reason) {
  rt_builder *b = begin(s, kind, reason);
  if (!b) return;
  if (row->id) {
    rt_builder_key(b, "id");
    rt_builder_int(b, row->id);
  }
  rt_builder_key(b, "class");
  rt_builder_string(b, class_name);
  rt_builder_key(b, "value");
  rt_builder_lstring(b, row->value.at, row->value.size);
  rt_builder_key(b, "depth");
  rt_builder_int(b, row->depth);
  put_label(s, b);
  add(s, kind, key, b);
}

void rt__note_job(rt_session *s, const char *kind, const rt__live *live,
                  const char *reason, double seconds) {
  rt_builder *b = begin(s, kind, reason);
  if (!b) return;
  rt__text key = {NULL, 0};
  if (live->item->asset) {
    rt_view asset = rt_value_view(live->item->asset);
    key.at = rt_view_string(rt_view_get(asset, "key"), &key.size);
  }
  rt_builder_key(b, "id");
  rt_builder_int(b, (int64_t)live->id);
  rt_builder_key(b, "capability");
  rt_builder_string(b, s->known[live->lane->capability - 1]->name);
  rt_builder_key(b, "attempt");
  rt_builder_int(b, live->attempt);
  if (seconds > 0) {
    rt_builder_key(b, strcmp(kind, "job.progress") ? "delay" : "fraction");
    rt_builder_number(b, seconds);
  }
  add(s, kind, key, b);
}

void rt__note_queued(rt_session *s, const rt__class *cls, rt__text key,
                     int64_t asset) {
  if (!wanted(s, "job.queued")) return;
  for (size_t i = 0; i < cls->lane_count; i++) {
    const rt__lane *lane = cls->lanes[i];
    rt_builder *b = lane->cap ? begin(s, "job.queued", NULL) : NULL;
    if (!b) continue;
    rt_builder_key(b, "id");
    rt_builder_int(b, (int64_t)RT__JOB_ID(asset, lane->capability));
    rt_builder_key(b, "capability");
    rt_builder_string(b, s->known[lane->capability - 1]->name);
    put_label(s, b);
    add(s, "job.queued", key, b);
  }
}

void rt__notes_send(rt_session *s) {
  while (s->notes) {
    rt__note *note = s->notes;
    s->notes = note->next;
    if (note->path) {
      rt_bus_send(s->engine->bus, "session", note->kind, note->path,
                  note->data);
    }
    rt_value_unref(note->data);
    free(note->path);
    free(note);
  }
}

void rt__notes_drop(rt_session *s) {
  while (s->notes) {
    rt__note *note = s->notes;
    s->notes = note->next;
    rt_value_unref(note->data);
    free(note->path);
    free(note);
  }
}
