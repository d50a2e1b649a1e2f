/* test_net_parts.c - addresses, byte queues, /etc/hosts, DNS packets, and the
 * end of a network context while everything is under way.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/dial.h"
#include "net/dns.h"
#include "net/fifo.h"
#include "net/hosts.h"
#include "net/http.h"
#include "net/listener.h"
#include "net/lookup.h"
#include "net/udp.h"

static void fifo_agrees_with_a_stream(void **state) {
  (void)state;
  rt__fifo fifo = {0};
  char piece[3000];
  unsigned in = 0, out = 0, seed = 7;
  for (int round = 0; round < 3000; round++) {
    size_t add = (seed = seed * 1103515245u + 12345u) % sizeof(piece);
    size_t take = (seed = seed * 1103515245u + 12345u) % sizeof(piece);
    for (size_t i = 0; i < add; i++) piece[i] = (char)(in++ % 251);
    assert_true(rt__fifo_append(&fifo, piece, add));
    if (take > rt__fifo_size(&fifo)) take = rt__fifo_size(&fifo);
    for (size_t i = 0; i < take; i++)
      assert_int_equal((unsigned char)rt__fifo_front(&fifo)[i], out++ % 251);
    rt__fifo_consume(&fifo, take);
    assert_int_equal(rt__fifo_size(&fifo), in - out);
  }
  rt__fifo_consume(&fifo, rt__fifo_size(&fifo));
  assert_int_equal(rt__fifo_size(&fifo), 0);
  assert_string_equal(rt__fifo_front(&(rt__fifo){0}), "");
  rt__fifo_deinit(&fifo);
}

static void check_place(const char *text, bool good, const char *host,
                        unsigned port) {
  char got[RT__HOST_MAX];
  unsigned number = 53;
  assert_int_equal(rt__host_port(text, got, &number), good);
  if (!good) return;
  assert_string_equal(got, host);
  assert_int_equal(number, port);
}

static void hosts_and_ports_are_told_apart(void **state) {
  (void)state;
  rt__addr addr, other;
  char text[RT__ADDR_TEXT];
  check_place("127.0.0.1", true, "127.0.0.1", 53);
  check_place("127.0.0.1:5353", true, "127.0.0.1", 5353);
  check_place("ns.test:1", true, "ns.test", 1);
  check_place("[::1]:54", true, "::1", 54);
  check_place("[::1]", true, "::1", 53);
  check_place("::1", true, "::1", 53);
  check_place("", false, "", 0);
  check_place(":53", false, "", 0);
  check_place("a:", false, "", 0);
  check_place("a:0", false, "", 0);
  check_place("a:65536", false, "", 0);
  check_place("a:5x", false, "", 0);
  check_place("[::1]x", false, "", 0);
  assert_true(rt__addr_parse(&addr, "[::1]", 80));
  rt__addr_text(&addr, text);
  assert_string_equal(text, "::1");
  assert_int_equal(rt__addr_port(&addr), 80);
  assert_true(rt__addr_parse(&other, "::1", 80));
  assert_true(rt__addr_equal(&addr, &other));
  rt__addr_set_port(&other, 81);
  assert_false(rt__addr_equal(&addr, &other));
  assert_true(rt__addr_parse(&other, "127.0.0.1", 80));
  assert_false(rt__addr_equal(&addr, &other));
  assert_false(rt__addr_parse(&addr, "127.0.0.256", 1));
  assert_false(rt__addr_parse(&addr, "", 1));
  assert_false(rt__addr_parse(&addr, "name", 1));
}

/* --- DNS packets --------------------------------------------------------- */
static const unsigned char answer[] =
    "\x12\x34\x81\x80\0\1\0\5\0\0\0\0"
    "\1a\4test\0\0\xff\0\1"
    "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
    "\xc0\x0c\0\x0f\0\1\0\0\0\x3c\0\7\0\x0a\2mx\xc0\x0c"
    "\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\6\2hi\2yo"
    "\xc0\x0c\0\x1c\0\1\xff\xff\xff\xff\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
    "\xc0\x0c\x01\1\0\1\0\0\0\x3c\0\x0d\0\5issueca.net";

static int count_records(const unsigned char *packet, size_t size) {
  rt__dns_reader reader;
  rt__dns_record record;
  int count = 0, more = 1;
  if (!rt__dns_read(&reader, packet, size)) return -1;
  while ((more = rt__dns_next(&reader, &record)) > 0) {
    size_t offset = 0, length;
    const char *text;
    if (record.type == RT__DNS_TXT)
      while (rt__dns_text(&record, &offset, &text, &length))
        assert_true((const unsigned char *)text + length <= packet + size);
    count++;
  }
  return more == 0 ? count : -1;
}

