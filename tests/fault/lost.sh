#!/usr/bin/env bash
# An innocent process beside one that is stuck in C code (--unsafe): told, and started again by its supervisor.
# SPDX-License-Identifier: MIT
cd "$(dirname "$0")" || exit 1
out=$(timeout -k 10 150 "$BUILD/runtime" --unsafe --workers 2 lost.lua 2>&1)
code=$?
echo "$out" | grep -E '^(not )?ok - '
if [ "$code" = 0 ]; then echo "ok - it ended by itself"; else echo "not ok - it ended with $code: $out"; fi
