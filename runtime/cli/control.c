/* cli/control.c - the socket through which a running session is controlled.
 *
 * A thread of its own listens beside the session's file. The socket is for its
 * owner alone (mode 0600), and who connects is asked of the kernel, too. All
 * input is bounded: eight clients, one request of at most 70,000 bytes each
 * within ten seconds; who does not read what was asked for is dropped.
 *
 * SPDX-License-Identifier: MIT */
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control_parts.h"

enum { REQUEST_SECONDS = 10 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void poke(control *ctl) {
  uint64_t one = 1;
  ssize_t n = write(ctl->wake, &one, sizeof(one));
  (void)n; /* fails only when it is signaled already */
}

/* --- output ------------------------------------------------------------ */

static bool make_room_locked(control_client *client, size_t more) {
  size_t wanted = client->out_size + more;
  if (wanted > CONTROL_OUT_MAX) return false;
  if (wanted <= client->out_room) return true;
  size_t room = client->out_room ? client->out_room : 4096;
  while (room < wanted) room *= 2;
  char *out = realloc(client->out, room);
  if (!out) return false;
  client->out = out;
  client->out_room = room;
  return true;
}

void control_say(control_client *client, const char *text, size_t size) {
  control *ctl = client->ctl;
  pthread_mutex_lock(&ctl->lock);
  if (!client->lost && make_room_locked(client, size + 1)) {
    memcpy(client->out + client->out_size, text, size);
    client->out[client->out_size + size] = '\n';
    client->out_size += size + 1;
  } else {
    client->lost = true;
  }
  pthread_mutex_unlock(&ctl->lock);
  poke(ctl);
}

/* As much as the socket takes; false: the client is gone or too slow. */
static bool flush(control_client *client) {
  control *ctl = client->ctl;
  bool ok = true;
  pthread_mutex_lock(&ctl->lock);
  while (ok && client->out_size > 0) {
    ssize_t n = send(client->fd, client->out, client->out_size,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      client->out_size -= (size_t)n;
      memmove(client->out, client->out + n, client->out_size);
    } else {
      ok = n < 0 && (errno == EAGAIN || errno == EINTR);
      break;
    }
  }
  ok = ok && !client->lost;
  pthread_mutex_unlock(&ctl->lock);
  return ok;
}

static bool has_output(control_client *client) {
  pthread_mutex_lock(&client->ctl->lock);
  bool some = client->out_size > 0;
  pthread_mutex_unlock(&client->ctl->lock);
  return some;
}

/* --- clients ----------------------------------------------------------- */

static void drop(control_client *client) {
  control *ctl = client->ctl;
  control_untrace(client);
  close(client->fd);
  free(client->in);
  pthread_mutex_lock(&ctl->lock);
  free(client->out);
  memset(client, 0, sizeof(*client));
  client->ctl = ctl;
  client->fd = -1;
  pthread_mutex_unlock(&ctl->lock);
}

static bool may_connect(int fd) {
  struct ucred who;
  socklen_t size = sizeof(who);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return false;
  return who.uid == geteuid() || who.uid == 0;
}

static void take_client(control *ctl) {
  int fd = accept4(ctl->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  for (size_t i = 0; may_connect(fd) && i < CONTROL_CLIENTS; i++) {
    control_client *client = &ctl->clients[i];
    if (client->fd >= 0) continue;
    client->in = malloc(CONTROL_LINE_MAX + 1);
    if (!client->in) break;
    client->fd = fd;
    client->since = now();
    return;
  }
  close(fd);
}

static bool is_asked(const control_client *client) {
  return client->ending || client->trace;
}

/* False: drop it. After its request a client can only leave. */
static bool read_from(control_client *client) {
  char rest[256];
  bool asked = is_asked(client);
  size_t room = asked ? sizeof(rest) : CONTROL_LINE_MAX - client->in_size;
  char *at = asked ? rest : client->in + client->in_size;
  ssize_t n = room ? recv(client->fd, at, room, MSG_DONTWAIT) : 0;
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return client->ending && has_output(client);
  if (asked) return true;
  client->in_size += (size_t)n;
  char *end = memchr(at, '\n', (size_t)n);
  if (!end) return true;
  *end = '\0';
  client->since = now();
  bool text = strlen(client->in) == (size_t)(end - client->in);
  control_request(client, text ? client->in : strcpy(client->in, "?"));
  return true;
}

/* --- the thread -------------------------------------------------------- */

static size_t prepare(control *ctl, struct pollfd *fds) {
  size_t count = 2;
  fds[0] = (struct pollfd){ctl->wake, POLLIN, 0};
  fds[1] = (struct pollfd){ctl->listener, POLLIN, 0};
  for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
    control_client *client = &ctl->clients[i];
    short events = client->ending ? 0 : POLLIN;
    if (client->fd >= 0 && has_output(client)) events |= POLLOUT;
    /* poll leaves negative descriptors out */
    fds[count++] = (struct pollfd){client->fd, events, 0};
  }
  return count;
}

static void serve(control_client *client, short events) {
  bool keep = true;
  if (events & (POLLIN | POLLHUP | POLLERR)) keep = read_from(client);
  if (keep) keep = flush(client);
  if (keep && client->ending && !has_output(client)) keep = false;
  if (keep && !client->trace && now() - client->since > REQUEST_SECONDS) {
    keep = false;
  }
  if (!keep) drop(client);
}

static bool quitting(control *ctl) {
  uint64_t ticks;
  ssize_t n = read(ctl->wake, &ticks, sizeof(ticks));
  (void)n; /* it does not block */
  pthread_mutex_lock(&ctl->lock);
  bool quit = ctl->quit;
  pthread_mutex_unlock(&ctl->lock);
  return quit;
}

static void *serve_all(void *arg) {
  control *ctl = arg;
  while (!quitting(ctl)) {
    struct pollfd fds[CONTROL_CLIENTS + 2];
    size_t count = prepare(ctl, fds);
    if (poll(fds, count, 1000) < 0) continue;
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
      if (ctl->clients[i].fd >= 0) {
        serve(&ctl->clients[i], fds[i + 2].revents);
      }
    }
    if (fds[1].revents) take_client(ctl);
  }
  for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
    if (ctl->clients[i].fd < 0) continue;
    flush(&ctl->clients[i]);
    drop(&ctl->clients[i]);
  }
  return NULL;
}