static void records_are_read(void **state) {
  (void)state;
  rt__dns_reader reader;
  rt__dns_record record;
  assert_int_equal(count_records(answer, sizeof(answer) - 1), 5);
  assert_true(rt__dns_read(&reader, answer, sizeof(answer) - 1));
  assert_int_equal(rt__dns_next(&reader, &record), 1);
  assert_string_equal(record.name, "a.test");
  assert_int_equal(record.ttl, 60);
  assert_int_equal(rt__dns_next(&reader, &record), 1);
  assert_string_equal(record.target, "mx.a.test");
  assert_int_equal(record.preference, 10);
  assert_int_equal(rt__dns_next(&reader, &record), 1);
  assert_int_equal(rt__dns_next(&reader, &record), 1);
  assert_int_equal(record.ttl, 0); /* no ttl is as long as 2^31 */
}

static void every_cut_packet_is_noticed(void **state) {
  (void)state;
  for (size_t size = 0; size < sizeof(answer) - 1; size++) {
    unsigned char *copy = malloc(size + 1); /* the sanitizer guards its end */
    memcpy(copy, answer, size);
    assert_int_equal(count_records(copy, size), -1);
    free(copy);
  }
}

static void no_packet_breaks_the_reader(void **state) {
  (void)state;
  unsigned seed = 1;
  for (int round = 0; round < 200000; round++) {
    unsigned char packet[sizeof(answer) - 1];
    memcpy(packet, answer, sizeof(packet));
    for (int flips = 0; flips < 4; flips++) {
      seed = seed * 1103515245u + 12345u;
      packet[(seed >> 8) % sizeof(packet)] = (unsigned char)(seed >> 20);
    }
    count_records(packet, sizeof(packet));
  }
}

static void types_have_names(void **state) {
  (void)state;
  assert_int_equal(rt__dns_type("aaaa"), RT__DNS_AAAA);
  assert_string_equal(rt__dns_type_name(RT__DNS_MX), "MX");
  assert_int_equal(rt__dns_type("nope"), 0);
  assert_null(rt__dns_type_name(999));
}

/* --- with a context --------------------------------------------------------
 */
static rt__net *open_net(uv_loop_t *loop, const char *resolver) {
  rt_error err = RT_ERROR_INIT;
  rt__net *net;
  assert_int_equal(uv_loop_init(loop), 0);
  assert_int_equal(rt__net_new(&net, loop, resolver, &err), RT_OK);
  return net;
}

/* The loop ends by itself: no handle is forgotten. */
static void close_net(uv_loop_t *loop, rt__net *net) {
  rt__net_close(net);
  assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(loop), 0);
}

static void hosts_file_is_read(void **state) {
  (void)state;
  char path[] = "/tmp/rt-hosts-XXXXXX", text[RT__ADDR_TEXT];
  uv_loop_t loop;
  rt__net *net = open_net(&loop, NULL);
  rt__addr addrs[4];
  FILE *file = fdopen(mkstemp(path), "w");
  fputs("# comment\n\n192.0.2.1 One one.test # more\n::1\tone\n"
        "not-an-address x\n192.0.2.2 one two\n192.0.2.3",
        file);
  fclose(file);
  rt__hosts_use(net, path);
  assert_int_equal(rt__hosts_find(net, "ONE", addrs, 4), 3);
  rt__addr_text(&addrs[0], text);
  assert_string_equal(text, "192.0.2.1");
  rt__addr_text(&addrs[2], text);
  assert_string_equal(text, "::1");
  assert_int_equal(rt__hosts_find(net, "one", addrs, 1), 1);
  assert_int_equal(rt__hosts_find(net, "one.test", addrs, 4), 1);
  assert_int_equal(rt__hosts_find(net, "x", addrs, 4), 0);
  assert_int_equal(rt__hosts_find(net, "localhost", addrs, 4), 2);
  assert_int_equal(rt__hosts_find(net, "a.localhost.", addrs, 4), 2);
  assert_int_equal(rt__hosts_find(net, "alocalhost", addrs, 4), 0);
  unlink(path);
  close_net(&loop, net);
}

static void a_resolver_must_be_a_place(void **state) {
  (void)state;
  uv_loop_t loop;
  rt_error err = RT_ERROR_INIT;
  rt__net *net = open_net(&loop, "[::1]:5353");
  assert_string_equal(net->resolver, "[::1]:5353");
  close_net(&loop, net);
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_int_equal(rt__net_new(&net, &loop, "127.0.0.1:x", &err), RT_EINVAL);
  assert_null(net);
  assert_int_equal(rt__net_new(&net, &loop, "nosuch.test:53", &err), RT_EINVAL);
  assert_int_equal(uv_loop_close(&loop), 0);
}

static int ended;

static void on_query(void *arg, const unsigned char *packet, size_t size,
                     const rt_error *err) {
  (void)arg, (void)size;
  assert_null(packet);
  assert_int_equal(err->code, RT_ECANCELED);
  ended++;
}

static void on_lookup(void *arg, const rt__addr *addrs, size_t count,
                      const rt_error *err) {
  (void)arg, (void)addrs;
  assert_int_equal(count, 0);
  assert_int_equal(err->code, RT_ECANCELED);
  ended++;
}

