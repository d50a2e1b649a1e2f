/* test_net_resolver.c - the runtime's resolver holds for every module.
 *
 * A DNS server of our own knows one name, lab.test, which is 127.0.0.1; the
 * scripts reach it through dns, tcp, tls, udp and http.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "rt/runtime.h"
#include "uv.h"

static const unsigned char known[] = "\3lab\4test\0";

typedef struct server {
  int fd;
  char place[32];
  uv_thread_t thread;
} server;

/* An answer in place: the question with its record, or "no such name". */
static size_t answer(unsigned char *packet, size_t size) {
  size_t name = sizeof(known) - 1, end = 12 + name + 4;
  bool mine = size >= end && memcmp(packet + 12, known, name) == 0;
  bool address = mine && packet[12 + name + 1] == 1;
  if (!mine) end = 12 + strlen((char *)packet + 12) + 1 + 4;
  packet[2] = 0x81;
  packet[3] = mine ? 0x80 : 0x83;
  packet[7] = address ? 1 : 0;
  packet[11] = 0; /* without the question's additional record */
  if (!address) return end;
  memcpy(packet + end, "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1", 16);
  return end + 16;
}

static void serve(void *arg) {
  server *s = arg;
  unsigned char packet[1500];
  struct sockaddr_in peer;
  socklen_t length = sizeof(peer);
  ssize_t size;
  /* a datagram shorter than a header ends it */
  while ((size = recvfrom(s->fd, packet, 600, 0, (struct sockaddr *)&peer,
                          &length)) >= 12) {
    sendto(s->fd, packet, answer(packet, (size_t)size), 0,
           (struct sockaddr *)&peer, length);
    length = sizeof(peer);
  }
}

static void start_server(server *s) {
  struct sockaddr_in local = {.sin_family = AF_INET};
  socklen_t length = sizeof(local);
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(s->fd, (struct sockaddr *)&local, length), 0);
  assert_int_equal(getsockname(s->fd, (struct sockaddr *)&local, &length), 0);
  snprintf(s->place, sizeof(s->place), "127.0.0.1:%u", ntohs(local.sin_port));
  assert_int_equal(uv_thread_create(&s->thread, serve, s), 0);
}

static void stop_server(server *s) {
  struct sockaddr_in local;
  socklen_t length = sizeof(local);
  getsockname(s->fd, (struct sockaddr *)&local, &length);
  sendto(s->fd, "", 0, 0, (struct sockaddr *)&local, length);
  uv_thread_join(&s->thread);
  close(s->fd);
}

static void on_output(int fd, const char *text, size_t size, void *arg) {
  (void)arg;
  fwrite(text, 1, size, fd == 1 ? stdout : stderr);
}

static int run(const char *resolver, const char *code) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_script script = RT_SCRIPT_INIT;
  rt_error err = RT_ERROR_INIT;
  rt_runtime *rt;
  int exit_code = -1;
  opts.workers = 1;
  opts.resolver = resolver;
  opts.output = on_output;
  if (rt_runtime_new(&rt, &opts, &err) != RT_OK) {
    print_error("%s\n", err.message);
    return -2;
  }
  script.code = code;
  script.code_size = strlen(code);
  script.name = "=script";
  assert_int_equal(rt_runtime_run(rt, &script, &exit_code, &err), RT_OK);
  rt_runtime_free(rt);
  return exit_code;
}

static void it_holds_everywhere(void **state) {
  (void)state;
  server s;
  start_server(&s);
  assert_int_equal(
      run(s.place,
          "local dns, tcp, udp = require('dns'), require('tcp'), "
          "require('udp')\n"
          "local http, wait = require('http'), { timeout = 30 }\n"
          "assert(assert(dns.resolve('lab.test'))[1].address == '127.0.0.1')\n"
          "assert(#assert(dns.resolve('lab.test', 'MX')) == 0)\n"
          "assert(assert(dns.lookup('lab.test.'))[1] == '127.0.0.1')\n"
          "local web = assert(http.listen('127.0.0.1', 0, function(r)\n"
          "  return r.headers.host end))\n"
          "local port = web:port()\n"
          "local conn = assert(tcp.connect('lab.test', port, wait))\n"
          "assert(conn:peer() == '127.0.0.1')\n"
          "conn:close()\n"
          "local url = 'http://lab.test:' .. port\n"
          "assert(assert(http.get(url, wait)).body == 'lab.test:' .. port)\n"
          "web:close()\n"
          "local here = assert(udp.open('127.0.0.1', 0))\n"
          "assert(here:send('x', 'lab.test', here:port(), wait))\n"
          "assert(here:receive(wait) == 'x')\n"
          "here:close()\n"),
      0);
  stop_server(&s);
}

static void names_it_does_not_know_are_not_found(void **state) {
  (void)state;
  server s;
  start_server(&s);
  assert_int_equal(
      run(s.place,
          "local function none(value, err)\n"
          "  assert(value == nil and err:kind() == 'NOT_FOUND', "
          "tostring(err))\n"
          "end\n"
          "none(require('dns').resolve('other.test'))\n"
          "none(require('tcp').connect('other.test', 80, { timeout = 30 }))\n"
          "none(require('tls').connect('other.test', 443, { timeout = 30 }))\n"
          "none(require('http').get('http://other.test/', { timeout = 30 "
          "}))\n"),
      0);
  stop_server(&s);
}

/* Sockets of every kind are open when the script ends or fails. */
static void nothing_is_left_behind(void **state) {
  (void)state;
  server s;
  start_server(&s);
  assert_int_equal(
      run(s.place,
          "local tcp, udp = require('tcp'), require('udp')\n"
          "local server = assert(tcp.listen('127.0.0.1', 0))\n"
          "local a = assert(tcp.connect('127.0.0.1', server:port()))\n"
          "local b = assert(server:accept())\n"
          "local c = assert(udp.open())\n"
          "coroutine.spawn(function() a:read('all') end)\n"
          "coroutine.spawn(function() server:accept() end)\n"
          "coroutine.spawn(function() c:receive() end)\n"
          "coroutine.spawn(function()\n"
          "  require('http').get('http://lab.test:' .. server:port()) end)\n"
          "coroutine.spawn(function() b:write(('x'):rep(2 ^ 24)) end)\n"
          "require('time').sleep(0.01)\n"
          "os.exit(7)\n"),
      7);
  stop_server(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(it_holds_everywhere),
      cmocka_unit_test(names_it_does_not_know_are_not_found),
      cmocka_unit_test(nothing_is_left_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
