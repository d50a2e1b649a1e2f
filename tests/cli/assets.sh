#!/usr/bin/env bash
# `runtime assets` with more to choose by, `runtime delete`, and the same over `ctl`.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >caps.lua <<'END_OF_CAPS'
return {
  capability { name = "split", input = { "text" }, output = { "letter" },
    invoke = function(job, asset)
      for i = 1, #asset.value do
        job:send { class = "letter", value = asset.value:sub(i, i), metadata = { at = i, first = i == 1 } }
      end
    end },
  capability { name = "fussy", input = { "letter" }, output = {},
    invoke = function(_, asset) if asset.value == "x" then error("no x") end end },
  capability { name = "wait", input = { "gate" }, output = {},
    invoke = function() require("time").sleep(3600) end },
}
END_OF_CAPS
chosen() { rt assets one --json "$@" >out 2>err; echo "$? $(keys out | tr '\n' ' ' | sed 's/ $//')"; }

rt run -c caps.lua -s text:abx -s text:d.b --session one >out 2>err
same "a session with a failed job" 4 $?
same "--class" "0 text:abx text:d.b" "$(chosen --class text)"
same "--value" "0 text:d.b" "$(chosen --value '*.b')"
same "--prefix" "0 letter:d text:d.b" "$(chosen --prefix d)"
same "--meta" "0 letter:a letter:d" "$(chosen --meta first=true at=1)"
same "--meta, a number" "0 letter:." "$(chosen --meta at=2 --prefix .)"
same "--from" "0 letter:. letter:a letter:b letter:d letter:x" "$(chosen --from split)"
same "--parent, also by a further way" "0 letter:. letter:b letter:d" "$(chosen --parent text:d.b)"
same "--depth" "0 text:abx text:d.b" "$(chosen --depth 0)"
same "--since a time ago" "0 text:abx text:d.b" "$(chosen --since 1h --class text)"
same "--since a date" "0 text:abx text:d.b" "$(chosen --since 2020-02-29T12:00:00Z --class text)"
same "--before a date" "0 " "$(chosen --before '2020-02-29 12:00')"
same "--before unix seconds" "0 " "$(chosen --before @1600000000)"
same "--since what is to come" "0 " "$(chosen --since 2199-01-01)"
expect "no such parent" 1 "no asset 'text:zzz'" assets one --parent text:zzz
expect "no time" 2 "--since: 'soon' is no time" assets one --since soon
expect "no date" 2 "is no time" assets one --before 2020-13-45
expect "no field" 2 "'at' is not NAME=VALUE" assets one --meta at

expect "delete" 0 "" delete one text:abx letter:x
check "it says how many" grep -q "2 assets deleted" err
same "they are gone" "0 letter:. letter:a letter:b letter:d text:d.b" "$(chosen)"
rt assets one --json --class letter --prefix a >out
check "what they led to has no parent" grep -q '"key":"letter:a".*"parent":null' out
rt status one --json >out
check "the failed job went with its asset" grep -q '"failed":0' out
rt jobs one --state failed --json >out
same "jobs has none" 0 "$(wc -l <out)"
expect "an unknown one" 1 "no asset 'text:no'" delete one letter:a text:no
same "and none of the others" "0 letter:a" "$(chosen --prefix a)"
expect "no session" 1 "no session 'other'" delete other a:b
expect "no key" 2 "expected keys, or options that choose" delete one
expect "keys and a choice" 2 "expected keys, or options that choose" delete one letter:a --class letter
expect "a choice with a bad time" 2 "is no time" delete one --before soon
expect "a choice with no such parent" 1 "no asset 'text:zzz'" delete one --parent text:zzz
expect "a choice that fits nothing" 0 "0 assets deleted" delete one --since 2199-01-01
expect "a choice" 0 "2 assets deleted" delete one --class letter --from split --meta first=true
same "what it left" "0 letter:. letter:b text:d.b" "$(chosen)"
expect "resume after it" 0 "" resume one

rt run -c caps.lua -s gate:1 -s gate:2 -s text:q --session live --grace 1s >out.run 2>err.run &
run=$!
trap 'kill $run 2>/dev/null' EXIT
done_with() { rt ctl live stat 2>>err.poll | grep -q "running 2" && rt assets live --json 2>>err.poll | grep -q letter:q; }
check "two wait" until_true 30 done_with
expect "delete while another has it" 1 "runtime ctl live delete" delete live text:q
expect "delete over ctl" 0 "" ctl live delete text:q
expect "once" 1 "no asset 'text:q'" ctl live delete text:q
expect "not while a job of it runs" 1 "a job of the asset is running" ctl live delete gate:1
pid=$(rt status live --json 2>>err.poll | sed -n 's/.*"owner":\([0-9]*\).*/\1/p')
kill -9 "$pid"
wait $run 2>/dev/null
expect "once its owner is dead" 0 "" delete live gate:1
rt assets live --json >out
same "a deletion outlives a kill" "gate:2 letter:q" "$(keys out | tr '\n' ' ' | sed 's/ $//')"
expect "a resumed run" 3 "stopped" resume live --deadline 1s
rt assets live --json >out
same "does not bring deleted seeds back" "gate:2 letter:q" "$(keys out | tr '\n' ' ' | sed 's/ $//')"

cat >keyed.lua <<'END_OF_CAPS'
return capability { name = "keyed", input = { "text" }, output = { "named" },
  invoke = function(job)
    job:send { class = "named", value = "the-value", key = "own" }
    job:send { class = "named", value = "same", key = "named:the-same" }
  end }
END_OF_CAPS
rt run -c keyed.lua -s text:a --session keyed >out 2>err
rt assets keyed --class named >out
check "a key of its own, and the value beside it" grep -q 'own  (the-value)$' out
check "once, where the key names it" grep -q ' the-same$' out
finish
