/* rt/rt.h - the whole C API of the runtime.
 * SPDX-License-Identifier: MIT */
#ifndef RT_RT_H
#define RT_RT_H
#include "rt/bus.h"
#include "rt/module.h"
#include "rt/process.h"
#include "rt/prompt.h"
#include "rt/queue.h"
#include "rt/registry.h"
#include "rt/runtime.h"
#include "rt/session.h"
#include "rt/status.h"
#include "rt/value.h"
#endif
