/* cli/progress.h - the live line of a running session. Main thread.
 * SPDX-License-Identifier: MIT */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "cli.h"

typedef struct progress progress;

/* NULL when `mode` ("auto", "always", "never") says that none is wanted (or
 * memory is short); the calls below allow that. */
progress *progress_new(cli *c, rt_session *session, const char *mode);
/* Show what is known, and ask for newer figures; call it a few times a second.
 * Never waits. */
void progress_tick(progress *p);
/* Take the line away. Figures still under way release the rest. */
void progress_end(progress *p);

#endif
