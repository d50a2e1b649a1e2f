/* db.h - the inside of a store: its connection and prepared statements.
 * Only this folder includes it. SPDX-License-Identifier: MIT */
#ifndef RT__STORE_DB_H
#define RT__STORE_DB_H

#include "store/schema.h"
#include "store/seen.h"

/* X(name, text): every statement the writer uses, prepared when first used. */
#define RT__SQL(X)                                                             \
  X(BEGIN, "BEGIN IMMEDIATE")                                                  \
  X(COMMIT, "COMMIT")                                                          \
  X(META_GET, "SELECT value FROM meta WHERE name=?1")                          \
  X(META_PUT, "INSERT INTO meta VALUES(?1,?2)"                                 \
              " ON CONFLICT(name) DO UPDATE SET value=excluded.value")         \
  X(CLASSES, "SELECT id,assets,name FROM class ORDER BY id")                   \
  X(CLASS_PUT, "INSERT INTO class(id,assets,name) VALUES(?1,?2,?3)"            \
               " ON CONFLICT(id) DO UPDATE SET assets=excluded.assets")        \
  X(CAPABILITIES, "SELECT id,name FROM capability ORDER BY id")                \
  X(CAPABILITY_PUT, "INSERT INTO capability(id,name) VALUES(?1,?2)")           \
  X(TIMES_PUT, "UPDATE capability SET times=?2 WHERE id=?1")                   \
  X(TIMES_GET, "SELECT times FROM capability WHERE id=?1")                     \
  X(LANES, "SELECT class,capability,position,since,mark,total,completed,"      \
           "skipped,failed,canceled,loaded FROM lane ORDER BY class,position") \
  X(LANE_PUT, "INSERT OR REPLACE INTO lane VALUES(?1,?2,?3,?4,?5,?6,?7,?8,"    \
              "?9,?10,?11)")                                                   \
  X(INSERT, "INSERT INTO asset VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,"     \
            "?12,?13,?14)")                                                    \
  X(FIND, RT__FIND_COLUMNS "FROM seen s CROSS JOIN asset a ON a.id=s.asset"    \
                           " WHERE s.hash=?1")                                 \
  X(FIND_NEW, RT__FIND_COLUMNS "FROM asset a WHERE a.id=?1")                   \
  X(HASH, "SELECT hash FROM asset WHERE id=?1")                                \
  X(SEEN_PUT, "INSERT OR IGNORE INTO seen(hash,asset) VALUES(?1,?2)")          \
  X(SEEN_DELETE, "DELETE FROM seen WHERE hash=?1 AND asset=?2")                \
  X(SEEN_TAIL, "SELECT id,hash FROM asset WHERE id>?1 ORDER BY id")            \
  X(LOAD, "SELECT id,class,value,key,parent,capability,depth,root,done,"       \
          "aside,priority,metadata,created FROM asset WHERE id=?1")            \
  X(KEY, "SELECT coalesce(a.key,c.name||':'||a.value) FROM asset a"            \
         " JOIN class c ON c.id=a.class WHERE a.id=?1")                        \
  X(SCAN, "SELECT id,class,value,key,parent,capability,depth,root,done,"       \
          "aside,priority,metadata,created FROM asset"                         \
          " WHERE id>?1 AND id<=?2 AND class=?3 AND (done|aside)&?4=0"         \
          " ORDER BY id LIMIT ?5")                                             \
  X(MASKS, "UPDATE asset SET done=?2,aside=?3 WHERE id=?1")                    \
  X(DEPTH, "UPDATE asset SET depth=?2 WHERE id=?1 AND depth>?2")               \
  X(DELETE_ASSET, "DELETE FROM asset WHERE id=?1")                             \
  X(SEED_GONE, "INSERT OR REPLACE INTO meta SELECT 'deleted:'||"               \
               "coalesce(a.key,c.name||':'||a.value),1 FROM asset a"           \
               " JOIN class c ON c.id=a.class"                                 \
               " WHERE a.id=?1 AND a.parent IS NULL")                          \
  X(JOB_DROP, "DELETE FROM job WHERE asset=?1")                                \
  X(EDGE_DROP, "DELETE FROM edge WHERE asset=?1")                              \
  X(REJECT_DROP, "DELETE FROM rejected WHERE parent=?1")                       \
  X(CREATED, "SELECT created FROM asset WHERE id>=?1 ORDER BY id LIMIT 1")     \
  X(BEFORE, "SELECT count(*) FROM asset WHERE class=?1 AND id<?2")             \
  X(LAST_ASSET,                                                                \
    "SELECT max((SELECT coalesce(max(id),0) FROM asset),"                      \
    " (SELECT coalesce(max(max(since-1,mark)),0) FROM lane),"                  \
    " (SELECT coalesce(max(id)>>20,0) FROM edge),"                             \
    " (SELECT coalesce(max(CAST(value AS INTEGER)),0) FROM meta WHERE name"    \
    " IN ('" RT__META_HIGHEST "','" RT__META_SEEN "','" RT__META_DISCARDED     \
    "','printed')))")                                                          \
  X(LAST_EDGE, "SELECT coalesce(max(id),0) FROM edge")                         \
  X(EDGE, "INSERT OR IGNORE INTO edge(asset,parent,capability,id)"             \
          " VALUES(?1,?2,?3,?4)")                                              \
  X(CHILDREN, "SELECT id,depth FROM asset WHERE parent=?1 UNION"               \
              " SELECT a.id,a.depth FROM edge e JOIN asset a ON a.id=e.asset"  \
              " WHERE e.parent=?1")                                            \
  X(REJECT_COUNT, "SELECT count(*) FROM rejected WHERE kind=?1")               \
  X(REJECT, "INSERT OR IGNORE INTO rejected(parent,capability,class,value,"    \
            "key,hash,depth,kind,reason,priority,metadata,created)"            \
            " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)")                 \
  X(REJECTED, "SELECT id,class,value,key,parent,capability,depth,0,0,0,"       \
              "priority,metadata,created FROM rejected"                        \
              " WHERE parent=?1 AND kind='depth' ORDER BY id")                 \
  X(ROOTS, "SELECT root,count(*) FROM asset WHERE id<>root GROUP BY root")     \
  X(UNREJECT, "DELETE FROM rejected WHERE parent=?1 AND kind='depth'")         \
  X(JOB_PUT, "INSERT OR REPLACE INTO job(asset,capability,class,state,"        \
             "attempt,crashes,fanout,priority,due,reason,errors,ended,again,"  \
             "run,version) SELECT ?1,?2,class,?3,?4,?5,?6,?7,?8,?9,?10,?11,"   \
             "?12,?13,?14 FROM asset WHERE id=?1")                             \
  X(JOB_GET, RT__JOB_COLUMNS " WHERE asset=?1 AND capability=?2")              \
  X(JOB_DELETE, "DELETE FROM job WHERE asset=?1 AND capability=?2")            \
  X(JOB_ASIDE, RT__JOB_COLUMNS " WHERE class=?1 AND capability=?2 AND"         \
                               " state='queued' ORDER BY priority,asset"       \
                               " LIMIT ?3")                                    \
  X(JOB_DUE, RT__JOB_COLUMNS " WHERE state='delayed' AND due<=?1"              \
                             " ORDER BY due LIMIT ?2")                         \
  X(JOB_NEXT_DUE, "SELECT min(due) FROM job WHERE state='delayed'")            \
  X(JOB_SHIFT, "UPDATE job SET due=due-?1 WHERE state='delayed'")              \
  X(JOB_TAKE, "UPDATE job SET state='taken',due=NULL"                          \
              " WHERE asset=?1 AND capability=?2")                             \
  X(JOB_UNTAKE, "UPDATE job SET state='queued' WHERE state='taken'")           \
  X(JOB_CANCEL, "UPDATE job SET state='canceled',due=NULL"                     \
                " WHERE state IN ('queued','taken','delayed','held')")         \
  X(JOB_FAILED, RT__JOB_COLUMNS " WHERE state='failed' AND asset IN"           \
                                " (SELECT id FROM asset)"                      \
                                " ORDER BY asset LIMIT ?1")                    \
  X(RUNNING_PUT, "INSERT OR REPLACE INTO running VALUES(?1,?2)")               \
  X(RUNNING_GET, "SELECT j.value->>0, j.value->>1, j.value->>2"                \
                 " FROM running, json_each(running.jobs) j")                   \
  X(RUNNING_CLEAR, "DELETE FROM running")                                      \
  X(FOUND_GET, "SELECT run,seen,version,changed,changes,gone,fresh"            \
               " FROM found WHERE asset=?1")                                   \
  X(FOUND_PUT, "INSERT OR REPLACE INTO found VALUES(?1,?2,?3,?4,?5,?6,?7,?8)") \
  X(FOUND_DROP, "DELETE FROM found WHERE asset=?1")                            \
  X(METADATA, "UPDATE asset SET metadata=?2 WHERE id=?1")                      \
  X(RELEASE, "UPDATE job SET state='queued' WHERE asset=?1 AND capability=?2"  \
             " AND state='held'")                                              \
  X(UNHOLD, "UPDATE job SET state='queued' WHERE class=?1 AND capability=?2"   \
            " AND state='held' AND asset>?4 AND asset<=?5 AND NOT"             \
            " (SELECT aside FROM asset WHERE id=job.asset)&?3")                \
  X(CLAMP, "UPDATE job SET ended=?3,again=again-ended+?3 WHERE class=?1"       \
           " AND capability=?2 AND again IS NOT NULL AND ended>?3")            \
  X(STALE_PART, "SELECT ended FROM job" RT__STALE " ORDER BY ended"            \
                " LIMIT 1 OFFSET ?4")                                          \
  X(STALE_COUNT, "SELECT state,count(*) FROM job" RT__STALE " GROUP BY state") \
  X(STALE_ASSETS, "UPDATE asset SET done=done&~?4,aside=aside|?4 WHERE id IN"  \
                  " (SELECT asset FROM job" RT__STALE ")")                     \
  X(STALE_JOBS, "UPDATE job SET state=CASE WHEN (SELECT aside FROM asset"      \
                " WHERE id=job.asset)&?5 THEN 'held' ELSE 'queued' END,"       \
                "attempt=1,crashes=0,fanout=0,due=NULL,reason=NULL,"           \
                "errors=NULL,ended=NULL,again=NULL" RT__STALE)                 \
  X(ADOPT_ROWS, "UPDATE job SET again=ended+?3 WHERE class=?1"                 \
                " AND capability=?2"                                           \
                " AND state IN ('completed','skipped','failed')"               \
                " AND ended IS NOT NULL")                                      \
  X(ADOPT_NEW,                                                                 \
    "INSERT INTO job(asset,capability,class,state,attempt,crashes,"            \
    "fanout,priority,ended,again) SELECT a.id,?2,a.class,"                     \
    "'completed',1,0,0,0,a.created,a.created+?4 FROM asset a"                  \
    " WHERE a.class=?1 AND a.done&?3 AND NOT EXISTS(SELECT 1 FROM job j"       \
    " WHERE j.asset=a.id AND j.capability=?2)")                                \
  X(VERSIONS, "SELECT id,version FROM version WHERE capability=?1"             \
              " ORDER BY id")                                                  \
  X(HOLDS, "SELECT substr(name,1+length(?1)),value FROM meta"                  \
           " WHERE name>=?1 AND name<?2")                                      \
  X(HOLDS_OVER, "DELETE FROM meta WHERE name>='" RT__META_HOLD                 \
                "' AND name<'hold;' AND value<=?1")                            \
  X(VERSION_PUT, "INSERT INTO version(capability,version,since,created)"       \
                 " VALUES(?1,?2,?3,?4)")                                       \
  X(GONE, "SELECT j.asset,j.capability,a.id,"                                  \
          "NOT EXISTS(SELECT 1 FROM found f WHERE f.asset=a.id"                \
          " AND (f.run=?1 OR f.gone IS NOT NULL))"                             \
          " AND NOT EXISTS(SELECT 1 FROM edge e LEFT JOIN job k"               \
          " ON k.asset=e.parent AND k.capability=e.capability"                 \
          " WHERE e.asset=a.id AND (k.run IS NULL OR k.run<>?1"                \
          " OR k.state<>'completed'))"                                         \
          " FROM job j CROSS JOIN asset a INDEXED BY asset_parent"             \
          " ON a.parent=j.asset AND a.capability=j.capability"                 \
          " AND a.id>iif(j.asset=?3 AND j.capability=?4,?5,0) AND a.id<=?2"    \
          " WHERE (j.asset,j.capability)>=(?3,?4) AND j.asset<?6"              \
          " AND j.run=?1 AND j.state='completed'"                              \
          " ORDER BY j.asset,j.capability LIMIT ?7")
