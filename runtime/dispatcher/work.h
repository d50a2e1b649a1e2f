/* work.h - what there is to do, in memory: capabilities, assets, jobs, lanes.
 *
 *   session --has--> class --has--> lanes (one for each capability that takes
 *   the class) --window of--> live jobs --of--> items (assets in memory)
 *
 * A lane is the work of one capability on one class. Its assets wait in
 * SQLite, in the asset rows themselves; `cursor` tells how far they were read.
 * Only what can run is read into the lane's window. Everything here belongs to
 * the engine's thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT__DISPATCHER_WORK_H
#define RT__DISPATCHER_WORK_H

#include "base/map.h"
#include "dispatcher/executor.h"
#include "store/counts.h"
#include "store/store.h"

typedef struct rt__lane rt__lane;
typedef struct rt__live rt__live;
typedef struct rt__cap rt__cap;

/* --- capabilities, over all sessions --------------------------------- */
typedef struct rt__bucket {
  double tokens;
  uint64_t last_ns;        /* 0: full */
  uint32_t promised;       /* jobs in a window that will take a token */
  uint32_t count;          /* jobs that wait in memory */
  uint64_t free_ns;        /* when those parked in the store will be through */
  uint64_t hold_ns;        /* a job of it said: nothing of this before then */
  rt__live *first, *last;  /* jobs that wait for a token of this key */
  struct rt__bucket *next; /* in rt__cap.waiting */
  bool listed;
  char *key;
} rt__bucket;

struct rt__cap {
  rt__cap *next;
  rt_capability *decl; /* [own ref] */
  rt__cap *before;     /* what it has replaced, whose jobs may still run */
  uint32_t running;
  bool gone, starved; /* starved: a lane waits for an instance */
  bool scaled;        /* by hand: `scale` instances */
  uint64_t scale;
  rt__bucket bucket;
  rt__map keys;        /* rate_key -> rt__bucket */
  rt__bucket *waiting; /* those with waiting jobs */
};
bool rt__cap_needs_prepare(const rt__cap *cap);
bool rt__bucket_ready(rt__bucket *bucket, double rate, uint64_t now,
                      uint64_t *wake);
void rt__bucket_take(rt__bucket *bucket);
rt__bucket *rt__cap_key(rt__cap *cap, const char *key);
/* Until when a job asked that nothing starts (with this key, NULL: at all); 0:
 * it may. */
uint64_t rt__cap_held(const rt__cap *cap, const char *key, uint64_t now);
void rt__cap_hold(rt__cap *cap, const char *key, uint64_t until);
/* What replaces another goes on with its tokens, holds and scale. */
void rt__cap_inherit(rt__cap *cap, rt__cap *before);
/* Instances, those of what it has replaced included. */
uint32_t rt__cap_running(const rt__cap *cap);
void rt__cap_sweep(rt__cap *cap, uint64_t now);
void rt__cap_free(rt__cap *cap);

/* --- items and jobs in memory ---------------------------------------- */
typedef struct rt__class {
  int64_t id, assets;
  char *name;
  rt__lane **lanes; /* by position */
  size_t lane_count;
  bool dirty;
} rt__class;

typedef struct rt__item {
  int64_t id, depth, priority, root;
  rt__class *cls;
  uint64_t done, aside; /* newer than the row while dirty */
  rt_value *asset;      /* as in an order; NULL: read it again */
  uint32_t refs;        /* jobs in memory */
  bool dirty;
  struct rt__item *next_dirty;
} rt__item;

typedef enum rt__live_state {
  RT__LIVE_FRESH,     /* in lane.fresh: to be prepared */
  RT__LIVE_PREPARING, /* with the executor */
  RT__LIVE_WAITING,   /* for a token of its rate key */
  RT__LIVE_READY,     /* in lane.ready */
  RT__LIVE_RUNNING
} rt__live_state;

struct rt__live {
  uint64_t id;
  rt_session *session; /* borrowed: a session drops its jobs first */
  rt__lane *lane;
  rt__item *item;
  rt__cap *cap; /* while running or waiting for a token */
  rt__live_state state;
  uint32_t attempt, crashes, fanout;
  uint32_t refused; /* of its results, in this attempt */
  uint32_t met;     /* likewise: that were known already */
  int64_t repeats;  /* of its capability on the way to it; 0: not looked up */
  uint64_t grant;   /* of its lease, while running */
  int64_t version;  /* that it was started in; 0: never, or it has none */
  int priority;
  bool aside;    /* has a row in job */
  bool prepared; /* match was asked */
  bool promised; /* counted in its bucket */
  bool asked;    /* to end */
  bool killed;   /* by hand: it fails */
  bool flooding; /* it sends without end: it fails */
  bool again;    /* its asset changed meanwhile: it runs once more */
  char *rate_key;
  char *fault;       /* a bad result: the job fails when it ends */
  rt_value *errors;  /* of earlier attempts */
  uint64_t start_ns; /* when it was handed over */
  uint32_t slot;
  size_t heap_at;
  double fraction;       /* progress */
  rt__live *prev, *next; /* in lane, by asset, unless aside */
  rt__live *bucket_next; /* in its bucket */
  rt__live *start_next;  /* to be handed over after the commit */
};

typedef struct rt__heap {
  rt__live **at;
  size_t count, room;
} rt__heap;
bool rt__heap_push(rt__heap *heap, rt__live *live);
void rt__heap_remove(rt__heap *heap, rt__live *live);
bool rt__live_before(const rt__live *a, const rt__live *b);
/* Its last chance: it was running at all crashes but one that are allowed. It
 * runs when nothing else does, so that the next crash tells who did it. */
bool rt__live_last(const rt__live *live);

struct rt__lane {
  rt__class *cls;
  uint32_t capability; /* number in the session */
  rt__cap *cap;        /* NULL: not loaded */
  int priority;
  uint64_t bit;
  rt__lane_row row; /* counters and marks as of the next commit */
  rt__lane_row written;
  int64_t cursor;   /* assets up to here were read, or are not due */
  int64_t given_up; /* assets up to here were, where it had not ended them */
  bool behind;      /* there may be more after the cursor */
  bool asides;      /* there may be rows put aside */
  rt__heap fresh, ready;
  uint32_t preparing, waiting, running;
  rt__live *first, *last; /* those not aside, by asset */
};
size_t rt__lane_window(const rt__lane *lane);
int64_t rt__lane_open(const rt__lane *lane);

/* One capability as a session knows it. */
typedef struct rt__known {
  uint32_t id;
  char *name;
  rt__cap *cap;      /* NULL: not loaded, or left out */
  rt_value *options; /* as given to the session; NULL: none */
  uint32_t times[RT__TIMES];
  bool dirty;
  uint32_t elsewhere; /* both as noted in the file */
  bool starved;
  const rt__cap *armed; /* whose schedule `due` is for */
  double due;           /* unix seconds: its next tick */
  int64_t version;      /* its number in the file; 0: none */
  bool versions;        /* it had another one before */
} rt__known;

#endif
