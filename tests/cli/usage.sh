#!/usr/bin/env bash
# Wrong usage and bad input: the exit code, and a message that names what is wrong.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

mkdir -p caps bad empty
cat >caps/good.lua <<'END'
return capability {
  name = "good", input = { "a" }, output = { "b" },
  options = { size = { default = 3 }, word = { default = "x" }, on = { default = true } },
  invoke = function(job, asset) job:send { class = "b", value = asset.value } end,
}
END
nothing_made() { [ ! -e "$data" ] || [ -z "$(ls -A "$data")" ]; }

# --- the program itself
expect "no arguments" 2 "usage"
expect "--help" 0 "" --help
check "--help lists the commands" grep -q "resume" "$tmp/out"
expect "--version" 0 "" --version
check "--version says the version" grep -Eq '^runtime [0-9]+\.[0-9]+\.[0-9]+$' "$tmp/out"
expect "unknown option of the program" 2 "unknown option '--nope'" --nope
expect "the nearest option is named" 2 "did you mean '--unsafe'" --unsaf
expect "a misspelt command" 2 "did you mean 'resume'" resum
expect "a script that is not there" 1 "nothere.lua" nothere.lua
expect "a word that is neither command nor file" 2 "no command and no file" zzzzzz
expect "-e without code" 2 "needs a value" -e
expect "--log-level of the program with a bad value" 2 "none of" --log-level loud -e ""
expect "--workers 0" 2 "whole number" --workers 0 -e ""

rt -e 'print(1)' >/dev/full 2>err
same "a full standard output: exit code" 1 $?
check "a full standard output: message" grep -q "cannot write to standard output" err

# --- options of run
expect "run --help" 0 "" run --help
check "run --help lists its options" grep -q -- "--max-depth" "$tmp/out"
expect "unknown option of run" 2 "unknown option '--sead'; did you mean '--seed'" run --sead a:b
expect "an option without its value" 2 "--session needs a value" run -s a:b --session
expect "an empty value" 2 "empty" run -s a:b --session ""
expect "a bare argument" 2 "unexpected argument 'stray' .capabilities: -c PATH" run stray
expect "a network that is none" 2 "scope rule '!10.0.0.0/240'" run -s a:b --scope '!10.0.0.0/240'
expect "--concurrency 0" 2 "--concurrency" run -s a:b --concurrency 0
expect "--concurrency is no number" 2 "'many'" run -s a:b --concurrency many
expect "--workers is negative" 2 "--workers" run -s a:b --workers=-1
expect "--max-depth is no number" 2 "--max-depth" run -s a:b --max-depth 1.5
expect "--max-assets overflows" 2 "--max-assets" run -s a:b --max-assets 99999999999999999999
expect "--deadline is no duration" 2 "--deadline.*'soon'" run -s a:b --deadline soon
expect "--deadline is negative" 2 "--deadline" run -s a:b --deadline=-5
expect "--grace with a bad unit" 2 "--grace.*'5x'" run -s a:b --grace 5x
expect "--progress has three values" 2 "auto\|always\|never" run -s a:b --progress maybe
expect "--log-format has two values" 2 "text\|json" run -s a:b --log-format xml
expect "--resolver without an address" 2 "--resolver.*'nowhere'" run -s a:b --resolver nowhere
expect "--resolver with a bad port" 2 "--resolver" run -s a:b --resolver 127.0.0.1:99999
expect "a flag takes no value" 2 "takes no value" sessions --json=yes
expect "a session name that leaves the folder" 2 "'../x'" run -s a:b --session ../x
expect "a session name that begins with a dot" 2 "'.x'" run -s a:b --session .x
expect "a session name with a slash" 2 "'a/b'" run -s a:b --session a/b
expect "a session name that is too long" 2 "session name" \
  run -s a:b --session "$(printf 'x%.0s' $(seq 101))"
expect "resume of a bad name" 2 "'../x'" resume ../x
expect "status of a bad name" 2 "'../x'" status ../x

# --- seeds
expect "--deadline beyond all clocks" 2 "not a duration" run -s a:b --deadline 99999999999999h
expect "a seed without a colon" 2 "bad seed 'ipv4'" run -s ipv4
expect "a seed without a class" 2 "bad seed ':x'" run -s :x
expect "a seed without a value" 2 "bad seed 'a:'" run -s a:
expect "an empty seed" 2 "bad seed ''" run -s ""
expect "a class with a bad character" 2 "bad seed 'a b:x'" run -s "a b:x"
expect "a value that is not UTF-8" 2 "not UTF-8" run -s "$(printf 'a:\xff\xfe')"
expect "an overlong UTF-8 form" 2 "not UTF-8" run -s "$(printf 'a:\xc0\xaf')"
expect "a value with a control character" 2 "control character" run -s "$(printf 'a:x\ty')"
printf 'a:%065537d\n' 0 >long
rt run -s - <long >out 2>err
same "a value that is too long: exit code" 2 $?
check "a value that is too long: message" grep -q "64 KB" err
printf 'a:1\n\n   \nnonsense\n' | rt run -s - >out 2>err
same "a bad seed from standard input: exit code" 2 $?
check "a bad seed from standard input: its line" grep -q "nonsense.*line 4" err
check "nothing was made by wrong usage" nothing_made

