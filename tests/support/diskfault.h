/* diskfault.h - a disk that fails, as SQLite in this program sees it.
 *
 * The system calls of SQLite's own file layer answer with an error, on all
 * files. Any thread.
 * SPDX-License-Identifier: MIT */
#ifndef RT_TEST_DISKFAULT_H
#define RT_TEST_DISKFAULT_H

typedef enum disk_state {
  DISK_WELL,
  DISK_FULL,        /* writes: ENOSPC */
  DISK_WRITES_FAIL, /* writes: EIO */
  DISK_READS_FAIL,  /* reads: EIO */
  DISK_READ_ONLY,   /* writes: EROFS */
  DISK_OFTEN_FAILS  /* one write of eight, ENOSPC or EIO, half written */
} disk_state;

/* From now on, until called again. */
void disk_is(disk_state state);
/* How many calls have failed since disk_is() was last called. */
long disk_fired(void);

#endif
