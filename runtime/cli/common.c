/* cli/common.c - what several commands need: options, names, a runtime.
 * SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

static bool is_address(const char *host, size_t size) {
  char text[64];
  unsigned char raw[16];
  if (size == 0 || size >= sizeof(text)) return false;
  memcpy(text, host, size);
  text[size] = '\0';
  return inet_pton(AF_INET, text, raw) == 1 ||
         inet_pton(AF_INET6, text, raw) == 1 || !strcmp(text, "localhost");
}

static bool is_port(const char *text) {
  size_t size = strspn(text, "0123456789");
  if (size == 0 || size > 5 || text[size]) return false;
  long port = strtol(text, NULL, 10);
  return port > 0 && port < 65536;
}

/* 1.2.3.4:53, [::1]:53, or an address alone (port 53). */
bool cli_is_resolver(const char *text) {
  if (text[0] == '[') {
    const char *end = strchr(text, ']');
    if (!end || !is_address(text + 1, (size_t)(end - text - 1))) return false;
    return !end[1] || (end[1] == ':' && is_port(end + 2));
  }
  if (is_address(text, strlen(text))) return true;
  const char *colon = strrchr(text, ':');
  return colon && is_address(text, (size_t)(colon - text)) &&
         is_port(colon + 1);
}

/* Words of what scripts may use, between commas. */
bool cli_is_allowed(const char *text) {
  static const char *const words[] = {"net", "fs", "exec", "env", "none", NULL};
  for (;; text++) {
    size_t size = strcspn(text, ",");
    const char *const *at = words;
    while (*at && (strlen(*at) != size || strncmp(*at, text, size))) at++;
    if (!*at) return false;
    text += size;
    if (!*text) return true;
  }
}

int cli_check_common(cli *c, cli_common *common) {
  if (common->resolver && !cli_is_resolver(common->resolver)) {
    return cli_usage(c,
                     "--resolver: '%s' is not an address and port like "
                     "127.0.0.1:53",
                     common->resolver);
  }
  if (common->allow && common->unsafe) {
    return cli_usage(c, "--allow: not with --unsafe");
  }
  if (common->allow && !cli_is_allowed(common->allow)) {
    return cli_usage(c,
                     "--allow: '%s' is no list of net, fs, exec, env (or "
                     "none)",
                     common->allow);
  }
  if (common->workers > 1024) {
    return cli_usage(c, "--workers: %lld is more than 1024",
                     (long long)common->workers);
  }
  console_set_log(&c->console, common->log_level, common->log_format);
  return 0;
}

const char *cli_data_dir(const char *option) {
  if (option) return option;
  const char *dir = getenv("RUNTIME_DATA");
  return dir && *dir ? dir : ".runtime";
}

bool cli_is_session_name(const char *name) {
  static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789._-";
  size_t size = strlen(name);
  return size > 0 && size <= 100 && name[0] != '.' &&
         strspn(name, allowed) == size;
}

void cli_fresh_name(char name[CLI_FRESH_NAME]) {
  struct timespec t;
  struct tm utc;
  unsigned tail = 0;
  FILE *random = fopen("/dev/urandom", "rb");
  clock_gettime(CLOCK_REALTIME, &t);
  gmtime_r(&t.tv_sec, &utc);
  tail = (unsigned)t.tv_nsec ^ (unsigned)getpid();
  if (random) {
    if (fread(&tail, sizeof(tail), 1, random) != 1) tail ^= 0x5a5a;
    fclose(random);
  }
  size_t n = strftime(name, CLI_FRESH_NAME, "%Y%m%d-%H%M%S", &utc);
  snprintf(name + n, CLI_FRESH_NAME - n, "-%05x", tail & 0xfffff);
}

bool cli_view_is(rt_view view, const char *text) {
  size_t size;
  const char *got = rt_view_string(view, &size);
  return got && size == strlen(text) && !memcmp(got, text, size);
}

/* One write a line, so that those of several threads do not mix. */
static void to_record(cli *c, const char *text, size_t size) {
  if (write(c->record, text, size) == (ssize_t)size) return;
  int expected = 0;
  if (atomic_compare_exchange_strong(&c->console.record_error, &expected,
                                     errno ? errno : EIO)) {
    console_say(&c->console, "runtime: --record: cannot write: %s\n",
                strerror(errno));
  }
}

static bool open_record(cli *c, rt_error *err) {
  const char *path = c->common.record;
  if (!path) return true;
  c->record =
      open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (c->record >= 0) return true;
  rt_fail(err, RT_EUNAVAIL, "--record: cannot open %s: %s", path,
          strerror(errno));
  return false;
}

static void to_stderr(int fd, const char *text, size_t size, void *arg) {
  cli *c = arg;
  if (fd == RT_OUTPUT_RECORD)
    to_record(c, text, size);
  else
    console_err(&c->console, text, size);
}

static void to_both(int fd, const char *text, size_t size, void *arg) {
  cli *c = arg;
  if (fd != 1) {
    console_err(&c->console, text, size);
  } else if (!console_out(&c->console, text, size)) {
    if (errno == EPIPE)
      cli_wake(c);
    else
      atomic_store(&c->console.out_error, errno);
  }
}

rt_err cli_runtime(cli *c, rt_runtime **out, const char *script_dir,
                   bool print_to_stderr, rt_error *err) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  if (!open_record(c, err)) return RT_EUNAVAIL;
  opts.record = c->common.record != NULL;
  opts.dry_run = c->common.dry_run;
  opts.workers = c->common.workers > 0 ? (unsigned)c->common.workers : 0;
  opts.memory_ceiling = c->common.memory > 0 ? (uint64_t)c->common.memory : 0;
  opts.unsafe = c->common.unsafe;
  opts.allow = c->common.allow;
  opts.resolver = c->common.resolver;
  opts.script_dir = script_dir;
  opts.log = console_log;
  opts.log_arg = &c->console;
  opts.output = print_to_stderr ? to_stderr : to_both;
  opts.output_arg = c;
  return rt_runtime_new(out, &opts, err);
}
