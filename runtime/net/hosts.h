/* net/hosts.h - names that need no server: localhost and /etc/hosts.
 *
 * The file is read when first asked and again after it has changed.
 * SPDX-License-Identifier: MIT */
#ifndef RT__NET_HOSTS_H
#define RT__NET_HOSTS_H

#include "net/net.h"

/* The addresses of `name` (port 0), IPv4 first; returns their number, 0 when
 * the name is not there. */
size_t rt__hosts_find(rt__net *net, const char *name, rt__addr *out,
                      size_t max);
/* Read `path` from now on (tests). */
void rt__hosts_use(rt__net *net, const char *path);
void rt__hosts_free(struct rt__hosts *hosts);

#endif
