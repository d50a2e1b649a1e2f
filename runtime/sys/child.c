/* child.c - child processes (sys/child.h).
 * SPDX-License-Identifier: MIT */
#include "sys/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/sys_error.h"

/* How often the timer looks where there is no pidfd. */
#define LOOK_MS 10

extern char **environ;

/* --- starting ----------------------------------------------------------- */

static int set_attributes(posix_spawnattr_t *attr) {
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(attr, &all);
  posix_spawnattr_setsigmask(attr, &none);
  posix_spawnattr_setpgroup(attr, 0);
  return posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGDEF |
                                            POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETPGROUP);
}

static int set_files(posix_spawn_file_actions_t *files,
                     const rt__child_spec *spec) {
  int rc = 0;
  for (int i = 0; i < 3 && !rc; i++) {
    if (spec->stdio[i] < 0)
      rc = posix_spawn_file_actions_addopen(files, i, "/dev/null",
                                            i ? O_WRONLY : O_RDONLY, 0);
    else
      rc = posix_spawn_file_actions_adddup2(files, spec->stdio[i], i);
  }
  if (!rc) rc = posix_spawn_file_actions_addclosefrom_np(files, 3);
  if (!rc && spec->cwd)
    rc = posix_spawn_file_actions_addchdir_np(files, spec->cwd);
  return rc;
}

static int spawn(pid_t *pid, const rt__child_spec *spec) {
  posix_spawnattr_t attr;
  posix_spawn_file_actions_t files;
  int rc = posix_spawnattr_init(&attr);
  if (rc) return rc;
  rc = posix_spawn_file_actions_init(&files);
  if (rc) goto free_attr;
  rc = set_attributes(&attr);
  if (!rc) rc = set_files(&files, spec);
  if (!rc)
    rc = posix_spawnp(pid, spec->file, &files, &attr, spec->argv,
                      spec->envp ? spec->envp : environ);
  posix_spawn_file_actions_destroy(&files);
free_attr:
  posix_spawnattr_destroy(&attr);
  return rc;
}

static bool is_folder(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* --- its end ------------------------------------------------------------ */

static bool has_exited(rt__child *child) {
  siginfo_t info = {0};
  int rc = waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT);
  return rc < 0 ? errno == ECHILD : info.si_pid != 0;
}

static void told(rt__child *child) {
  child->exited = true;
  child->on_exit(child);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
  rt__child *child = poll->data;
  (void)status, (void)events;
  if (child->exited || !has_exited(child)) return;
  uv_poll_stop(poll);
  told(child);
}

static void on_timer(uv_timer_t *timer) {
  rt__child *child = timer->data;
  if (child->exited || !has_exited(child)) return;
  uv_timer_stop(timer);
  told(child);
}

static void watch(rt__child *child, uv_loop_t *loop) {
  child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
  if (child->pidfd >= 0 &&
      uv_poll_init(loop, &child->as.poll, child->pidfd) == 0) {
    child->as.poll.data = child;
    uv_poll_start(&child->as.poll, UV_READABLE, on_poll);
    return;
  }
  if (child->pidfd >= 0) close(child->pidfd);
  child->pidfd = -1;
  uv_timer_init(loop, &child->as.timer);
  child->as.timer.data = child;
  uv_timer_start(&child->as.timer, on_timer, LOOK_MS, LOOK_MS);
}

rt_err rt__child_spawn(rt__child *child, uv_loop_t *loop,
                       const rt__child_spec *spec,
                       void (*on_exit)(rt__child *child), rt_error *err) {
  *child = (rt__child){.pidfd = -1, .on_exit = on_exit};
  int rc = spawn(&child->pid, spec);
  if (rc) {
    child->pid = 0;
    if (spec->cwd && !is_folder(spec->cwd))
      return rt__sys_fail(err, rc, "exec: cannot work in '%s'", spec->cwd);
    return rt__sys_fail(err, rc, "exec: cannot run '%s'", spec->file);
  }
  watch(child, loop);
  return RT_OK;
}

int rt__child_kill(rt__child *child, int signal) {
  return kill(-child->pid, signal) < 0 ? errno : 0;
}

void rt__child_reap(rt__child *child, int *code, int *signal) {
  int status = 0;
  pid_t rc;
  do {
    rc = waitpid(child->pid, &status, 0);
  } while (rc < 0 && errno == EINTR);
  *signal = rc > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  *code = rc > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 128 + *signal;
}

static void closed(uv_handle_t *handle) {
  rt__child *child = handle->data;
  if (child->pidfd >= 0) close(child->pidfd);
  child->on_close(child);
}

void rt__child_close(rt__child *child, void (*on_close)(rt__child *child)) {
  child->on_close = on_close;
  uv_close(&child->as.handle, closed);
}
