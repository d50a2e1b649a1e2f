#!/usr/bin/env bash
# Sessions that have nothing to do end by themselves; an endless loop ends only its own job.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
limit=120
caps=$repo/tests/e2e/caps

expect "a seed that no capability takes" 0 "" run -c "$caps/tree.lua" -s other:1 --session a
same "is printed" 1 "$(wc -l <"$tmp/out")"
expect "duplicates only" 0 "" run -c "$caps/tree.lua" -s node:1 -s node:1 --session b \
  --set left.limit=1 --set right.limit=1 --set both.limit=2 --set rough.limit=1
same "one line" 1 "$(wc -l <"$tmp/out")"
expect "all out of scope" 0 "seeds out of scope: 1" run -c "$caps/tree.lua" -s node:1 --scope nothing --session c
same "no line" 0 "$(wc -l <"$tmp/out")"
expect "a capability that skips all" 0 "" run -c "$caps/wait.lua" -s node:1 --session d

expect "an endless loop fails, the rest finishes (one worker)" 4 "longer than its timeout" \
  run -c "$caps/loop.lua" -s stuck:1 -s quick:1 --workers 1 --session e
same "all of the quick work is there" 200 "$(grep -c '"class":"quick"' "$tmp/out")"
rt jobs e --state failed --json >"$tmp/failed"
same "both loops failed" 2 "$(wc -l <"$tmp/failed")"
same "with kind TIMEOUT" 2 "$(grep -c TIMEOUT "$tmp/failed")"
finish
