/* cli/control_verbs.c - what may be asked of a running session.
 *
 * A request is a line: a verb and its arguments. The answer is lines of JSON,
 * of which the last has "ok". Only `trace` goes on until the client leaves.
 * Everything goes through the public API.
 *
 * SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control_parts.h"

/* --- answers ----------------------------------------------------------- */

static void say_value(control_client *client, const rt_value *value) {
  char *text = NULL;
  size_t size = 0;
  if (rt_value_to_json(&text, &size, value, NULL) == RT_OK) {
    control_say(client, text, size);
  }
  free(text);
}

static void say_view(control_client *client, rt_view view) {
  rt_value *value = NULL;
  if (rt_view_copy(&value, view, NULL) == RT_OK) say_value(client, value);
  rt_value_unref(value);
}

/* {"ok":true} or {"ok":false,"kind":...,"error":...} */
static void finish(control_client *client, rt_err code, const char *why) {
  rt_builder *b = rt_builder_new();
  rt_value *value = NULL;
  if (!b) return;
  rt_builder_begin_map(b);
  rt_builder_key(b, "ok");
  rt_builder_bool(b, code == RT_OK);
  if (code != RT_OK) {
    rt_builder_key(b, "kind");
    rt_builder_string(b, rt_status_kind(code));
    rt_builder_key(b, "error");
    rt_builder_string(b, why);
  }
  rt_builder_end(b);
  if (rt_builder_finish(b, &value, NULL) == RT_OK) say_value(client, value);
  rt_value_unref(value);
  rt_builder_free(b);
  client->ending = true;
}

static void finish_error(control_client *client, const rt_error *err) {
  finish(client, err->code, err->message);
}

/* --- verbs ------------------------------------------------------------- */

static void do_stat(control_client *client, char *rest) {
  rt_error err = RT_ERROR_INIT;
  rt_value *stats = NULL;
  (void)rest;
  if (rt_session_stats(client->ctl->session, &stats, &err) != RT_OK) {
    finish_error(client, &err);
    return;
  }
  say_value(client, stats);
  rt_value_unref(stats);
  finish(client, RT_OK, NULL);
}

static void do_jobs(control_client *client, char *rest) {
  rt_error err = RT_ERROR_INIT;
  rt_value *jobs = NULL;
  rt_view job;
  (void)rest;
  if (rt_session_running(client->ctl->session, &jobs, &err) != RT_OK) {
    finish_error(client, &err);
    return;
  }
  rt_iter iter = rt_iter_of(rt_value_view(jobs));
  while (rt_iter_next(&iter, NULL, &job)) say_view(client, job);
  rt_value_unref(jobs);
  finish(client, RT_OK, NULL);
}

static void do_pause(control_client *client, char *rest) {
  (void)rest;
  rt_session_pause(client->ctl->session);
  finish(client, RT_OK, NULL);
}

static void do_resume(control_client *client, char *rest) {
  (void)rest;
  rt_session_resume(client->ctl->session);
  finish(client, RT_OK, NULL);
}

static void do_cancel(control_client *client, char *rest) {
  control *ctl = client->ctl;
  ctl->stop(*rest ? rest : "runtime ctl cancel", ctl->arg);
  finish(client, RT_OK, NULL);
}

/* Digits and nothing else. */
static bool number(const char *text, uint64_t *out) {
  size_t digits = strspn(text, "0123456789");
  errno = 0;
  *out = strtoull(text, NULL, 10);
  return digits > 0 && !text[digits] && errno == 0 && *out <= INT64_MAX;
}

static void do_kill(control_client *client, char *rest) {
  rt_error err = RT_ERROR_INIT;
  uint64_t job;
  if (!number(rest, &job)) {
    finish(client, RT_EINVAL, "kill: expected the number of a job");
  } else if (rt_session_kill(client->ctl->session, job, "runtime ctl kill",
                             &err) != RT_OK) {
    finish_error(client, &err);
  } else {
    finish(client, RT_OK, NULL);
  }
}

