/* two.c - two runtimes in one program that know nothing of each other: the host
 * carries messages from one to the other, as a process of both.
 *   cc two.c $(pkg-config --cflags --libs runtime) -o two && ./two
 * SPDX-License-Identifier: MIT */
#include <rt/rt.h>
#include <stdio.h>
#include <string.h>

typedef struct side {
  rt_runtime *rt;
  rt_pid gate;   /* the host, as this runtime's scripts see it */
  rt_pid script; /* the one that runs here */
} side;

static const char asks[] = "local answers = process.listen('answer')\n"
                           "for n = 1, 3 do\n"
                           "  process.send('gate', 'question', n)\n"
                           "  print(n, 'squared is', (answers:receive()))\n"
                           "end\n";

static const char knows[] =
    "for message in process.inbox():values() do\n"
    "  process.send('gate', 'answer', message:payload() ^ 2)\n"
    "end\n";

static void on_output(int fd, const char *text, size_t size, void *arg) {
  (void)arg;
  fwrite(text, 1, size, fd == 1 ? stdout : stderr);
}

static rt_err open_side(side *s, const char *code, rt_error *err) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_process_opts gate = RT_PROCESS_OPTS_INIT;
  rt_err rc;
  opts.workers = 1;
  opts.output = on_output;
  gate.name = "gate";
  rc = rt_runtime_new(&s->rt, &opts, err);
  if (rc == RT_OK) rc = rt_process_start(s->rt, &s->gate, &gate, err);
  if (rc == RT_OK)
    rc = rt_process_spawn_code(s->rt, &s->script, code, strlen(code), "script",
                               NULL, NULL, NULL, err);
  if (rc == RT_OK) rc = rt_process_monitor(s->rt, s->gate, s->script);
  return rc;
}

/* The next message at one gate goes to the script behind the other; *over when
 * the script has ended instead. */
static rt_err carry(const side *from, const side *to, bool *over,
                    rt_error *err) {
  rt_mail *mail = NULL;
  rt_err rc = rt_process_receive(from->rt, from->gate, 30, &mail, err);
  *over = rc != RT_OK || mail->kind != RT_MAIL_MESSAGE;
  if (!*over)
    rc = rt_process_send_as(to->rt, to->gate, to->script, mail->topic,
                            mail->payloads, err);
  rt_mail_free(mail);
  return rc;
}

int main(void) {
  rt_error err = RT_ERROR_INIT;
  side left, right;
  bool over = false;
  rt_err rc;
  memset(&left, 0, sizeof(left));
  memset(&right, 0, sizeof(right));
  rc = open_side(&left, asks, &err);
  if (rc == RT_OK) rc = open_side(&right, knows, &err);
  while (rc == RT_OK && !over) {
    rc = carry(&left, &right, &over, &err);
    if (rc == RT_OK && !over) rc = carry(&right, &left, &over, &err);
  }
  rt_runtime_free(left.rt);
  rt_runtime_free(right.rt);
  if (rc != RT_OK) fprintf(stderr, "two: %s\n", err.message);
  return rc != RT_OK;
}
