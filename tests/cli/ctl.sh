#!/usr/bin/env bash
# `runtime ctl`: a running session controlled from another process.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >caps.lua <<'END'
local time = require("time")
return {
  capability { name = "sleeper", input = { "n" }, retries = 2,
    invoke = function(job) job:progress(0.25) time.sleep(3600) end },
  capability { name = "quick", input = { "n" }, output = { "m" },
    invoke = function(job, asset) job:send { class = "m", value = asset.value } end },
}
END
rt run -c caps.lua -s n:1 -s n:2 --session live --grace 1s >out.run 2>err.run &
run=$!
trap 'kill $run 2>/dev/null' EXIT
answers() { rt ctl live "$1" "${@:3}" 2>>err.poll | grep -q -- "$2"; }
both_sleep() { [ "$(rt ctl live jobs 2>>err.poll | grep -c 'sleeper.* 25%')" = 2 ]; }
check "it answers" until_true 30 answers stat "running 2"
check "jobs: two run, and how far they are" until_true 30 both_sleep
check "stat: counts of each capability" until_true 30 answers stat "quick *2"
same "the socket is its owner's alone" "srw------- 600" "$(stat -c '%A %a' "$data/live.sock")"
rt ctl live trace n:1 >killed.out 2>killed.err &
follows=$!
check "a job is traced" until_true 30 grep -q tracing killed.err
expect "jobs as JSON" 0 "" ctl live jobs --json
job=$(sed -n '/"capability":"sleeper".*"key":"n:1"/s/.*"id":\([0-9]*\).*/\1/p' out) # the one that is traced
expect "kill" 0 "" ctl live kill "$job"
check "it is gone" until_true 30 answers stat "running 1"
check "trace tells its end" until_true 30 grep -q "job.failed" killed.out
expect "a job that does not run" 1 "job $job does not run" ctl live kill "$job"
expect "scale" 0 "" ctl live scale sleeper 0
check "stat says so" until_true 30 answers stat "sleeper: scaled to 0"
expect "scale of a capability that is not there" 1 "no capability 'nobody'" ctl live scale nobody 1
expect "scale back" 0 "" ctl live scale sleeper default
owner=$(head -n 1 "$data/live.lock" | tr -dc 0-9)
kill -STOP "$owner"
expect "a process that is stopped" 1 "does not answer within 10 s" ctl live stat
kill -CONT "$owner"
check "and goes on" until_true 30 answers stat "running"
expect "pause" 0 "" ctl live pause
check "stat says that it is paused" until_true 30 answers stat paused
expect "resume" 0 "" ctl live resume

expect "no such verb" 2 "did you mean 'pause'" ctl live pauze
expect "nothing like a verb" 2 "no verb 'frobnicate'" ctl live frobnicate
expect "kill without a job" 2 "usage: runtime ctl" ctl live kill
expect "scale without a number" 2 "usage: runtime ctl" ctl live scale sleeper
expect "scale to no number" 1 "expected CAPABILITY and N" ctl live scale sleeper many
expect "trace of no asset" 1 "expected CLASS:VALUE" ctl live trace n
expect "an argument with a line end" 2 "line end" ctl live cancel "$(printf 'a\nb')"
expect "a bad name" 2 "no session name" ctl ../x stat
expect "a session that is not there" 1 "does not run" ctl other stat

rt ctl live trace m:9 >trace.out 2>trace.err &
trace=$!
check "trace is there" until_true 30 grep -q tracing trace.err
expect "cancel" 0 "" ctl live cancel enough for today
wait $run
same "the run has stopped, resumable" 3 $?
check "for the reason that was given" grep -q "stopped (enough for today)" err.run
check "the killed job has failed" grep -q "1 failed" err.run
wait $follows
same "so does the other" 0 $?
wait $trace
same "trace ends with the session" 0 $?
check "and says so" grep -q "the session has ended" trace.err
check "the socket is gone" test ! -e "$data/live.sock"
expect "a session that has ended" 1 "does not run" ctl live stat
rt jobs live --state failed >out
check "jobs tells who was killed" grep -q "sleeper.*killed" out

# A session that a script opened has no socket: that is told, after a moment in which a run would have made one.
"$runtime" -e "local s = assert(require('session').open({name = 'scripted', dir = '$data'})) require('time').sleep(3600)" 2>err.script &
script=$!
trap 'kill $run $script 2>/dev/null' EXIT
is_open() { [ -n "$(tr -dc 0-9 2>>err.poll <"$data/scripted.lock")" ]; }
check "a script opens a session" until_true 30 is_open
expect "it takes no commands" 1 "open in process [0-9]+, which takes no commands" ctl scripted stat
kill $script
wait $script 2>>err.poll

# A name above 60 bytes: its socket is called otherwise, and goes with the session after a death as well.
long=$(printf 'n%.0s' {1..100})
rt run -c caps.lua -s n:1 --only sleeper --session "$long" >out.run 2>err.run &
run=$!
running() { rt ctl "$long" stat 2>>err.poll | grep -q "running 1"; }
check "a long name: it answers" until_true 30 running
kill -KILL "$(head -n 1 "$data/$long.lock" | tr -dc 0-9)"
wait $run
same "a long name: its socket stays after a death" 1 "$(find "$data" -name '.*.sock' | wc -l)"
expect "a long name: removed" 0 "" -e "assert(require('session').remove('$long', '$data'))"
same "a long name: and its socket" "" "$(find "$data" -name "*nnn*" -o -name '.*.sock')"
finish
