#!/usr/bin/env bash
# `runtime diff`: what two sessions found, compared.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >caps.lua <<'END'
return capability { name = "look", input = { "n" }, output = { "m" }, options = { state = { default = "up" } },
  invoke = function(job, asset)
    local state = asset.value == "2" and job.options.state or "same"
    job:send { class = "m", value = asset.value, metadata = { state = state, deep = { 1, 2 } } }
  end }
END
expect "monday" 0 "" run -c caps.lua -s n:1 -s n:2 -s n:3 --session monday
expect "tuesday" 0 "" run -c caps.lua -s n:4 -s n:2 -s n:1 --set look.state=down --session tuesday
expect "the two" 0 "2 new, 1 changed, 2 gone" diff monday tuesday
printf '  new      n:4\n  new      m:4\n  changed  m:2\n  gone     n:3\n  gone     m:3\n' | sort >want
same "what is new, changed, gone" "$(cat want)" "$(sort out)"
expect "as JSON" 0 "" diff monday tuesday --json --class m
same "as JSON: of one class" 3 "$(wc -l <out)"
check "as JSON: what is now and what was before" grep -q \
  '"change":"changed","key":"m:2".*"state":"down".*"before":.*"state":"up"' out
same "tables are compared, not the order of their keys" 0 "$(grep -c 'changed.*m:1' out)"
expect "as JSON: seeds" 0 "" diff monday tuesday --json --class n
check "as JSON: no metadata is an empty object" grep -q '"key":"n:4".*"metadata":{}' out
expect "with itself" 0 "0 new, 0 changed, 0 gone" diff monday monday
same "with itself: nothing" 0 "$(wc -l <out)"
seq 3000 | sed 's/^/x:/' | rt run -s - --session many >/dev/null 2>&1
seq 2 3001 | sed 's/^/x:/' | rt run -s - --session other >/dev/null 2>&1
expect "many" 0 "1 new, 0 changed, 1 gone" diff many other
expect "one that is not there" 1 "no session 'never'" diff monday never
expect "one name only" 2 "usage: runtime diff" diff monday
finish
