#!/usr/bin/env bash
# Capabilities that run at their times: the session stays open until a deadline or a signal, and goes on
# where it was.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >beat.lua <<'END'
return capability { name = "beat", every = "50ms", output = { "b" },
  invoke = function(job, asset) job:send { class = "b", value = asset.value } end }
END
cat >hourly.lua <<'END'
return capability { name = "hourly", every = "1h", output = { "b" },
  invoke = function(job, asset) job:send { class = "b", value = asset.value } end }
END
expect "without seeds, until the deadline" 3 "stopped \(deadline\)" run -c hourly.lua --deadline 1s --session ends

# beats WORD COUNT ARGUMENT...: runs in the background until there were so many
beats() {
  local name=$1 count=$2 pid
  shift 2
  rt "$@" --deadline 100s >out 2>err &
  pid=$!
  check "$name" until_true 60 enough "$count"
  check "$name: it is asked to stop" until_true 60 rt ctl beats cancel
  wait $pid
  same "$name: stopped" 3 $?
}
enough() { [ "$(grep -c '"class":"b"' out)" -ge "$1" ]; }
beats "without seeds, again and again" 3 run -c beat.lua --session beats
check "each time is an asset" grep -q '"class":"tick.beat"' out
rt why beats >why
check "why tells the next time" grep -q "waits for its next time .*beat" why
beats "resumed" 1 resume beats

rt run -c hourly.lua --session hours >out 2>err &
pid=$!
check "one that comes each hour runs at once" until_true 60 grep -q '"class":"b"' out
check "it is asked to stop" until_true 60 rt ctl hours cancel
wait $pid
same "stopped, and can be resumed" 3 $?
expect "its next time stands in the file" 3 "" resume hours --deadline 500ms
same "nothing is made up for" 0 "$(wc -l <out)"

cat >bad.lua <<'END'
return capability {
  name = "bad",
  every = "0 25 * * *",
  invoke = function() end,
}
END
expect "a faulty expression" 1 "bad.lua:3: capability 'bad': every: expected a cron expression, hour: expected" run -c bad.lua -s a:1
expect "plan knows no cycle in it" 0 "" plan -c beat.lua
expect "a dry run ends" 0 "" plan -c beat.lua --dry-run -s a:1
finish
