/* conn.c - a connected stream on the loop (net/conn.h).
 *
 * The socket is driven directly instead of through uv_tcp_t: libuv's streams
 * write without MSG_NOSIGNAL, and reading straight into the context's buffer
 * costs no allocation for the thousands of connections that only wait. The
 * poll handle is made when something first has to wait; it keeps waiting for
 * input until an event finds no reader, which saves two system calls for each
 * exchange. SPDX-License-Identifier: MIT */
#include "net/conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/tls.h"

enum { READS_PER_EVENT = 4 };

rt_err rt__conn_new(rt__conn **out, rt__net *net, int fd, const rt__addr *peer,
                    rt_error *err) {
  int on = 1;
  rt__conn *conn = calloc(1, sizeof(*conn));
  *out = NULL;
  if (!conn) return rt_fail(err, RT_ENOMEM, "connection: no memory");
  conn->net = rt__net_ref(net);
  conn->refs = 1;
  conn->fd = fd;
  conn->peer = *peer;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  *out = conn;
  return RT_OK;
}

rt__conn *rt__conn_ref(rt__conn *conn) {
  conn->refs++;
  return conn;
}

void rt__conn_unref(rt__conn *conn) {
  if (!conn || --conn->refs > 0) return;
  conn->refs = 1; /* closing must not come back here */
  rt__conn_close(conn);
  if (--conn->refs > 0) return; /* its handle holds it */
  rt__tls_free(conn->tls);
  rt__fifo_deinit(&conn->in);
  rt__fifo_deinit(&conn->out);
  rt__net_unref(conn->net);
  free(conn);
}

