#!/usr/bin/env bash
# --memory: a program above its ceiling says so, takes new work one at a time, and finishes all the same.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
caps=$repo/tests/e2e/caps/tree.lua
small=(--set left.limit=300 --set right.limit=300 --set both.limit=300 --without rough)

seq 1 299 | sed 's/^/node:/' | LC_ALL=C sort >"$tmp/want"
expect "a run above its ceiling finishes" 0 "memory: [0-9]+ MB are above the ceiling of 0 MB" \
  run --memory 4K -c "$caps" -s node:1 --session tight "${small[@]}"
keys "$tmp/out" >"$tmp/got"
check "nothing is lost" cmp -s "$tmp/want" "$tmp/got"
expect "one below it does not mention it" 0 "finished" \
  run --memory 64G -c "$caps" -s node:1 --session wide "${small[@]}"
check "no words about memory" bash -c '! grep -q "memory:" "$1"' - "$tmp/err"
keys "$tmp/out" >"$tmp/got"
check "the same assets" cmp -s "$tmp/want" "$tmp/got"
expect "it stands before a script, too" 0 "" --memory 1.5G -e 'print(1)'
for bad in 12Q '' -1 0 1e3 4KB; do
  expect "--memory '$bad' is refused" 2 "is not a size" run --memory="$bad" -c "$caps" -s node:1
done
finish
