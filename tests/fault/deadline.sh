#!/usr/bin/env bash
# Hostile scripts, each given a time limit, beside an innocent one on the same worker and VM.
# SPDX-License-Identifier: MIT
exec "$BUILD/fault/attacks" deadline
