/* host-loop.c - a program with a libuv loop and timers of its own. The runtime
 * is attached to that loop: whatever it tells arrives on this one thread, so
 * nothing here needs a lock.
 *   cc host-loop.c $(pkg-config --cflags --libs runtime libuv) && ./a.out
 * SPDX-License-Identifier: MIT */
#include <rt/rt.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

typedef struct app {
  uv_loop_t loop;
  uv_timer_t ticker;
  rt_runtime *rt;
  int ticks, readings;
  double sum;
} app;

static const char script_code[] =
    "local events, time = require('events'), require('time')\n"
    "for _, celsius in ipairs { 20.5, 21, 22.5 } do\n"
    "  time.sleep('5ms')\n"
    "  events.send('sensor', 'reading', 'kitchen', celsius)\n"
    "end\n"
    "print('the script is done')\n";

static void on_output(int fd, const char *text, size_t size, void *arg) {
  (void)fd, (void)arg;
  fwrite(text, 1, size, stdout);
}

static void on_reading(const rt_event *event, void *arg) {
  app *a = (app *)arg;
  a->readings++;
  a->sum += rt_view_number(rt_value_view(event->data), 0);
}

/* The program's own work goes on beside the script. */
static void on_tick(uv_timer_t *ticker) {
  ((app *)ticker->data)->ticks++;
}

/* Freeing delivers what is still queued; then the loop has nothing to do. */
static void on_done(rt_runtime *rt, int exit_code, void *arg) {
  app *a = (app *)arg;
  rt_runtime_free(rt);
  a->rt = NULL;
  uv_close((uv_handle_t *)&a->ticker, NULL);
  printf("exit code %d, %d readings, mean %.2f\n", exit_code, a->readings,
         a->readings ? a->sum / a->readings : 0);
}

static rt_err start(app *a, rt_error *err) {
  rt_runtime_opts opts = RT_RUNTIME_OPTS_INIT;
  rt_script script = RT_SCRIPT_INIT;
  uint64_t id;
  rt_err rc;
  opts.loop = &a->loop;
  opts.output = on_output;
  opts.workers = 1;
  script.code = script_code;
  script.code_size = strlen(script_code);
  script.name = "sensor";
  rc = rt_runtime_new(&a->rt, &opts, err);
  if (rc == RT_OK)
    rc = rt_bus_subscribe(rt_runtime_bus(a->rt), &id, "sensor", NULL,
                          on_reading, a, err);
  if (rc == RT_OK) rc = rt_runtime_run_async(a->rt, &script, on_done, a, err);
  return rc;
}

int main(void) {
  rt_error err = RT_ERROR_INIT;
  app a;
  memset(&a, 0, sizeof(a));
  uv_loop_init(&a.loop);
  uv_timer_init(&a.loop, &a.ticker);
  a.ticker.data = &a;
  uv_timer_start(&a.ticker, on_tick, 1, 1);
  if (start(&a, &err) != RT_OK) {
    fprintf(stderr, "host-loop: %s\n", err.message);
    rt_runtime_free(a.rt);
    uv_close((uv_handle_t *)&a.ticker, NULL);
  }
  uv_run(&a.loop, UV_RUN_DEFAULT);
  printf("the loop %s\n", a.ticks > 0 ? "went on meanwhile" : "stood still");
  return uv_loop_close(&a.loop) != 0 || err.code != RT_OK;
}
