/* exec.c - run a program (sys/exec.h).
 *
 *   input -> pipe 0 -> [child] -> pipe 1, 2 -> out[0], out[1]
 *                        pidfd -> on_exit
 *
 * SPDX-License-Identifier: MIT */
#include "sys/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "sys/sys_error.h"

/* Room for one read. */
#define CHUNK 65536

static void finish(rt__exec *x);

/* --- handles ------------------------------------------------------------ */

static void handle_closed(rt__exec *x) {
  if (--x->handles == 0) x->done(x);
}

static void on_pipe_closed(uv_handle_t *handle) {
  handle_closed(handle->data);
}

static void on_child_closed(rt__child *child) {
  handle_closed((rt__exec *)((char *)child - offsetof(rt__exec, child)));
}

static void close_pipe(rt__exec *x, int i) {
  if (!x->pipe_open[i]) return;
  x->pipe_open[i] = false;
  uv_close((uv_handle_t *)&x->pipe[i], on_pipe_closed);
}

static void maybe_finish(rt__exec *x) {
  if (x->finished || !x->child.exited) return;
  if (x->killed || !(x->pipe_open[1] || x->pipe_open[2])) finish(x);
}

static void finish(rt__exec *x) {
  x->finished = true;
  if (x->child.exited) rt__child_reap(&x->child, &x->code, &x->signal);
  for (int i = 0; i < 3; i++) close_pipe(x, i);
  rt__child_close(&x->child, on_child_closed);
}

static void on_exit_told(rt__child *child) {
  maybe_finish((rt__exec *)((char *)child - offsetof(rt__exec, child)));
}

void rt__exec_kill(rt__exec *x) {
  if (x->finished) return;
  x->killed = true;
  int rc = rt__child_kill(&x->child, SIGKILL);
  /* one that we may not kill is left behind */
  if (x->child.exited || (rc && rc != ESRCH)) finish(x);
}

/* --- output ------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
  rt__exec *x = handle->data;
  rt__buf *out = &x->out[handle == (uv_handle_t *)&x->pipe[2]];
  (void)size;
  *buf = uv_buf_init(NULL, 0);
  if (rt__buf_reserve(out, CHUNK))
    *buf = uv_buf_init(out->data + out->size, CHUNK);
}

static void too_much(rt__exec *x) {
  x->rc = rt_fail(&x->error, RT_EFULL, "exec: output of more than %zu bytes",
                  x->max);
  rt__exec_kill(x);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  rt__exec *x = stream->data;
  int i = stream == (uv_stream_t *)&x->pipe[2] ? 2 : 1;
  rt__buf *out = &x->out[i - 1];
  (void)buf;
  if (n < 0) {
    if (n == UV_ENOBUFS && x->rc == RT_OK)
      x->rc = rt_fail(&x->error, RT_ENOMEM, "exec: no memory for the output");
    close_pipe(x, i);
    maybe_finish(x);
    return;
  }
  if (x->forwards & 1u << i)
    x->forward(x, i, out->data + out->size, (size_t)n);
  else
    out->size += (size_t)n;
  if (out->size > x->max) too_much(x);
}

/* --- starting ----------------------------------------------------------- */

static void on_written(uv_write_t *write, int status) {
  (void)status; /* it may end without reading all */
  close_pipe(write->data, 0);
}

static void feed(rt__exec *x) {
  size_t size = x->input_size;
  uv_buf_t buf = uv_buf_init((char *)x->input, (unsigned)size);
  x->write.data = x;
  if (size == 0 ||
      uv_write(&x->write, (uv_stream_t *)&x->pipe[0], &buf, 1, on_written) < 0)
    close_pipe(x, 0);
}

/* A pipe whose ends are none of 0, 1 and 2, which the child's will be. */
static int make_pipe(int ends[2]) {
  int pair[2];
  if (pipe2(pair, O_CLOEXEC) < 0) return errno;
  for (int i = 0; i < 2; i++) {
    ends[i] = pair[i] > 2 ? pair[i] : fcntl(pair[i], F_DUPFD_CLOEXEC, 3);
    if (ends[i] != pair[i]) close(pair[i]);
  }
  return ends[0] < 0 || ends[1] < 0 ? EMFILE : 0;
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static int make_pipes(const rt__exec *x, int ours[3], int theirs[3]) {
  for (int i = 0; i < 3; i++) {
    int ends[2] = {-1, -1};
    if (i == 0 && !x->input) continue;
    int rc = make_pipe(ends);
    ours[i] = ends[i == 0];
    theirs[i] = ends[i != 0];
    if (rc) return rc;
  }
  return 0;
}

/* From here on there is a child: what fails now ends by killing it. */
static void attach(rt__exec *x, uv_loop_t *loop, int ours[3]) {
  x->handles = 1;
  for (int i = 0; i < 3; i++) {
    if (ours[i] < 0) continue;
    uv_pipe_init(loop, &x->pipe[i], 0);
    x->pipe[i].data = x;
    x->pipe_open[i] = true;
    x->handles++;
    int rc = uv_pipe_open(&x->pipe[i], ours[i]);
    if (rc == 0) ours[i] = -1; /* takes it */
    if (rc == 0 && i > 0)
      rc = uv_read_start((uv_stream_t *)&x->pipe[i], on_alloc, on_read);
    if (rc < 0 && x->rc == RT_OK)
      x->rc = rt__sys_fail(&x->error, rc, "exec: cannot set up a pipe");
  }
  if (x->rc != RT_OK)
    rt__exec_kill(x);
  else if (x->pipe_open[0])
    feed(x);
}

rt_err rt__exec_start(rt__exec *x, uv_loop_t *loop, rt__child_spec *spec,
                      rt_error *err) {
  int ours[3] = {-1, -1, -1}, theirs[3] = {-1, -1, -1};
  rt_err rc = RT_OK;
  int number = make_pipes(x, ours, theirs);
  if (number) {
    rc = rt__sys_fail(err, number, "exec: cannot make a pipe");
    goto cleanup;
  }
  memcpy(spec->stdio, theirs, sizeof(theirs));
  rc = rt__child_spawn(&x->child, loop, spec, on_exit_told, err);
  if (rc == RT_OK) attach(x, loop, ours);

cleanup:
  for (int i = 0; i < 3; i++) {
    close_fd(&ours[i]);
    close_fd(&theirs[i]);
  }
  return rc;
}

void rt__exec_deinit(rt__exec *x) {
  rt__buf_deinit(&x->out[0]);
  rt__buf_deinit(&x->out[1]);
}
