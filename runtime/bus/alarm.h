/* bus/alarm.h - moments at which the bus thread is to do something.
 *
 * A list by time, which is the bus thread's alone; it costs a bus without any
 * one look at a pointer. Most are set for the same span, so a new one belongs
 * near the end. SPDX-License-Identifier: MIT */
#ifndef RT__BUS_ALARM_H
#define RT__BUS_ALARM_H

#include "bus/bus.h"

typedef struct rt__alarm rt__alarm;
struct rt__alarm {
  rt__alarm *prev, *next; /* private */
  bool set;
  uint64_t at;                    /* of rt__now_ns() */
  void (*ring)(rt__alarm *alarm); /* bus thread, once; or when the bus ends */
};

/* [bus thread] */
void rt__alarm_set(rt_bus *bus, rt__alarm *alarm);
void rt__alarm_stop(rt_bus *bus, rt__alarm *alarm);
/* Ring those that are due by `now`. */
void rt__alarms_ring(rt_bus *bus, uint64_t now);

#endif
