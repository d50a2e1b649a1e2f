/* admin.c - sessions as files: list, remove, put failed jobs back.
 * SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/paths.h"
#include "store/report.h"
#include "store/store.h"

/* --- list ------------------------------------------------------------ */
static int session_file(const struct dirent *entry) {
  size_t size = strlen(entry->d_name), tail = strlen(".sqlite");
  if (size <= tail || entry->d_name[0] == '.') return 0;
  return strcmp(entry->d_name + size - tail, ".sqlite") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static void copy_member(rt_builder *b, rt_view from, const char *name) {
  rt_view item = rt_view_get(from, name);
  if (rt_view_type(item) == RT_NIL) return;
  rt_builder_key(b, name);
  rt_builder_view(b, item);
}

static int64_t sum(rt_view map) {
  int64_t total = 0;
  rt_iter iter = rt_iter_of(map);
  rt_view item;
  while (rt_iter_next(&iter, NULL, &item)) total += rt_view_int(item, 0);
  return total;
}

static void build_summary(rt_builder *b, rt_view status) {
  static const char *const members[] = {"name",    "state",   "owner",
                                        "queued",  "running", "failed",
                                        "skipped", "created"};
  rt_builder_begin_map(b);
  for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
    copy_member(b, status, members[i]);
  }
  rt__build_int(b, "assets", sum(rt_view_get(status, "assets")));
  rt__build_int(b, "jobs",
                rt_view_int(rt_view_get(status, "work_items_total"), 0));
  rt_builder_end(b);
}

static void build_unreadable(rt_builder *b, const char *name,
                             const rt_error *why) {
  rt_builder_begin_map(b);
  rt_builder_key(b, "name");
  rt_builder_string(b, name);
  rt_builder_key(b, "state");
  rt_builder_string(b, "unreadable");
  rt_builder_key(b, "reason");
  rt_builder_string(b, why->message);
  rt_builder_end(b);
}

static void build_one(rt_builder *b, const char *dir, const char *name) {
  rt_report *report = NULL;
  rt_value *status = NULL;
  rt_error why = RT_ERROR_INIT;
  if (rt_report_open(&report, dir, name, &why) == RT_OK &&
      rt_report_status(report, &status, &why) == RT_OK) {
    build_summary(b, rt_value_view(status));
  } else if (why.code != RT_ENOTFOUND) {
    build_unreadable(b, name, &why);
  }
  rt_value_unref(status);
  rt_report_close(report);
}

rt_err rt_session_list(const char *dir, rt_value **out, rt_error *err) {
  struct dirent **entries = NULL;
  *out = NULL;
  if (!dir || !*dir) dir = RT__DIR_DEFAULT;
  int count = scandir(dir, &entries, session_file, by_name);
  if (count < 0 && errno != ENOENT) {
    return rt_fail(err, errno == EACCES ? RT_EPERM : RT_EUNAVAIL,
                   "cannot read %s: %s", dir, strerror(errno));
  }
  rt_builder *b = rt_builder_new();
  if (b) rt_builder_begin_array(b);
  for (int i = 0; i < count; i++) {
    char *name = entries[i]->d_name;
    name[strlen(name) - strlen(".sqlite")] = '\0';
    if (b && rt__session_name_check(name, NULL) == RT_OK) {
      build_one(b, dir, name);
    }
    free(entries[i]);
  }
  free(entries);
  if (!b) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_builder_end(b);
  return rt__build_done(b, out, err);
}

/* --- remove ---------------------------------------------------------- */
/* Takes `path`. */
static rt_err remove_file(char *path, rt_error *err) {
  if (!path) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_err rc = RT_OK;
  if (unlink(path) != 0 && errno != ENOENT) {
    rc =
        rt_fail(err, errno == EACCES || errno == EPERM ? RT_EPERM : RT_EUNAVAIL,
                "cannot remove %s: %s", path, strerror(errno));
  }
  free(path);
  return rc;
}

rt_err rt_session_remove(const char *dir, const char *name, rt_error *err) {
  static const char *const suffixes[] = {".sqlite", ".sqlite-wal",
                                         ".sqlite-shm", ".lock"};
  int lock = -1;
  rt_err rc = rt__session_name_check(name, err);
  if (rc != RT_OK) return rc;
  char *path = rt__session_path(dir, name, ".sqlite");
  if (!path) return rt_fail(err, RT_ENOMEM, "no memory");
  bool there = access(path, F_OK) == 0;
  free(path);
  if (!there) return rt_fail(err, RT_ENOTFOUND, "no session '%s'", name);
  rc = rt__owner_take(&lock, dir, name, NULL, err);
  if (rc == RT_OK) rc = remove_file(rt_session_socket(dir, name), err);
  for (int i = 0; rc == RT_OK && i < 4; i++) {
    rc = remove_file(rt__session_path(dir, name, suffixes[i]), err);
  }
  rt__owner_release(lock, true);
  return rc;
}

