#!/usr/bin/env bash
# Stopping: signals, a deadline, a reader that leaves; the session can be resumed afterwards.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
limit=120
caps=$repo/tests/e2e/caps

# begin NAME ARGUMENT...: in the background, until the seed is printed and the job runs
begin() {
  session=$1
  shift
  env --default-signal=HUP "$runtime" run -c "$caps/wait.lua" -s wait:1 --session "$session" --log-level warn "$@" \
    >"$tmp/$session.out" 2>"$tmp/$session.err" </dev/null &
  pid=$!
  until_true 60 grep -qs wait:1 "$tmp/$session.out" || fail "$session: no seed" "$(cat "$tmp/$session.err")"
  until_true 60 running "$session" || fail "$session: no running job" "$(cat "$tmp/$session.err")"
}
running() { rt status "$1" --json 2>/dev/null | grep -q '"running":[1-9]'; }

# ended CODE NAME: waits for the program and compares its exit code
ended() {
  local got
  wait "$pid"
  got=$?
  if [ "$got" = "$1" ]; then pass "$2"; else fail "$2" "exit code $got, expected $1" "$(tail -n 5 "$tmp/$session.err")"; fi
}

resumed() {
  rt resume "$1" --set wait.seconds=0 >"$tmp/out" 2>"$tmp/err"
  same "$1: resumes and finishes" 0 $?
  same "$1: the interrupted job ran" "done:1" "$(keys "$tmp/out")"
}

begin int
expect "a session that another process has" 1 "$pid" resume int
expect "its failed jobs, neither" 1 "$pid" jobs int --retry
for command in status assets jobs why; do
  expect "but $command works" 0 "" $command int
done
expect "explain, too" 0 "" explain int wait:1
kill -INT $pid
ended 3 "SIGINT drains"
check "it says how to go on" grep -q "runtime resume int" "$tmp/int.err"
resumed int

begin term --set wait.polite=false --grace 200ms
kill -TERM $pid
ended 3 "SIGTERM, and a job that does not listen"
rt jobs term --json >"$tmp/jobs"
check "the job is back in the queue, its attempt unchanged" grep -Eq '"state":"queued"' "$tmp/jobs"
resumed term

begin hangup
kill -HUP $pid
ended 3 "SIGHUP drains like SIGTERM"
resumed hangup

begin second --set wait.polite=false --grace 1h
kill -INT $pid
until_true 60 grep -qs "stopping" "$tmp/second.err"
kill -INT $pid
ended 130 "a second SIGINT aborts"
resumed second

begin secondterm --set wait.polite=false --grace 1h
kill -TERM $pid
until_true 60 grep -qs "stopping" "$tmp/secondterm.err"
kill -TERM $pid
ended 143 "a second SIGTERM aborts"
resumed secondterm

rt run -c "$caps/wait.lua" -s wait:1 --session late --deadline 300ms --grace 200ms >"$tmp/out" 2>"$tmp/err"
same "a deadline stops" 3 $?
rt resume late --set wait.seconds=0 --deadline 1h >"$tmp/out" 2>"$tmp/err"
same "late: resumes and finishes" 0 $?

rt run -c "$caps/tree.lua" -s node:1 --session head 2>"$tmp/err" | head -n 5 >"$tmp/five"
same "a closed standard output drains" "3 5" "$(echo "${PIPESTATUS[0]}" "$(wc -l <"$tmp/five")")"
rt resume head >"$tmp/out" 2>"$tmp/err"
same "head: resumes and finishes" 0 $?
seq 1 19999 | sed 's/^/node:/' | LC_ALL=C sort >"$tmp/want"
rt assets head --json >"$tmp/stored"
keys "$tmp/stored" >"$tmp/got"
check "head: the whole set" cmp -s "$tmp/want" "$tmp/got"
rt run -c "$caps/wait.lua" -s wait:1 --session none --grace 200ms >&- 2>"$tmp/err"
same "no standard output at all" 3 $?
rt run -c "$caps/tree.lua" -s node:1 --session full >/dev/full 2>"$tmp/err"
same "standard output is full" 3 $?

# A reader that stops reading holds nothing up.
mkfifo "$tmp/slow"
"$runtime" run -c "$caps/tree.lua" -s node:1 --session slow >"$tmp/slow" 2>"$tmp/slow.err" </dev/null &
pid=$!
session=slow
exec 9<"$tmp/slow"
finished() { rt status slow --json 2>/dev/null | grep -q '"state":"finished"'; }
check "the work goes on while nobody reads" until_true 300 finished
kill -INT $pid
cat <&9 >"$tmp/slow.out"
exec 9<&-
wait $pid
code=$?
check "stopping a blocked printer" test $code = 3 -o $code = 0
rt resume slow >"$tmp/rest" 2>"$tmp/err"
keys <(cat "$tmp/slow.out" "$tmp/rest") | uniq >"$tmp/got"
check "slow: what was not printed is printed by resume" cmp -s "$tmp/want" "$tmp/got"
finish
