#!/usr/bin/env bash
# Capabilities that would never end: each is stopped by a budget that the summary names, and what was
# not taken is stored with the reason.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >caps.lua <<'END'
return {
  capability { name = "flood", input = { "f" }, output = { "g" }, options = { count = { default = 20000 } },
    invoke = function(job)
      local batch = {}
      for i = 1, job.options.count do
        batch[#batch + 1] = { class = "g", value = tostring(i) }
        if #batch == 500 then job:send(batch) batch = {} end
      end
    end },
  capability { name = "itself", input = { "s" }, output = { "s" },
    invoke = function(job, asset) job:send { class = "s", value = asset.value .. "x" } end },
  capability { name = "ping", input = { "a" }, output = { "b" },
    invoke = function(job, asset) job:send { class = "b", value = asset.value .. "1" } end },
  capability { name = "pong", input = { "b" }, output = { "a" },
    invoke = function(job, asset) job:send { class = "a", value = asset.value .. "2" } end },
}
END
# stopped NAME ASSETS SUMMARY ARGUMENT...: the run finishes with so many assets and says why
stopped() {
  expect "$1" 0 "not taken: $3" run -c caps.lua "${@:4}"
  same "$1: what is stored" "$2" "$(wc -l <out)"
}
stopped "a flood, by fanout" 1001 "19000 over fanout" -s f:1 --max-fanout 1000
stopped "a flood, by assets" 1000 "19001 over assets" -s f:1 --max-assets 1000
stopped "a flood, by descendants" 301 "19700 over descendants" -s f:1 --max-descendants 300
stopped "recursion, by repeats" 6 "1 over repeats" -s s:1 --max-repeats 5 --session repeats
stopped "recursion, by depth" 5 "1 over depth" -s s:1 --max-depth 4
stopped "two classes in turn, by repeats" 15 "1 over repeats" -s a:1 --max-repeats 7
stopped "two classes in turn, by descendants" 10 "1 over descendants" -s a:1 --max-descendants 9
stopped "each seed has its own descendants" 20 "2 over descendants" -s a:1 -s a:5 --max-descendants 9
stopped "two budgets" 104 "19900 over fanout, 1 over repeats" -s f:1 -s s:1 --max-fanout 100 --max-repeats 2
# A million results from one job: stopped, counted, and neither the memory nor the file follows them.
"$runtime" run -c caps.lua -s f:1 --set flood.count=1000000 --max-fanout 1000 --session million >out 2>err </dev/null &
flood=$!
peak=0
while kill -0 $flood 2>/dev/null; do
  now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$flood/status" 2>/dev/null)
  peak=${now:-$peak}
  sleep 0.1
done
wait $flood
same "a million results: the run ends" 0 $?
check "a million results: the summary says which budget" grep -q "not taken: 999000 over fanout" err
same "a million results: what is stored" 1001 "$(wc -l <out)"
check "a million results: memory ($peak KB)" test "$peak" -gt 0 -a "$peak" -lt 300000
check "a million results: the file" test "$(stat -c %s "$data/million.sqlite")" -lt 20000000
rt why million flood g:1001 >why
check "a million results: the first refused ones have their reason" grep -q "fanout: the job has sent its 1000" why
rt why million flood g:999999 >why
check "a million results: of the others is said what is known" grep -q "one of 998000 results that were refused and only counted" why

# One that never stops sending is ended, whatever it does with the answers; the others go on.
cat >forever.lua <<'END'
return capability { name = "forever", input = { "f" }, output = { "g" }, timeout = "1h",
  invoke = function(job)
    local n, none = 0, {}
    while true do
      local batch = {}
      for i = 1, 1000 do batch[i] = { class = "g", value = tostring(n + i) } end
      n = n + 1000
      pcall(function() none = job:send(batch) or none end)
    end
  end }
END
expect "an endless flood: the run ends, and names the budget" 4 "not taken: [0-9]* over fanout" run -c caps.lua forever.lua -s f:1 -s s:1 \
  --without flood --max-fanout 10 --max-repeats 2 --session forever
rt jobs forever --state failed >jobs
check "an endless flood: its job has failed, and why" grep -q "forever.*fanout: the job has sent its 10, and went on" jobs
same "an endless flood: the others are done" 3 "$(grep -c '"class":"s"' out)"

expect "out of scope" 0 "not taken: 1 out of scope" run -c caps.lua -s s:1 --scope s:1
expect "nothing to tell" 0 "" run -c caps.lua -s f:1 --set flood.count=500
check "is not told" bash -c '! grep -q "not taken" err'

rt why repeats itself s:1xxxxxx >why
check "why tells the budget of what was not taken" grep -q "repeats: itself is on the way" why
expect "plan warns of the cycles" 0 "cycle" plan -c caps.lua
expect "a budget that is no number" 2 "--max-repeats" run -s a:1 --max-repeats many

# A run that may go on for ever says so; one with a budget that ends it, or without one of the cycle, does not.
expect "run warns of a cycle" 0 "warning: cycle: ping -> pong -> ping, and no budget bounds it" run -c caps.lua -s f:1
check "of each" grep -q "cycle: itself -> itself" err
for budget in "--max-depth 9" "--max-assets 99" "--max-descendants 9" "--max-repeats 9" "--deadline 1h"; do
  # shellcheck disable=SC2086 # two words
  expect "not with $budget" 0 "" run -c caps.lua -s f:1 --set flood.count=1 $budget
  check "not with $budget: not a word" bash -c '! grep -q cycle err'
done
expect "fanout ends no cycle" 0 "cycle: ping" run -c caps.lua -s f:1 --max-fanout 1
expect "not without one of them" 0 "" run -c caps.lua -s f:1 --without pong itself
check "not without one of them: not a word" bash -c '! grep -q cycle err'

# The deadline: what is not done stays, and the words say why.
cat >endless.lua <<'END'
return capability { name = "endless", input = { "n" }, output = { "n" }, max_instances = 1,
  invoke = function(job, asset) job:send { class = "n", value = tostring(asset.value + 1) } end }
END
expect "recursion, by the deadline" 3 "deadline" run -c endless.lua -s n:1 --deadline 3s --session late
check "and can go on" test "$(rt status late | grep -c stopped)" = 1

# A resumed session knows what a seed has already.
expect "a session with a budget" 0 "" run -c caps.lua -s a:1 --max-descendants 9 --session more
cat >more.lua <<'END'
return capability { name = "more", input = { "a" }, output = { "c" },
  invoke = function(job, asset) job:send { class = "c", value = asset.value } end }
END
expect "resumed with another capability" 0 "over descendants" resume more -c more.lua
same "nothing more is stored" 0 "$(wc -l <out)"
finish