/* --- start and end ----------------------------------------------------- */

/* What is there belongs to a run that was killed: the session's file is ours,
 * so nobody else serves it. */
static bool listen_there(control *ctl) {
  const struct sockaddr *address = (const struct sockaddr *)&ctl->address;
  struct stat st;
  const char *path = ctl->address.sun_path;
  if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) unlink(path);
  ctl->listener =
      socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (ctl->listener < 0) return false;
  /* The mode of the socket file is that of the descriptor when it is bound. */
  return fchmod(ctl->listener, 0600) == 0 &&
         bind(ctl->listener, address, sizeof(ctl->address)) == 0 &&
         chmod(path, 0600) == 0 && listen(ctl->listener, CONTROL_CLIENTS) == 0;
}

static void release(control *ctl) {
  if (ctl->listener >= 0) close(ctl->listener);
  if (ctl->wake >= 0) close(ctl->wake);
  if (ctl->dir_fd >= 0) close(ctl->dir_fd);
  pthread_mutex_destroy(&ctl->lock);
  free(ctl);
}

control *control_start(cli *c, rt_runtime *rt, rt_session *session,
                       const char *dir, control_stop_fn stop, void *arg) {
  control *ctl = calloc(1, sizeof(*ctl));
  if (!ctl) return NULL;
  *ctl = (control){.c = c, .rt = rt, .session = session, .stop = stop};
  ctl->arg = arg;
  ctl->listener = -1;
  ctl->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  pthread_mutex_init(&ctl->lock, NULL);
  for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
    ctl->clients[i].ctl = ctl;
    ctl->clients[i].fd = -1;
  }
  bool named = control_address(dir, rt_session_name(session), &ctl->address,
                               &ctl->dir_fd);
  if (named && ctl->wake >= 0 && listen_there(ctl) &&
      pthread_create(&ctl->thread, NULL, serve_all, ctl) == 0) {
    return ctl;
  }
  console_log(RT_LOG_WARN, "no socket for `runtime ctl`", NULL, &c->console);
  release(ctl);
  return NULL;
}

void control_end(control *ctl) {
  if (!ctl) return;
  pthread_mutex_lock(&ctl->lock);
  ctl->quit = true;
  pthread_mutex_unlock(&ctl->lock);
  poke(ctl);
  pthread_join(ctl->thread, NULL);
  unlink(ctl->address.sun_path);
  release(ctl);
}