# --- capabilities
expect "a path that is not there" 1 "cannot open nosuch" run -c nosuch -s a:b
check "and nothing was made" nothing_made
expect "an unknown capability in --only" 2 "no capability 'goood'; did you mean 'good'" \
  run -c caps -s a:b --only goood
expect "an unknown capability in --without" 2 "--without: no capability 'zzz'" \
  run -c caps -s a:b --without zzz
expect "an unknown capability in --set" 2 "no capability 'goop'" run -c caps -s a:b --set goop.size=1
expect "an unknown option in --set" 2 "no option 'sise'; did you mean 'size'" \
  run -c caps -s a:b --set good.sise=1
expect "--set without a value" 2 "CAPABILITY.OPTION=VALUE" run -c caps -s a:b --set good.size
expect "--set with the wrong type" 2 "'many' is not a number" run -c caps -s a:b --set good.size=many
expect "--set of a boolean" 2 "true or false" run -c caps -s a:b --set good.on=perhaps
check "and still nothing was made" nothing_made

mkdir -p nobody
expect "a folder without capabilities" 1 "nobody: no capabilities in it" run -c nobody -s a:b
declare_bad() { printf '%s\n' "$2" >"bad/$1.lua"; }
declare_bad syntax 'return capability { name = '
declare_bad noname 'return capability { input = { "a" }, invoke = function() end }'
declare_bad unknown 'return capability { name = "u", input = { "a" }, invoke = print, colour = 1 }'
declare_bad type 'return capability { name = 5, input = { "a" }, invoke = function() end }'
declare_bad noinput 'return capability { name = "n", input = {}, invoke = function() end }'
declare_bad raises 'error("oh dear")'
declare_bad nothing 'return nil'
declare_bad slow 'while true do end'
expect "faulty files only: nothing loads" 1 "no capability could be loaded" run -c bad -s a:b
for word in syntax.lua:2 noname.lua.*name unknown.lua.*colour type.lua.*name noinput.lua.*input \
  raises.lua.*oh.dear nothing.lua slow.lua "8 capabilities not loaded"; do
  check "faulty files are told: $word" grep -Eq "$word" "$tmp/err"
done
same "one line for each" 8 "$(grep -c 'bad/[a-z]*\.lua' "$tmp/err")"
expect "faulty files beside a good one" 0 "not loaded" run -c bad -c caps -s a:b --session mixed
same "the good one worked" 2 "$(wc -l <"$tmp/out")"
cp caps/good.lua caps/twin.lua
expect "a duplicate name" 0 "twin.lua.*good" run -c caps -s a:b --session twin
rm caps/twin.lua
expect "an empty folder" 1 "no capability" run -c empty -s a:b
expect "plan without paths" 2 "usage" plan
expect "plan with two forms" 2 "not both" plan -c caps --dot --json

# --- the data folder and stored sessions
expect "a session name that exists" 1 "runtime resume mixed" run -c caps -s a:b --session mixed
expect "resume of what is not there" 1 "no session 'ghost'" resume ghost
for command in status assets jobs why; do
  expect "$command of what is not there" 1 "no session 'ghost'" $command ghost
done
expect "explain of what is not there" 1 "no session 'ghost'" explain ghost a:b
expect "explain of an unknown asset" 1 "no asset 'a:zzz'" explain mixed a:zzz
expect "explain without an asset" 2 "usage" explain mixed
expect "why with half a question" 2 "which asset" why mixed good
expect "graph without a form" 2 "--dot, --html, --json" graph mixed
expect "status without a name" 2 "usage" status
expect "too many arguments" 2 "unexpected argument 'b'" status a b
expect "jobs --state with a bad value" 2 "none of" jobs mixed --state asleep
echo "a file" >file
expect "a data folder that is a file" 1 "file" run -s a:b --data file
if [ "$(id -u)" != 0 ]; then
  mkdir -p locked && chmod 555 locked
  expect "a data folder that cannot be written" 1 "locked" run -s a:b --data locked/in
else
  expect "a data folder that cannot be made" 1 "/proc/none" run -s a:b --data /proc/none
fi
finish
