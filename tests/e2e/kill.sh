#!/usr/bin/env bash
# kill -9 in the middle, twice, with jobs in the middle of sending and of retrying; resumed, the
# session has the same assets as if nothing had happened.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
limit=300
caps=$repo/tests/e2e/caps/tree.lua
seq 1 5999 | sed 's/^/node:/' | LC_ALL=C sort >"$tmp/want"

lines() { [ "$(cat "$tmp"/out.* 2>/dev/null | wc -l)" -ge "$1" ]; }

# killed_at LINES OUT ARGUMENT...: run until that many lines are printed in all, then kill -9
killed_at() {
  local count=$1 out=$2 pid
  shift 2
  "$runtime" "$@" >"$out" 2>>"$tmp/err" </dev/null &
  pid=$!
  until_true 120 lines "$count" || fail "no $count lines within 120 s" "$(tail -n 5 "$tmp/err")"
  kill -KILL $pid
  wait $pid 2>/dev/null
}

# Slow enough to be caught: some 40,000 pauses, 32 at a time. What is left at last has none.
settings=(--concurrency 32)
quickly=()
for name in left right both rough; do
  settings+=(--set $name.limit=6000 --set $name.pause=0.02)
  quickly+=(--set $name.pause=0)
done
killed_at 700 "$tmp/out.1" run -c "$caps" -s node:1 --session killed "${settings[@]}"
check "the first run was in the middle" test "$(wc -l <"$tmp/out.1")" -lt 5999
killed_at 2500 "$tmp/out.2" resume killed
rt status killed --json >"$tmp/status" 2>>"$tmp/err"
same "status of a dead session: exit code" 0 $?
rt resume killed "${quickly[@]}" >"$tmp/out.3" 2>>"$tmp/err"
same "the last resume: exit code" 0 $?
rt assets killed --json >"$tmp/stored"
keys "$tmp/stored" >"$tmp/got"
check "the same set as without a crash" cmp -s "$tmp/want" "$tmp/got"
keys <(cat "$tmp"/out.*) | uniq >"$tmp/printed"
check "every asset was printed" cmp -s "$tmp/want" "$tmp/printed"
rt jobs killed --state failed --json >"$tmp/failures"
same "no job failed" 0 "$(wc -l <"$tmp/failures")"
[ $failed = 0 ] || tail -n 30 "$tmp/err"
finish
