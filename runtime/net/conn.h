/* net/conn.h - a connected stream: TCP, or TLS over it.
 *
 * Bytes are taken from the socket only while a reader waits, so a peer that
 * sends to nobody fills the kernel's buffers and stops. Writes are queued and
 * sent as the peer takes them. A connection is counted: closing it ends what
 * waits, the memory goes with the last reference.
 *
 *   socket -> recv -> [tls] -> in  -> reader
 *   socket <- send <- out  <- [tls] <- write
 *
 * SPDX-License-Identifier: MIT */
#ifndef RT__NET_CONN_H
#define RT__NET_CONN_H

#include "net/fifo.h"
#include "net/net.h"

typedef struct rt__conn rt__conn;
struct rt__tls;

typedef enum rt__read_mode {
  RT__READ_SOME,  /* what is there, at most `limit` bytes */
  RT__READ_EXACT, /* `limit` bytes, fewer only at the end */
  RT__READ_LINE,  /* to a line feed; a longer one than `limit` is refused */
  RT__READ_ALL,   /* to the end, or `limit` bytes (refused when strict) */
  RT__READ_READY  /* nothing: until the TLS handshake is over */
} rt__read_mode;

/* Somebody who waits to read; one at a time. The caller's memory. */
typedef struct rt__reader {
  rt__read_mode mode;
  size_t limit;
  bool strict;
  void (*fn)(struct rt__reader *reader); /* ready: see rt__conn_result() */
  void *arg;
  size_t scanned; /* zero at first; no line feed before here */
} rt__reader;

/* Somebody who waits for what was written so far to be sent, or for shutdown.
 * The caller's memory. */
typedef struct rt__writer {
  void (*fn)(struct rt__writer *writer);
  void *arg;
  uint64_t target;
  bool shutdown;
  struct rt__writer *next;
} rt__writer;

typedef enum rt__read_state {
  RT__READ_WAIT, /* not yet */
  RT__READ_DATA,
  RT__READ_END,
  RT__READ_FAIL
} rt__read_state;

struct rt__conn {
  rt__net *net;
  unsigned refs;
  int fd; /* -1 once closed */
  bool poll_open, eof, shut_wanted, shut_done;
  int events; /* what the poll waits for */
  uv_poll_t poll;
  rt__fifo in, out;
  rt__reader *reader;
  rt__writer *writers;
  uint64_t queued, sent; /* bytes since the beginning */
  rt_error read_fault, write_fault;
  rt__addr peer;
  struct rt__tls *tls; /* NULL: plain TCP */
};

/* Around a connected, non-blocking socket, which it takes on RT_OK. */
rt_err rt__conn_new(rt__conn **out, rt__net *net, int fd, const rt__addr *peer,
                    rt_error *err);
rt__conn *rt__conn_ref(rt__conn *conn);
void rt__conn_unref(rt__conn *conn);
/* Idempotent. Who waits is called, and finds RT_ECLOSED. */
void rt__conn_close(rt__conn *conn);

/* Wait until rt__conn_result() has an answer; `fn` may be called before this
 * returns. RT_ECONFLICT: another reader waits. */
rt_err rt__conn_read(rt__conn *conn, rt__reader *reader, rt_error *err);
void rt__conn_stop_read(rt__conn *conn, rt__reader *reader);
/* What the reader can have now. RT__READ_DATA: `size` bytes at `*data`, of
 * which the first `*take` are to be consumed with rt__conn_consume(). */
rt__read_state rt__conn_result(rt__conn *conn, rt__reader *reader,
                               const char **data, size_t *size, size_t *take,
                               rt_error *err);
void rt__conn_consume(rt__conn *conn, size_t size);

/* Queue bytes; they are copied. */
rt_err rt__conn_write(rt__conn *conn, const void *data, size_t size,
                      rt_error *err);
/* Send no more once the queue is empty. */
void rt__conn_shutdown(rt__conn *conn);
/* Wait until all that was queued is sent (and shut down, when `shutdown`), or
 * cannot be; true: no need to wait, and `fn` will not be called. The outcome
 * is rt__conn_sent(). */
bool rt__conn_wait_sent(rt__conn *conn, rt__writer *writer);
void rt__conn_stop_wait(rt__conn *conn, rt__writer *writer);
rt_err rt__conn_sent(const rt__conn *conn, rt_error *err);

/* The local address; false once closed. */
bool rt__conn_local(const rt__conn *conn, rt__addr *out);

/* --- for tls.c ---------------------------------------------------------- */
/* Queue raw bytes for the socket. */
rt_err rt__conn_send_raw(rt__conn *conn, const void *data, size_t size);
void rt__conn_read_failed(rt__conn *conn, const rt_error *err);

#endif