/* Finds of a job come in the order of that index, by their numbers: to sort
 * them would read all of them each time. */
/* Ended up to ?3 and not in run ?6, of a capability that runs again by time.
 * What is gone waits until it is found. */
#define RT__STALE                                                              \
  " WHERE class=?1 AND capability=?2 AND again IS NOT NULL AND ended<=?3"      \
  " AND run IS NOT ?6"                                                         \
  " AND NOT EXISTS(SELECT 1 FROM found f WHERE f.asset=job.asset AND f.gone "  \
  "IS NOT NULL)"
#define RT__FIND_COLUMNS                                                       \
  "SELECT a.id,a.parent,a.capability,a.depth,a.root,a.key,a.value,a.class,"    \
  "a.done,a.aside "
#define RT__JOB_COLUMNS                                                        \
  "SELECT asset,capability,state,attempt,crashes,fanout,priority,due,reason,"  \
  "errors,ended,class,run FROM job"

typedef enum rt__sql_id {
#define RT__SQL_ENUM(name, text) RT__SQL_##name,
  RT__SQL(RT__SQL_ENUM)
#undef RT__SQL_ENUM
      RT__SQL_COUNT
} rt__sql_id;

struct rt__store {
  sqlite3 *db;
  int lock; /* the ownership */
  char *path;
  bool created, open; /* open: inside a transaction */
  bool fresh;         /* there was no file before */
  bool died;          /* its last owner, and what ran then is still noted */
  bool cleared;       /* those notes are removed, by the next commit */
  uint64_t hash_key[2];
  int64_t last_asset, last_edge;
  rt__seen seen;
  char **classes; /* their names, by number - 1, once they were read */
  size_t class_count;
  uint64_t inode, device, journal; /* journal: the inode of its log */
  int frames;                      /* in the log, not all in the file yet */
  int64_t log_max;                 /* bytes; 0: no bound */
  bool held;                       /* a reader keeps them there */
  uint64_t checkpoint_ns;          /* not to be tried before */
  bool full;                       /* the last commit found no room */
  sqlite3_stmt *stmts[RT__SQL_COUNT];
};

/* The statement, ready to be bound; NULL sets `err`. */
sqlite3_stmt *rt__sql(rt__store *store, rt__sql_id which, rt_error *err);
/* Run one that gives no rows; resets it. */
rt_err rt__sql_run(rt__store *store, sqlite3_stmt *stmt, rt_error *err);
/* Begin when needed and get the statement: for those that change. */
sqlite3_stmt *rt__sql_change(rt__store *store, rt__sql_id which, rt_error *err);
/* Step to a row (true); at the end or on an error reset it and set *rc. */
bool rt__sql_row(rt__store *store, sqlite3_stmt *stmt, rt_err *rc,
                 rt_error *err);

/* Indexes by parent, made by the first who asks for children. */
rt_err rt__store_parent_index(rt__store *store, rt_error *err);

/* Keep the name of a class; false: no memory. */
bool rt__store_name_class(rt__store *store, int64_t id, const char *name);

#endif