static void on_poll_closed(uv_handle_t *handle) {
  rt__conn_unref(handle->data);
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Wait for what there is to wait for. */
static void update_poll(rt__conn *conn) {
  int want = 0, code = 0;
  bool more = !conn->eof && !conn->read_fault.code;
  if (conn->fd < 0) return;
  if (more && conn->reader) want |= UV_READABLE;
  if (more) want |= conn->events & UV_READABLE;
  if (rt__fifo_size(&conn->out) > 0) want |= UV_WRITABLE;
  if (want == conn->events) return;
  if (!conn->poll_open) {
    code = uv_poll_init(conn->net->loop, &conn->poll, conn->fd);
    conn->poll_open = code == 0;
    conn->poll.data = conn;
    if (code == 0) rt__conn_ref(conn); /* until on_poll_closed */
  }
  conn->events = want;
  if (code == 0)
    code = want ? uv_poll_start(&conn->poll, want, on_poll)
                : uv_poll_stop(&conn->poll);
  if (code == 0) return;
  conn->events = 0;
  if (!conn->read_fault.code)
    rt__net_fault(&conn->read_fault, code, "connection");
}

/* --- writing ----------------------------------------------------------- */
static bool is_over(const rt__conn *conn, const rt__writer *writer) {
  if (conn->write_fault.code) return true;
  if (conn->sent < writer->target) return false;
  return !writer->shutdown || conn->shut_done;
}

static void wake_writers(rt__conn *conn) {
  rt__writer **at = &conn->writers;
  while (*at) {
    rt__writer *writer = *at;
    if (!is_over(conn, writer)) {
      at = &writer->next;
      continue;
    }
    *at = writer->next;
    writer->fn(writer);
    at = &conn->writers; /* the list may have changed */
  }
}

static void write_failed(rt__conn *conn, int code) {
  rt__net_fault(&conn->write_fault, code, "write");
  rt__fifo_deinit(&conn->out);
}

/* Bytes the kernel took, 0 when it takes none now, or -errno. */
static ssize_t send_some(rt__conn *conn, const char *data, size_t size) {
  ssize_t n;
  do {
    n = send(conn->fd, data, size, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
  conn->sent += (uint64_t)n;
  return n;
}

static void finish_shutdown(rt__conn *conn) {
  if (!conn->shut_wanted || conn->shut_done || conn->fd < 0) return;
  if (rt__fifo_size(&conn->out) > 0) return;
  shutdown(conn->fd, SHUT_WR);
  conn->shut_done = true;
}

static void flush(rt__conn *conn) {
  ssize_t n = 1;
  size_t size;
  while (n > 0 && (size = rt__fifo_size(&conn->out)) > 0) {
    n = send_some(conn, rt__fifo_front(&conn->out), size);
    if (n > 0) rt__fifo_consume(&conn->out, (size_t)n);
  }
  if (n < 0)
    write_failed(conn, (int)n);
  else
    finish_shutdown(conn);
  wake_writers(conn);
}

rt_err rt__conn_send_raw(rt__conn *conn, const void *data, size_t size) {
  const char *at = data;
  size_t left = size;
  ssize_t n = 1;
  if (conn->write_fault.code) return conn->write_fault.code;
  conn->queued += size;
  if (rt__fifo_size(&conn->out) == 0)
    while (left > 0 && n > 0) {
      n = send_some(conn, at, left);
      if (n > 0) {
        at += n;
        left -= (size_t)n;
      }
    }
  if (n < 0)
    write_failed(conn, (int)n);
  else if (!rt__fifo_append(&conn->out, at, left))
    write_failed(conn, ENOMEM);
  update_poll(conn);
  return conn->write_fault.code;
}

rt_err rt__conn_sent(const rt__conn *conn, rt_error *err) {
  if (conn->write_fault.code && err) *err = conn->write_fault;
  return conn->write_fault.code;
}

rt_err rt__conn_write(rt__conn *conn, const void *data, size_t size,
                      rt_error *err) {
  rt_err rc;
  if (conn->write_fault.code) return rt__conn_sent(conn, err);
  if (conn->shut_wanted)
    return rt_fail(err, RT_ECLOSED, "write: the connection is shut down");
  if (conn->tls) return rt__tls_write(conn, data, size, err);
  rc = rt__conn_send_raw(conn, data, size);
  return rc == RT_OK ? rc : rt__conn_sent(conn, err);
}

void rt__conn_shutdown(rt__conn *conn) {
  if (conn->fd < 0 || conn->shut_wanted) return;
  if (conn->tls) rt__tls_goodbye(conn);
  conn->shut_wanted = true;
  finish_shutdown(conn);
}

bool rt__conn_wait_sent(rt__conn *conn, rt__writer *writer) {
  rt__writer **at = &conn->writers;
  writer->target = conn->queued;
  writer->next = NULL;
  if (is_over(conn, writer)) return true;
  while (*at) at = &(*at)->next;
  *at = writer;
  return false;
}

void rt__conn_stop_wait(rt__conn *conn, rt__writer *writer) {
  rt__writer **at = &conn->writers;
  while (*at && *at != writer) at = &(*at)->next;
  if (*at) *at = writer->next;
}

/* --- reading ----------------------------------------------------------- */
static rt__read_state nothing_more(const rt__conn *conn, rt_error *err) {
  if (conn->read_fault.code) {
    *err = conn->read_fault;
    return RT__READ_FAIL;
  }
  return conn->eof ? RT__READ_END : RT__READ_WAIT;
}

static rt__read_state too_long(const rt__reader *reader, rt_error *err) {
  rt_fail(err, RT_EINVAL, "read: more than %zu bytes%s", reader->limit,
          reader->mode == RT__READ_LINE ? " in a line" : "");
  return RT__READ_FAIL;
}

static rt__read_state line_result(rt__conn *conn, rt__reader *reader,
                                  const char *data, size_t *size, size_t *take,
                                  rt_error *err) {
  size_t there = rt__fifo_size(&conn->in);
  const char *feed =
      there > reader->scanned
          ? memchr(data + reader->scanned, '\n', there - reader->scanned)
          : NULL;
  if ((feed ? (size_t)(feed - data) : there) > reader->limit)
    return too_long(reader, err);
  if (feed) {
    *take = (size_t)(feed - data) + 1;
    *size = *take - 1;
    if (*size > 0 && data[*size - 1] == '\r') --*size;
    return RT__READ_DATA;
  }
  reader->scanned = there;
  if (conn->eof && there > 0) {
    *size = *take = there;
    return RT__READ_DATA;
  }
  return nothing_more(conn, err);
}

/* `enough` bytes end the wait; fewer do at the end of the stream. */
static rt__read_state bytes_result(rt__conn *conn, size_t enough, size_t most,
                                   size_t *size, size_t *take, rt_error *err) {
  size_t there = rt__fifo_size(&conn->in);
  if (there < enough && !(conn->eof && there > 0))
    return nothing_more(conn, err);
  *size = *take = there < most ? there : most;
  return RT__READ_DATA;
}

rt__read_state rt__conn_result(rt__conn *conn, rt__reader *reader,
                               const char **data, size_t *size, size_t *take,
                               rt_error *err) {
  *data = rt__fifo_front(&conn->in);
  *size = *take = 0;
  switch (reader->mode) {
  case RT__READ_READY:
    if (conn->tls && rt__tls_ready(conn)) return RT__READ_DATA;
    return nothing_more(conn, err);
  case RT__READ_LINE:
    return line_result(conn, reader, *data, size, take, err);
  case RT__READ_EXACT:
    return bytes_result(conn, reader->limit, reader->limit, size, take, err);
  case RT__READ_ALL:
    if (reader->strict && rt__fifo_size(&conn->in) > reader->limit)
      return too_long(reader, err);
    if (!reader->strict)
      return bytes_result(conn, reader->limit, reader->limit, size, take, err);
    return bytes_result(conn, reader->limit + 1, reader->limit, size, take,
                        err);
  case RT__READ_SOME:
    break;
  }
  return bytes_result(conn, 1, reader->limit, size, take, err);
}

void rt__conn_consume(rt__conn *conn, size_t size) {
  if (size > 0) rt__fifo_consume(&conn->in, size);
}

static void check_reader(rt__conn *conn) {
  rt__reader *reader = conn->reader;
  const char *data;
  size_t size, take;
  rt_error err = RT_ERROR_INIT;
  if (!reader) return;
  if (rt__conn_result(conn, reader, &data, &size, &take, &err) == RT__READ_WAIT)
    return;
  conn->reader = NULL;
  reader->fn(reader);
}

void rt__conn_read_failed(rt__conn *conn, const rt_error *err) {
  if (!conn->read_fault.code) conn->read_fault = *err;
}

static void received(rt__conn *conn, const char *data, size_t size) {
  rt_error err = RT_ERROR_INIT;
  if (conn->tls) {
    rt__tls_receive(conn, data, size);
  } else if (!rt__fifo_append(&conn->in, data, size)) {
    rt_fail(&err, RT_ENOMEM, "read: no memory");
    rt__conn_read_failed(conn, &err);
  }
}

static void received_end(rt__conn *conn) {
  if (conn->tls)
    rt__tls_eof(conn);
  else
    conn->eof = true;
}

/* Take from the socket until the reader has what it waits for. */
static void receive(rt__conn *conn) {
  rt_error err = RT_ERROR_INIT;
  for (int i = 0; i < READS_PER_EVENT && conn->reader && !conn->eof &&
                  !conn->read_fault.code;
       i++) {
    ssize_t n = recv(conn->fd, conn->net->scratch, RT__NET_SCRATCH, 0);
    if (n > 0) {
      received(conn, conn->net->scratch, (size_t)n);
    } else if (n == 0) {
      received_end(conn);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      rt__net_fault(&err, errno, "read");
      rt__conn_read_failed(conn, &err);
    }
    check_reader(conn);
  }
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  rt__conn *conn = rt__conn_ref(poll->data);
  if (status < 0) { /* libuv stopped it: send and recv know the reason */
    conn->events = 0;
    events = UV_READABLE | UV_WRITABLE;
  }
  if (events & UV_WRITABLE) flush(conn);
  if (events & UV_READABLE) {
    if (!conn->reader) {
      conn->events &= ~UV_READABLE;
      if (conn->fd >= 0 && status == 0) {
        if (conn->events)
          uv_poll_start(poll, conn->events, on_poll);
        else
          uv_poll_stop(poll);
      }
    } else {
      receive(conn);
    }
  }
  update_poll(conn);
  rt__conn_unref(conn);
}

rt_err rt__conn_read(rt__conn *conn, rt__reader *reader, rt_error *err) {
  if (conn->reader)
    return rt_fail(err, RT_ECONFLICT,
                   "read: another coroutine reads this connection");
  rt__conn_ref(conn);
  conn->reader = reader;
  check_reader(conn);
  if (conn->reader) receive(conn);
  update_poll(conn);
  rt__conn_unref(conn);
  return RT_OK;
}

void rt__conn_stop_read(rt__conn *conn, rt__reader *reader) {
  if (conn->reader == reader) conn->reader = NULL;
}

/* --- the end ----------------------------------------------------------- */
void rt__conn_close(rt__conn *conn) {
  rt_error closed = RT_ERROR_INIT;
  if (conn->fd < 0) return;
  if (conn->tls && !conn->shut_wanted) rt__tls_goodbye(conn);
  rt_fail(&closed, RT_ECLOSED, "the connection is closed");
  conn->read_fault = conn->write_fault = closed;
  if (conn->poll_open) {
    uv_poll_stop(&conn->poll);
    uv_close((uv_handle_t *)&conn->poll, on_poll_closed);
  }
  close(conn->fd);
  conn->fd = -1;
  rt__fifo_deinit(&conn->in);
  rt__fifo_deinit(&conn->out);
  check_reader(conn);
  wake_writers(conn);
}

bool rt__conn_local(const rt__conn *conn, rt__addr *out) {
  socklen_t size = sizeof(*out);
  memset(out, 0, sizeof(*out));
  return conn->fd >= 0 && getsockname(conn->fd, &out->sa, &size) == 0;
}
