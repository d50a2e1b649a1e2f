#!/usr/bin/env bash
# Hostile scripts, each there when the runtime stops, beside an innocent one on the same worker and VM.
# SPDX-License-Identifier: MIT
exec "$BUILD/fault/attacks" shutdown
