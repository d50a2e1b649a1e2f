/* registry/capability.h - one capability as the engine and the workers see it.
 *
 * Constant once registered and reference counted, so any thread may read it
 * while it holds a reference. Replacing a capability makes a new one with a
 * higher `version`.
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__REGISTRY_CAPABILITY_H
#define RT__REGISTRY_CAPABILITY_H

#include "registry/cron.h"
#include "rt/registry.h"

/* In front of its name: the class of the ticks of a scheduled capability, which
 * it alone takes. */
#define RT__TICK_CLASS "tick."

typedef struct rt_capability rt_capability;

/* When it runs again on an asset that it has ended on. */
typedef enum rt__rerun {
  RT__RERUN_ONCE, /* never */
  RT__RERUN_ON_CHANGE,
  RT__RERUN_AFTER, /* in a later run, after so many seconds */
  RT__RERUN_ALWAYS /* in each later run */
} rt__rerun;

struct rt_capability {
  uint32_t refs;    /* atomic */
  uint32_t users;   /* sessions that brought it along; guarded by registry */
  bool pinned;      /* registered on its own too; guarded by registry */
  uint32_t ordinal; /* order of registration in its registry, from 1 */
  char *name, *description;
  char **input, **output; /* classes or patterns */
  size_t input_count, output_count;
  int priority;           /* 1..9 */
  uint32_t max_instances; /* 0: no bound of its own */
  double timeout;         /* seconds; negative: none */
  uint32_t retries;
  double rate; /* tokens a second; 0: no bound */
  rt__rerun rerun;
  double rerun_after;
  char *version; /* declared, or a hash of its text; NULL: none */
  char *modules; /* a hash of what its file requires; NULL: nothing */
  bool watches;  /* takes events: asset.new, asset.changed, asset.gone */
  bool has_match, has_rate_key, has_prioritize, has_setup, has_finish;
  double every;  /* seconds between two ticks; 0: none */
  bool has_cron; /* ticks at the times of `cron` */
  rt__cron cron;
  bool active;           /* its network modules keep to the session's scope */
  bool exec;             /* and it may run programs nevertheless */
  rt_value *declaration; /* the map that API 4.1 describes, without functions */
  /* written in Lua: the file's text and which of its capabilities this is */
  char *file;   /* path as given; NULL for one made from a table or in C */
  char *source; /* Lua source, `source_size` bytes; NULL for C */
  size_t source_size;
  uint32_t index; /* from 1, in the list the chunk returns */
  /* written in C */
  rt_match_fn match;
  rt_invoke_fn invoke;
  void *arg;
};

rt_capability *rt__capability_ref(rt_capability *capability);
void rt__capability_unref(rt_capability *capability);
/* Has it times at which it runs? */
static inline bool rt__capability_scheduled(const rt_capability *capability) {
  return capability->every > 0 || capability->has_cron;
}
/* "24h", "1h30m", "250ms": more than nothing; false: it is none. */
bool rt__duration_parse(const char *text, double *seconds);
/* "once", "on_change", "always", "after:24h"; false: none of them. */
bool rt__rerun_parse(const char *text, rt__rerun *rerun, double *seconds);
/* Does an input take a class? Events ("asset.gone:ipv4") are named as such. */
bool rt__input_takes(const char *input, const char *class_, size_t size);
bool rt__input_is_event(const char *input);
/* Does it take / may it send assets of this class? */
bool rt__capability_takes(const rt_capability *capability, const char *class_,
                          size_t size);
bool rt__capability_sends(const rt_capability *capability, const char *class_,
                          size_t size);

/* Does this word choose it: its name, a pattern of names, or "tag:WORD"? */
bool rt__capability_is(const rt_capability *capability, const char *word);

rt_err rt__registry_new(rt_registry **out, rt_runtime *rt, rt_error *err);
void rt__registry_free(rt_registry *registry);
rt_runtime *rt__registry_runtime(rt_registry *registry);
/* [any] Add one that was declared in Lua; `declaration` is a map already
 * checked by the library (`timeout` in seconds or false, `rate` a number a
 * second, has_match, has_rate_key and has_prioritize for the functions),
 * `source` the chunk that gives it. */
rt_err rt__registry_add_lua(rt_registry *registry, const rt_value *declaration,
                            const char *file, const char *source,
                            size_t source_size, uint32_t index, bool backfill,
                            rt_error *err);
/* [any] The same with flags. AGAIN: the same text from the same place is no
 * RT_EEXIST, the capability that is there serves. BORROW: it is registered for
 * a session only, until that gives it back. */
/* REPLACE: of one that comes from the same file with another text this takes
 * the place, for all that begins from now on. */
enum {
  RT__PUT_AGAIN = 1,
  RT__PUT_BORROW = 2,
  RT__PUT_BACKFILL = 4,
  RT__PUT_REPLACE = 8
};
rt_err rt__registry_put(rt_registry *registry, const rt_value *declaration,
                        const char *file, const char *source,
                        size_t source_size, uint32_t index, unsigned flags,
                        rt_error *err);
/* The same; was it not there before like that? */
rt_err rt__registry_change(rt_registry *registry, const rt_value *declaration,
                           const char *file, const char *source,
                           size_t source_size, uint32_t index, unsigned flags,
                           bool *changed, rt_error *err);
/* [any] The name [own] of the first for which `is`, which may not use the
 * registry, says so; or NULL. */
typedef bool (*rt__capability_is_fn)(const rt_capability *c, void *arg);
char *rt__registry_find(rt_registry *registry, rt__capability_is_fn is,
                        void *arg);
void rt__registry_give_back(rt_registry *registry, const char *name);
/* [any] All capabilities now, by priority then ordinal; `*out` is an array
 * [own, rt_free] of `*count` references [own]. */
rt_err rt__registry_all(rt_registry *registry, rt_capability ***out,
                        size_t *count);
/* [any] Told after each change, on the thread that made it: `added` or
 * `removed` may be NULL; with both one replaces the other. One listener: the
 * engine. It may read the registry, not change it. When
 * rt__registry_listen(registry, NULL, NULL) has returned, the listener does not
 * run and will not run again. */
typedef void (*rt__registry_fn)(rt_capability *added, rt_capability *removed,
                                bool backfill, void *arg);
void rt__registry_listen(rt_registry *registry, rt__registry_fn fn, void *arg);

#endif
