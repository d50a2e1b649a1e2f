/* diskfault.h - a disk that fails, as SQLite in this program sees it.
 *
 * The system calls of SQLite's own file layer answer with an error, on all
 * files; fsync and fdatasync are those of the whole program. Any thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT_TEST_DISKFAULT_H
#define RT_TEST_DISKFAULT_H

typedef enum disk_state {
  DISK_WELL,
  DISK_FULL,            /* writes: ENOSPC */
  DISK_WRITES_FAIL,     /* writes: EIO */
  DISK_READS_FAIL,      /* reads: EIO */
  DISK_READ_ONLY,       /* writes: EROFS */
  DISK_OFTEN_FAILS,     /* one write of eight, ENOSPC or EIO, half written */
  DISK_SYNCS_FAIL,      /* fsync and fdatasync: EIO */
  DISK_OFTEN_SYNCS_FAIL /* one of four, at random */
} disk_state;

/* From now on, until called again. */
void disk_is(disk_state state);
/* --- a loss of power ------------------------------------------------- */
/* From now on keep in `kept` what of the SQLite files in `dir` is surely on the
 * disk: what was written before a sync that went well. What was written before
 * one that failed never gets there, unless it is written again, though it can
 * be read until then: so does Linux. Not after the files are there. */
void disk_keep(const char *dir, const char *kept);
/* Copy to the folder `to` what a loss of power now would leave. */
void disk_lose_power(const char *to);
void disk_keep_end(void);

/* DISK_SYNCS_FAIL, but only for so many. */
void disk_fails_syncs(int count);
/* How many calls have failed since disk_is() was last called. */
long disk_fired(void);

#endif
