#!/usr/bin/env bash
# --watch: capability files that change while a session runs.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1
mkdir -p caps

# beat WORD: another file takes the name of the one that is there, as editors do it
beat() {
  cat >next <<END
return capability {
  name = "beat", every = "50ms", output = { "b" },
  invoke = function(job, asset) job:send { class = "b", value = "$1 " .. asset.value } end,
}
END
  mv next caps/beat.lua
}
test_more() { [ "$(wc -l <out)" -gt "$1" ]; }
beat first
rt run -c caps --session live --watch --deadline 100s >out 2>err &
run=$!
trap 'kill $run 2>/dev/null' EXIT
check "it runs" until_true 60 grep -q '"b:first' out
beat second
check "a new version takes its place" until_true 60 grep -q '"b:second' out
check "which is told" until_true 60 grep -q "taken in anew: 1 capability" err
cat >caps/beat.lua <<'END'
return capability {
  name = "beat",
  every = "sometimes",
  invoke = function() end,
}
END
check "a faulty one is refused, with file and line" \
  until_true 60 grep -q "caps/beat.lua:3: capability 'beat': every: expected" err
check "and that the one before stays" until_true 60 grep -q "loaded before stays" err
lines=$(wc -l <out)
check "it does" until_true 60 test_more "$lines"
printf 'return capability {' >caps/beat.lua
check "one that does not compile, too" until_true 60 grep -q "caps/beat.lua:1: unexpected\|caps/beat.lua:1: '}' expected" err
beat third
check "a good one is taken in after it" until_true 60 grep -q '"b:third' out
cat >caps/other.lua <<'END'
return capability { name = "other", input = { "b" }, output = { "c" },
  invoke = function(job, asset) job:send { class = "c", value = asset.value } end }
END
check "a new file, too" until_true 60 grep -q '"class":"c"' out
# What it requires
mkdir -p caps/lib
echo 'return { word = "north" }' >caps/lib/way.lua
cat >caps/other.lua <<'END'
local way = require("lib.way")
return capability { name = "other", input = { "b" }, output = { "c" },
  invoke = function(job, asset) job:send { class = "c", value = way.word .. asset.value } end }
END
check "one that requires a module" until_true 60 grep -q '"c:north' out
echo 'return { word = "south" }' >next && mv next caps/lib/way.lua
check "a changed module changes who requires it" until_true 60 grep -q '"c:south' out
printf 'return {' >caps/lib/way.lua
check "a faulty one is refused" until_true 60 grep -q "caps/lib/way.lua:1: " err
rm caps/other.lua
check "a file that is gone takes its capability along" \
  until_true 60 grep -q "caps: 'other' is declared no longer, and taken out" err

# One that is written without a pause
cat >caps/slow.lua <<'END'
return capability { name = "slow", input = { "b" }, output = { "d" },
  invoke = function(job, asset) job:send { class = "d", value = asset.value } end }
END
touch busy
while [ -e busy ] && [ -d caps ]; do touch -c caps/slow.lua; done &
writer=$!
trap 'kill $run $writer 2>/dev/null' EXIT
check "one that changes without end is taken in as it is" until_true 60 grep -q '"class":"d"' out
rm busy
wait $writer
check "stop" rt ctl live cancel
wait $run
same "stopped, and can be resumed" 3 $?

echo 'return { watch = true }' >watch.lua
rt resume live --config watch.lua --deadline 100s >out 2>err &
run=$!
check "resumed, told by a configuration" until_true 60 grep -q '"b:third' out
beat fourth
check "it is watched as well" until_true 60 grep -q '"b:fourth' out
check "stop again" rt ctl live cancel
wait $run
same "stopped again" 3 $?
finish
