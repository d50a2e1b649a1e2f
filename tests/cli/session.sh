#!/usr/bin/env bash
# The commands around a small session: run, resume, and what only reads.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

mkdir -p caps more
cat >caps/chain.lua <<'END'
local grow = capability {
  name = "grow", description = "a word grows", input = { "word" }, output = { "word", "long" },
  options = { most = { default = 5, description = "letters" } },
  invoke = function(job, asset)
    print("growing " .. asset.value)
    if #asset.value >= job.options.most then
      job:send { class = "long", value = asset.value, metadata = { letters = #asset.value } }
    else
      job:send { class = "word", value = asset.value .. "x" }
    end
  end,
}
local picky = capability {
  name = "picky", input = { "word" }, output = {}, retries = 0,
  match = function(asset)
    if #asset.value > 3 then return false, "too long for me" end
    return true
  end,
  invoke = function(job, asset)
    if asset.value == "axx" then error("cannot stand axx") end
  end,
}
return { grow, picky }
END
cat >more/late.lua <<'END'
return capability {
  name = "late", input = { "long" }, output = { "end" },
  invoke = function(job, asset) job:send { class = "end", value = asset.value } end,
}
END

# --- run
rt run -c caps -s word:a --session one >out 2>err
same "a failed job: exit code 4" 4 $?
same "assets on stdout" "word:a word:ax word:axx word:axxx word:axxxx long:axxxx" \
  "$(sed -n 's/^{"key":"\([^"]*\)".*/\1/p' out | tr '\n' ' ' | sed 's/ $//')"
check "the seed has no parent" grep -q '"key":"word:a".*"depth":0,"parent":null' out
check "a result names its parent" grep -q '"key":"word:ax".*"depth":1,"parent":"word:a"' out
check "metadata is in the line" grep -q '"key":"long:axxxx".*"metadata":{"letters":5}' out
check "print goes to stderr" grep -q "growing ax" err
check "the summary counts classes" grep -Eq "word +5" err
check "the summary has the reason of a failure" grep -q "cannot stand axx" err
rt run -c caps -s word:a --without picky >out 2>err
same "--without, a fresh name: exit code" 0 $?
check "the fresh name is told" grep -Eq "^session [0-9]{8}-" err
rt run -c caps -s word:a --only grow --set grow.most=3 --session two >out 2>err
same "--set changes an option" "word:a word:ax word:axx long:axx" \
  "$(sed -n 's/^{"key":"\([^"]*\)".*/\1/p' out | tr '\n' ' ' | sed 's/ $//')"
printf 'word:b\r\n\n  \nword:c\n' | rt run -c caps -s - --only grow --max-depth 1 --session three >out 2>err
same "seeds from standard input, --max-depth" "word:b word:bx word:c word:cx" "$(keys out | tr '\n' ' ' | sed 's/ $//')"
rt run -c caps -s word:a --only grow --scope 'word:a' 'word:ax' --session four >out 2>err
same "--scope limits a class" "word:a word:ax" "$(keys out | tr '\n' ' ' | sed 's/ $//')"
rt run -c caps -s word:a --only grow --max-assets 3 --session five >out 2>err
same "--max-assets" 3 "$(wc -l <out)"
rt run -s thing:1 -s thing:1 --session six >out 2>err
same "seeds alone, one of them twice: exit code" 0 $?
same "seeds alone: lines" 1 "$(wc -l <out)"
check "seeds alone: nobody takes them" grep -q "no capability takes: 1 (class 'thing')" err
cat >endless.lua <<'END'
return capability {
  name = "endless", input = { "thing" }, output = {},
  invoke = function() require("time").sleep("1h") end,
}
END
rt run -c endless.lua -s thing:1 --grace 0 >/dev/full 2>err
same "an output that is full: exit code" 3 $?
same "an output that is full: told once" 1 "$(grep -c 'No space left' err)"
check "an output that is full: the reason" grep -q 'stopped (standard output cannot be written)' err
rt run -c caps -s word:a --log-format json --log-level debug --progress always --session seven >out 2>err
same "--progress always, JSON log: still 6 lines" 6 "$(wc -l <out)"
expect "no seeds" 2 "no seeds: -s CLASS:VALUE" run -c caps --session eight
expect "no seeds: nothing was made" 1 "no session 'eight'" status eight
expect "seeds from an empty input" 0 "eight finished" run -c caps -s - --session eight
expect "seeds from an empty input: resume" 0 "eight finished" resume eight

# --- what reads
expect "sessions" 0 "" sessions
check "sessions has a table" grep -Eq '^ *one +finished' out
expect "sessions --json" 0 "" sessions --json
check "sessions --json has lines" grep -q '"name":"one"' out
expect "status" 0 "" status one
check "status has the capability" grep -Eq '^ *picky +2 +2 +1' out
expect "status --json" 0 "" status one --json
check "status --json has counts" grep -q '"work_items_total":10' out
expect "assets" 0 "" assets one
same "assets has a row each" 7 "$(wc -l <out)"
expect "assets --json --class" 0 "" assets one --json --class 'l*ng|long'
expect "assets --class of a pattern" 0 "" assets one --json --class '(long|none)'
same "one asset of that class" 1 "$(wc -l <out)"
expect "jobs" 0 "" jobs one
check "jobs shows a skip with its reason" grep -q "skipped.*picky.*too long for me" out
expect "jobs --state" 0 "" jobs one --state failed --json
same "one failed job" 1 "$(wc -l <out)"
check "with its error" grep -q "cannot stand axx" out
expect "explain" 0 "" explain one long:axxxx
same "explain: six steps" 6 "$(wc -l <out)"
check "explain: begins with the seed" grep -Eq '0 +seed +word:a$' out
expect "why" 0 "" why one
expect "why not: skipped" 0 "" why one picky word:axxx
check "why not: the reason" grep -q "too long for me" out
expect "why not: failed" 0 "" why one picky word:axx
check "why not: the error" grep -q "cannot stand axx" out
expect "why not: class" 0 "" why one picky long:axxxx
mkdir -p naps
cat >naps/nap.lua <<'EOF'
return capability {
  name = "nap", input = { "word" }, output = {},
  invoke = function(job) job:snooze("1h") end,
}
EOF
sleeps() { rt why nap 2>/dev/null | grep -Eq 'nap.* due=20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$'; }
"$runtime" run -c naps -s word:a --session nap >/dev/null 2>&1 &
napping=$!
check "why: until when a job sleeps, as a time" until_true 30 sleeps
kill -TERM $napping
wait $napping
same "a job that sleeps keeps its session open" 3 $?
same "what only reads leaves nothing beside the session" "one.lock one.sqlite" \
  "$(cd "$RUNTIME_DATA" 2>/dev/null && echo one.*)"
expect "plan" 0 "" plan -c caps
check "plan has the flow" grep -q -- 'grow --word--> picky' out
expect "plan --json" 0 "" plan --json -c caps more
check "plan --json has edges" grep -q '"edges":\[' out
expect "plan --dot" 0 "" plan -c caps more --dot
check "plan --dot is a graph" grep -q '"grow" -> "late" \[label="long"\]' out
for form in dot html json; do
  expect "graph --$form" 0 "" graph one --$form
  check "graph --$form has the end" grep -q "long:axxxx" out
done

# --- resume, --retry
expect "resume of a finished session does nothing" 0 "" resume one
same "and prints nothing" 0 "$(wc -c <out)"
expect "jobs --retry" 0 "1 failed job put back" jobs one --retry
expect "resume after --retry fails again" 4 "cannot stand axx" resume one
expect "resume keeps to the stored --only" 0 "" resume two -c more
same "and prints nothing" 0 "$(wc -c <out)"
expect "a session to be widened" 0 "" run -c caps -s word:a --without picky --session wide
expect "resume with more capabilities" 0 "" resume wide -c more
same "prints only what is new" "end:axxxx" "$(keys out)"
expect "resume uses stored options again" 0 "" resume wide
expect "a second retry of nothing" 0 "0 failed" jobs two --retry

# --- capability files that moved
mkdir before
cp more/late.lua caps/chain.lua before
expect "a session of two files" 0 "" run -c before/late.lua before/chain.lua -s word:a --without picky --session moved
mv before after
expect "resume: a file is gone" 1 "before/late.lua is gone.*-c and its new place" resume moved
expect "resume: one of them is found again" 0 "before/late.lua is gone; .*after/late.lua is taken" \
  resume moved -c after/late.lua after/chain.lua
check "and the other by its name" grep -q "before/chain.lua is gone; .*after/chain.lua is taken" err
expect "the new places are kept" 0 "" resume moved
same "and nothing is said of the old ones" 0 "$(grep -c before err)"

# --- a file that may not grow for a while
cat >steps.lua <<'END'
return capability {
  name = "step", input = { "step" }, output = { "step" },
  invoke = function(job, asset)
    local n = tonumber(asset.value)
    if n >= 200 then return end
    job:send { class = "step", value = tostring(n + 1), metadata = { text = ("x"):rep(2000) } }
  end,
}
END
if command -v prlimit >/dev/null; then
  soft=$(prlimit --fsize --noheadings --raw --output SOFT)
  # shellcheck disable=SC2016 # for the inner shell
  timeout -k 10 "$limit" bash -c 'echo $$ >pid; exec prlimit --fsize=300000: "$@"' - \
    "$runtime" run -c steps.lua -s step:1 --session steps >/dev/null 2>err &
  job=$!
  check "a run waits at the limit of its file's size, and says so" \
    until_true 60 grep -q "waits: .*limit of its size" err
  check "the limit is lifted" prlimit --pid "$(cat pid)" --fsize="$soft:"
  wait "$job"
  same "then it goes on to its end" 0 $?
  expect "its assets" 0 "" status steps
  check "are all there" grep -Eq "step +200" out
else
  pass "a run waits at the limit of its file's size # SKIP no prlimit here"
fi
finish