static void on_dial(void *arg, int fd, const rt__addr *peer,
                    const rt_error *err) {
  (void)arg, (void)peer;
  assert_int_equal(fd, -1);
  assert_int_equal(err->code, RT_ECANCELED);
  ended++;
}

static void on_http(void *arg, rt__http_result *result, const rt_error *err) {
  (void)arg;
  assert_int_equal(result->status, 0);
  assert_int_equal(err->code, RT_ECANCELED);
  ended++;
}

static void on_accept(rt__acceptor *acceptor) {
  assert_int_equal(acceptor->fd, -1);
  assert_int_equal(acceptor->err.code, RT_ECLOSED);
  ended++;
}

/* More questions than the window takes, a look-up and a connection that wait
 * for answers: closing ends all, each once. */
static void closing_ends_what_is_under_way(void **state) {
  (void)state;
  enum { QUERIES = 300 };
  uv_loop_t loop;
  rt_error err = RT_ERROR_INIT;
  rt__net *net = open_net(&loop, NULL);
  rt__udp *mute;                  /* takes questions and answers none */
  rt__listener *listener, *quiet; /* whose connections nobody accepts */
  rt__acceptor acceptor = {.fn = on_accept};
  static rt__dns_query *queries[QUERIES];
  rt__lookup *lookup;
  rt__dial *dial;
  rt__http_request *requests[2];
  rt__http_opts http = {.url = "http://d.test/", .method = "GET"};
  char place[RT__ADDR_TEXT];
  ended = 0;
  assert_int_equal(rt__udp_new(&mute, net, "127.0.0.1", 0, &err), RT_OK);
  snprintf(net->resolver, sizeof(net->resolver), "127.0.0.1:%u",
           rt__addr_port(rt__udp_address(mute)));
  rt__dns_opts opts = {NULL, 30, 1, false};
  for (int i = 0; i < QUERIES; i++)
    assert_int_equal(rt__dns_ask(&queries[i], net, "a.test", RT__DNS_A, &opts,
                                 on_query, NULL, &err),
                     RT_OK);
  rt__dns_cancel(queries[0]);           /* in flight */
  rt__dns_cancel(queries[QUERIES - 1]); /* waiting */
  assert_int_equal(
      rt__lookup_start(&lookup, net, "b.test", NULL, on_lookup, NULL, &err),
      RT_OK);
  assert_int_equal(
      rt__dial_start(&dial, net, "c.test", 80, NULL, on_dial, NULL, &err),
      RT_OK);
  assert_int_equal(rt__listener_new(&listener, net, "127.0.0.1", 0, 0, &err),
                   RT_OK);
  rt__listener_accept(listener, &acceptor);
  assert_int_equal(rt__listener_new(&quiet, net, "127.0.0.1", 0, 0, &err),
                   RT_OK);
  snprintf(place, sizeof(place), "127.0.0.1:%u",
           rt__addr_port(rt__listener_address(quiet)));
  http.connect_to = place;
  for (int i = 0; i < 2; i++)
    assert_int_equal(
        rt__http_start(&requests[i], net, &http, on_http, NULL, &err), RT_OK);
  uv_run(&loop, UV_RUN_NOWAIT);
  rt__http_cancel(requests[0]);
  rt__udp_close(mute);
  rt__udp_unref(mute);
  rt__listener_close(listener);
  rt__listener_unref(listener);
  rt__listener_close(quiet);
  rt__listener_unref(quiet);
  close_net(&loop, net);
  assert_int_equal(ended, QUERIES - 2 + 4);
}

static void urls_are_taken_apart(void **state) {
  (void)state;
  rt__url url;
  rt_error err = RT_ERROR_INIT;
  assert_int_equal(rt__url_parse(&url, "HTTP://u:p%40@Host.test/a/../b#f", NULL,
                                 false, &err),
                   RT_OK);
  assert_string_equal(url.text, "http://Host.test/b");
  assert_string_equal(url.password, "p@");
  assert_int_equal(url.port, 80);
  rt__url_deinit(&url);
  assert_int_equal(
      rt__url_parse(&url, "//x.test:8443/ y", "https://a/b", false, &err),
      RT_OK);
  assert_string_equal(url.text, "https://x.test:8443/%20y");
  rt__url_deinit(&url);
  assert_int_equal(rt__url_parse(&url, "ftp://x/", NULL, false, &err),
                   RT_EINVAL);
  assert_int_equal(rt__url_parse(&url, "nonsense", NULL, false, &err),
                   RT_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fifo_agrees_with_a_stream),
      cmocka_unit_test(hosts_and_ports_are_told_apart),
      cmocka_unit_test(records_are_read),
      cmocka_unit_test(every_cut_packet_is_noticed),
      cmocka_unit_test(no_packet_breaks_the_reader),
      cmocka_unit_test(types_have_names),
      cmocka_unit_test(hosts_file_is_read),
      cmocka_unit_test(a_resolver_must_be_a_place),
      cmocka_unit_test(closing_ends_what_is_under_way),
      cmocka_unit_test(urls_are_taken_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
