#!/usr/bin/env bash
# A session over time: run, run again, what is new, changed and gone; also when it is killed on the way.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >caps.lua <<'END'
return {
  capability { name = "list", input = { "dir" }, output = { "file" }, rerun = "always", version = "1",
    invoke = function(job, asset)
      for line in io.lines(asset.value) do
        local name, size = line:match("^(%w+) (%w+)$")
        job:send { class = "file", value = name, metadata = { size = size } }
      end
    end },
  capability { name = "look", input = { "file" }, output = { "note" }, rerun = "on_change",
    invoke = function(job, asset) job:send { class = "note", value = asset.value .. asset.metadata.size } end },
  capability { name = "daily", input = { "file" }, rerun = "after:24h", invoke = function() end },
  capability { name = "watch", input = { "asset.gone:file", "asset.changed:file", "asset.new:file" }, output = { "alert" },
    invoke = function(job, asset) job:send { class = "alert", value = asset.metadata.event .. " " .. asset.value } end },
}
END
list() { printf '%s 1\n' "$@" >files; }
values() { rt assets s --class "$1" --json | sed 's/.*"value":"\([^"]*\)".*/\1/' | sort | paste -sd, -; }

list a b
expect "the first run" 0 "file +2" run -c caps.lua -s dir:files --session s
same "the first run: nothing to compare with" "" "$(values alert)"
cp "$data/s.sqlite" "$data/old.sqlite"
now=@$(date +%s.%N)
list a c
sed -i 's/a 1/a 2/' files
expect "another run" 0 "run again: 2" resume s
same "another run: what happened" "changed a,gone b,new c" "$(values alert)"
same "another run: looked at again" "a1,a2,b1,c1" "$(values note)"
check "what was found now is printed" grep -q '"key":"file:c"' out
same "what was known is not printed again" 0 "$(grep -c '^{"key":"file:a"' out)"
since() { rt assets s --json "$@" | sed 's/.*"key":"file:\([^"]*\)".*/\1/' | sort | paste -sd, -; }
same "changed since then" "a,b,c" "$(since --class file --changed-since "$now")"
same "stored since then" "c" "$(since --class file --since "$now")"
same "changed since what is to come" "" "$(since --changed-since 2199-01-01)"
expect "changed since no time" 2 "--changed-since: 'soon' is no time" assets s --changed-since soon
says() { # NAME PATTERN ARGUMENT...
  local name=$1 pattern=$2
  shift 2
  expect "$name" 0 "" "$@"
  check "$name: the words" grep -Eq "$pattern" out
}
says "why always" "ended at .* UTC, runs again in the next run" why s list dir:files
says "why after" "ended at .* UTC, runs again after 2" why s daily file:a
says "why on_change" "has not changed since" why s look file:c
says "explain what is gone" "file:b  \(gone\)" explain s file:b
expect "compared with before" 0 "1 new, 1 changed, 1 gone" diff old s --class file
check "compared with before: what changed" grep -q 'changed  file:a' out
says "versions" '"capability":"list".*"version":"1"' jobs s --json

list a c
sed -i 's/a 1/a 2/' files
expect "nothing else happened" 0 "run again: 1" resume s
same "nothing else happened: no alert" "changed a,gone b,new c" "$(values alert)"

# Killed while it runs again: the next one ends with the same, each thing told once.
sed -i 's/name = "list", /&setup = function() end, /; s/local name, size/require("time").sleep("20ms") &/' caps.lua
printf '%s 7\n' a b c d e f g h >files
for _ in 1 2 3; do
  "$runtime" resume s >/dev/null 2>&1 </dev/null &
  pid=$!
  until_true 30 test -e "$data/s.lock"
  sleep "0.0$((RANDOM % 9 + 1))"
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
done
expect "after kill -9" 0 "" resume s
expect "after kill -9: once more" 0 "" resume s
same "after kill -9: all are found" "a,b,c,d,e,f,g,h" "$(values file)"
same "after kill -9: each is looked at" "a1,a2,a7,b1,b7,c1,c7,d7,e7,f7,g7,h7" "$(values note)"
rt assets s --class alert --json | sed 's/.*"value":"\([^"]*\)".*/\1/' | sort | uniq -d >twice
same "after kill -9: nothing is told twice" 0 "$(wc -l <twice)"
finish