static void do_delete(control_client *client, char *rest) {
  rt_error err = RT_ERROR_INIT;
  if (rt_session_delete(client->ctl->session, rest, &err) != RT_OK) {
    finish_error(client, &err);
  } else {
    finish(client, RT_OK, NULL);
  }
}

static void do_scale(control_client *client, char *rest) {
  rt_error err = RT_ERROR_INIT;
  char *space = strchr(rest, ' ');
  uint64_t count = 0;
  bool declared = space && !strcmp(space + 1, "default");
  if (!space || (!declared && !number(space + 1, &count))) {
    finish(client, RT_EINVAL, "scale: expected CAPABILITY and N or 'default'");
    return;
  }
  *space = '\0';
  if (rt_session_scale(client->ctl->session, rest,
                       declared ? -1 : (int64_t)count, &err) != RT_OK) {
    finish_error(client, &err);
  } else {
    finish(client, RT_OK, NULL);
  }
}

/* --- trace ------------------------------------------------------------- */

static void put_text(rt_builder *b, const char *key, const char *text) {
  rt_builder_key(b, key);
  rt_builder_string(b, text);
}

/* The bus's thread. */
static void on_event(const rt_event *event, void *arg) {
  control_client *client = arg;
  rt_value *value = NULL;
  if (strcmp(event->path, client->path)) return;
  rt_builder *b = rt_builder_new();
  if (!b) return;
  rt_builder_begin_map(b);
  put_text(b, "kind", event->kind);
  put_text(b, "path", event->path);
  if (event->data) {
    rt_builder_key(b, "data");
    rt_builder_value(b, event->data);
  }
  rt_builder_end(b);
  if (rt_builder_finish(b, &value, NULL) == RT_OK) say_value(client, value);
  rt_value_unref(value);
  rt_builder_free(b);
}

static void do_trace(control_client *client, char *rest) {
  control *ctl = client->ctl;
  rt_error err = RT_ERROR_INIT;
  const char *colon = strchr(rest, ':');
  if (!colon || colon == rest || !colon[1]) {
    finish(client, RT_EINVAL, "trace: expected CLASS:VALUE");
    return;
  }
  if (asprintf(&client->path, "%s/%s", rt_session_name(ctl->session), rest) <
      0) {
    client->path = NULL;
    finish(client, RT_ENOMEM, "no memory");
    return;
  }
  if (rt_bus_subscribe(rt_runtime_bus(ctl->rt), &client->trace, "session", "**",
                       on_event, client, &err) != RT_OK) {
    client->trace = 0;
    finish_error(client, &err);
    return;
  }
  static const char tracing[] = "{\"tracing\":true}";
  control_say(client, tracing, sizeof(tracing) - 1);
}

void control_untrace(control_client *client) {
  if (client->trace) {
    rt_bus_unsubscribe(rt_runtime_bus(client->ctl->rt), client->trace);
  }
  client->trace = 0;
  free(client->path);
  client->path = NULL;
}

/* --- the table --------------------------------------------------------- */

static const struct verb {
  const char *name;
  bool argument;
  void (*run)(control_client *client, char *rest);
} verbs[] = {{"stat", false, do_stat},    {"jobs", false, do_jobs},
             {"pause", false, do_pause},  {"resume", false, do_resume},
             {"cancel", true, do_cancel}, {"kill", true, do_kill},
             {"scale", true, do_scale},   {"trace", true, do_trace},
             {"delete", true, do_delete}, {NULL, false, NULL}};

void control_request(control_client *client, char *line) {
  size_t size = strcspn(line, " ");
  char *rest = line[size] ? line + size + 1 : line + size;
  for (const struct verb *at = verbs; at->name; at++) {
    if (strlen(at->name) != size || strncmp(at->name, line, size)) continue;
    if (*rest && !at->argument) {
      finish(client, RT_EINVAL, "this verb takes no argument");
    } else {
      at->run(client, rest);
    }
    return;
  }
  finish(client, RT_EINVAL,
         "expected stat, jobs, pause, resume, cancel, kill, scale, trace "
         "or delete");
}