/* --- who has it open -------------------------------------------------- */
rt_err rt_session_owner(const char *dir, const char *name, int64_t *process,
                        rt_error *err) {
  *process = 0;
  rt_err rc = rt__session_name_check(name, err);
  if (rc != RT_OK) return rc;
  if (!dir || !*dir) dir = RT__DIR_DEFAULT;
  *process = rt__owner_of(dir, name);
  return RT_OK;
}

/* --- retry ----------------------------------------------------------- */
typedef struct retry {
  rt__store *store;
  rt__lane_row *lanes;
  size_t lane_count;
  rt__job_row jobs[256];
  rt_value *errors[256];
  size_t count;
} retry;

static rt_err on_lane(const rt__lane_row *row, void *arg) {
  retry *r = arg;
  rt__lane_row *more =
      realloc(r->lanes, (r->lane_count + 1) * sizeof(*r->lanes));
  if (!more) return RT_ENOMEM;
  r->lanes = more;
  r->lanes[r->lane_count++] = *row;
  return RT_OK;
}

static rt_err on_failed(const rt__job_row *row, void *arg) {
  retry *r = arg;
  r->errors[r->count] = row->errors ? rt_value_ref(row->errors) : NULL;
  r->jobs[r->count] = *row;
  r->jobs[r->count].errors = r->errors[r->count];
  r->jobs[r->count].reason = NULL;
  r->count++;
  return RT_OK;
}

typedef struct masks {
  uint64_t done, aside;
} masks;

static rt_err on_asset(const rt__asset_row *row, void *arg) {
  masks *m = arg;
  m->done = row->done;
  m->aside = row->aside;
  return RT_OK;
}

static rt__lane_row *lane_of(retry *r, const rt__job_row *job) {
  for (size_t i = 0; i < r->lane_count; i++) {
    if (r->lanes[i].class_id == job->class_id &&
        r->lanes[i].capability == job->capability) {
      return &r->lanes[i];
    }
  }
  return NULL;
}

static rt_err put_back(retry *r, rt__job_row *job, rt_error *err) {
  masks m = {0, 0};
  rt__lane_row *lane = lane_of(r, job);
  rt_err rc = rt__store_load(r->store, job->asset, on_asset, &m, err);
  if (rc != RT_OK || !lane) return rc;
  uint64_t bit = 1ULL << lane->position;
  job->state = RT__JOB_QUEUED;
  job->attempt = 1;
  job->crashes = 0;
  job->ended = 0;
  lane->failed--;
  rc = rt__store_put_job(r->store, job, err);
  if (rc != RT_OK) return rc;
  return rt__store_set_masks(r->store, job->asset, m.done & ~bit, m.aside | bit,
                             err);
}

static rt_err put_back_all(retry *r, int64_t *count, rt_error *err) {
  rt_err rc = rt__store_begin(r->store, err);
  do {
    r->count = 0;
    if (rc == RT_OK) {
      rc = rt__store_failed_jobs(r->store, 256, on_failed, r, err);
    }
    for (size_t i = 0; i < r->count; i++) {
      if (rc == RT_OK) rc = put_back(r, &r->jobs[i], err);
      rt_value_unref(r->errors[i]);
    }
    *count += (int64_t)r->count;
  } while (rc == RT_OK && r->count > 0);
  for (size_t i = 0; rc == RT_OK && i < r->lane_count; i++) {
    rc = rt__store_put_lane(r->store, &r->lanes[i], err);
  }
  if (rc == RT_OK && *count > 0) {
    rc = rt__store_set_text(r->store, "state", "stopped", err);
  }
  return rc == RT_OK ? rt__store_commit(r->store, err) : rc;
}

rt_err rt_session_retry(const char *dir, const char *name, int64_t *count,
                        rt_error *err) {
  *count = 0;
  retry *r = calloc(1, sizeof(*r));
  if (!r) return rt_fail(err, RT_ENOMEM, "no memory");
  rt_err rc = rt__store_open(&r->store, dir, name, RT_OPEN_RESUME, false, err);
  if (rc == RT_OK) rc = rt__store_lanes(r->store, on_lane, r, err);
  if (rc == RT_OK) rc = put_back_all(r, count, err);
  if (rc != RT_OK) *count = 0;
  rt__store_close(r->store);
  free(r->lanes);
  free(r);
  return rc;
}
