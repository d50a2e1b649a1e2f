#!/usr/bin/env bash
# Hostile scripts, each terminated, beside an innocent one on the same worker and VM.
# SPDX-License-Identifier: MIT
exec "$BUILD/fault/attacks" terminate
