/* alarm.c - see alarm.h. SPDX-License-Identifier: MIT */
#include "bus/alarm.h"

void rt__alarm_set(rt_bus *bus, rt__alarm *alarm) {
  rt__alarm *before = bus->last_alarm;
  while (before && before->at > alarm->at) before = before->prev;
  alarm->set = true;
  alarm->prev = before;
  alarm->next = before ? before->next : bus->alarms;
  if (before)
    before->next = alarm;
  else
    bus->alarms = alarm;
  if (alarm->next)
    alarm->next->prev = alarm;
  else
    bus->last_alarm = alarm;
}

void rt__alarm_stop(rt_bus *bus, rt__alarm *alarm) {
  if (!alarm->set) return;
  alarm->set = false;
  if (alarm->prev)
    alarm->prev->next = alarm->next;
  else
    bus->alarms = alarm->next;
  if (alarm->next)
    alarm->next->prev = alarm->prev;
  else
    bus->last_alarm = alarm->prev;
}

void rt__alarms_ring(rt_bus *bus, uint64_t now) {
  rt__alarm *first;
  while ((first = bus->alarms) != NULL && first->at <= now) {
    rt__alarm_stop(bus, first);
    first->ring(first);
  }
}
