#!/usr/bin/env bash
# Somebody's sqlite3 on the file of a run: a write lock that stays, a read that stays. Each is told, holds
# the run up at most, and fails no job.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1
if ! command -v sqlite3 >/dev/null; then
  pass "not tried: there is no sqlite3 program here"
  finish
fi

# Beyond the first numbers it waits for the file "go", so that it is not at its end before another program has come.
cat >count.lua <<'END'
local fs, time = require("fs"), require("time")
return capability {
  name = "count", input = { "n" }, output = { "n" }, retries = 0,
  invoke = function(job, asset)
    local n = tonumber(asset.value)
    repeat time.sleep(0.01) until n < 10 or fs.exists("go")
    for child = 2 * n, math.min(2 * n + 1, 300) do job:send { class = "n", value = tostring(child) } end
  end,
}
END

# hold NAME SQL: another program's transaction, which stays; its answers are read by `answer`
hold() {
  coproc other { exec sqlite3 "$data/$1.sqlite" 2>other.err; }
  ask ".timeout 30000"
  ask "$2"
  ask "SELECT 'holds';"
  until_answer holds
}
ask() { printf '%s\n' "$1" >&"${other[1]}"; }
until_answer() {
  local line
  while read -r -t 60 line <&"${other[0]}"; do [ "$line" = "$1" ] && return 0; done
  return 1
}
let_go() {
  local pid=$other_PID
  ask 'ROLLBACK;'
  ask '.quit'
  wait "$pid"
}
told() { rt "$1" "$2" 2>&1 | grep -q "$3"; }
some() { [ "$(rt assets "$1" --json 2>/dev/null | wc -l)" -ge 5 ]; }

rt run -c count.lua -s n:1 --session write --concurrency 2 >out 2>err &
run=$!
check "the run has begun" until_true 60 some write
check "sqlite3 takes the lock" hold write 'BEGIN IMMEDIATE;'
touch go
check "status tells that the file is locked" until_true 60 told status write "locked by another program"
check "why tells it too" told why write "locked by another program"
let_go
wait $run
same "the run ends as if nothing had been: exit code" 0 $?
same "every asset once" 300 "$(keys out | uniq | wc -l)"
same "no line twice" 300 "$(keys out | wc -l)"
check "the log tells that it waited" grep -q "waits: the file is locked" err
check "and that it went on" grep -q "goes on" err
rt jobs write --json >jobs
same "a job for each" 300 "$(wc -l <jobs)"
same "no job failed" 0 "$(grep -vc '"state":"completed"' jobs)"
same "none ran twice" 0 "$(grep -vc '"attempt":1[,}]' jobs)"

# --- a read that stays, to the end of a run
rm go
rt run -c count.lua -s n:1 --session read --concurrency 2 >out 2>err &
run=$!
check "another has begun" until_true 60 some read
check "sqlite3 reads" hold read "BEGIN; SELECT 'there are ' || count(*) FROM assets;"
ask "SELECT 'before ' || count(*) FROM assets;"
before=
read -r -t 60 before <&"${other[0]}"
touch go
wait $run
same "a run beside a reader: exit code" 0 $?
same "all assets" 300 "$(keys out | uniq | wc -l)"
ask "SELECT 'before ' || count(*) FROM assets;"
check "what the other reads is as it was" until_answer "$before"
let_go
same "and then it sees the rest" 300 "$(sqlite3 "$data/read.sqlite" 'SELECT count(*) FROM assets')"
finish
