#!/usr/bin/env bash
# Configuration files, typed options, setup of capabilities, choosing them by tags and patterns.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

mkdir -p conf
cat >caps.lua <<'END'
local list
return {
  capability { name = "lists.one", tags = { "passive" }, input = { "n" }, output = { "m" },
    options = { list = { default = "none" }, count = { type = "number" } },
    setup = function(ctx)
      local word = ctx.options.list
      if word == "soft" then return false, "no list" end
      if word == "err" then return nil, errors.new { message = "gone", kind = "NOT_FOUND" } end
      if word == "hard" then error("broken list") end
      if word == "escape" then error("broken list ...\27[2J and so on") end
      list = word .. "@" .. ctx.session
    end,
    invoke = function(job, asset)
      local count = job.options.count
      job:send { class = "m", value = list .. "/" .. type(count) .. "/" .. asset.value }
    end },
  capability { name = "lists.two", tags = { "active", "slow" }, input = { "n" }, output = { "k" },
    invoke = function(job, asset) job:send { class = "k", value = asset.value } end },
}
END
found() { keys out | tr '\n' ' ' | sed 's/ $//'; }

# --- setup
expect "setup" 0 "" run -c caps.lua -s n:1 --session plain
same "setup: what it prepared" "k:1 m:none@plain/nil/1 n:1" "$(found)"
expect "setup with an option" 0 "" run -c caps.lua -s n:1 --set lists.one.list=x --session given
same "setup: the option of the session" "k:1 m:x@given/nil/1 n:1" "$(found)"
for how in soft err; do
  expect "a soft failure ($how)" 0 "" run -c caps.lua -s n:1 --set lists.one.list=$how --session $how
  same "a soft failure ($how): the others go on" "k:1 n:1" "$(found)"
done
rt jobs soft --state skipped >skipped
check "a soft failure: the reason is stored" grep -q "setup: no list" skipped
rt jobs err --state skipped >skipped
check "a soft failure: the error's words" grep -q "setup: gone" skipped
expect "a hard failure stops the run" 3 "stopped \(setup of lists.one: .*broken list\)" \
  run -c caps.lua -s n:1 --set lists.one.list=hard --session hard
deep=$(printf 'deep%.0s' {1..30})
mkdir -p "$deep" && cp caps.lua "$deep"
expect "it is told whole" 3 "stopped \(setup of lists.one: .*broken list \.\.\.\?\[2J and so on\)" \
  run -c "$deep/caps.lua" -s n:1 --set lists.one.list=escape --session escape
rt jobs hard --state queued >queued
check "a hard failure: the job is still queued" grep -q "lists.one" queued
expect "and can be resumed" 0 "" resume hard --set lists.one.list=good
check "with another option" grep -q "good@hard" out

# --- choosing
expect "--only tag" 0 "" run -c caps.lua -s n:1 --only tag:active --session o1
same "--only tag: what ran" "k:1 n:1" "$(found)"
expect "--without tag" 0 "" run -c caps.lua -s n:1 --without tag:slow --session o2
same "--without tag: what ran" "m:none@o2/nil/1 n:1" "$(found)"
expect "--only pattern" 0 "" run -c caps.lua -s n:1 --only 'lists.(two|three)' --session o3
same "--only pattern: what ran" "k:1 n:1" "$(found)"
expect "a tag that nobody has" 2 "'tag:nobody' chooses no capability" run -c caps.lua -s n:1 --only tag:nobody
expect "a pattern that fits nothing" 2 "chooses no capability" run -c caps.lua -s n:1 --without 'x.*'

# --- typed options
expect "a number that is declared without a default" 0 "" \
  run -c caps.lua -s n:1 --set lists.one.count=3 --only lists.one --session typed
check "is one" grep -q "none@typed/number/1" out
expect "and nothing else" 2 "'x' is not a number" run -c caps.lua -s n:1 --set lists.one.count=x

expect "options, their types and defaults" 0 "" plan --options -c caps.lua
sed 's/ *$//; s/  */ /g; s/^ //' out >table
check "are shown" grep -qx "lists.one.list string none" table
check "without a default, too" grep -qx "lists.one.count number" table
expect "--options stands alone" 2 "stands alone" plan --options --json -c caps.lua

# --- configuration
cat >conf/good.lua <<'END'
return { capabilities = "../caps.lua", without = { "lists.two" }, max_depth = 3, deadline = "1h",
  options = { ["lists.one"] = { list = "conf", count = 5 } } }
END
expect "a configuration" 0 "" run --config conf/good.lua -s n:1 --session c1
same "its settings" "m:conf@c1/number/1 n:1" "$(found)"
expect "the command line goes before" 0 "" \
  run --config conf/good.lua -s n:1 --set lists.one.list=cmd --without tag:slow --session c2
check "option by option" grep -q "cmd@c2/number/1" out
rt status c1 --json >status
check "it is kept for resume" grep -q '"max-depth":3' status
echo 'return { capabilities = { "../caps.lua" }, watch = true }' >conf/watch.lua
expect "a switch in a configuration" 0 "" run --config conf/watch.lua -s n:1 --session c3
bad() { # NAME PATTERN TEXT
  printf '%s\n' "$3" >conf/bad.lua
  expect "configuration: $1" 2 "$2" run --config conf/bad.lua -c caps.lua -s n:1
}
bad "no table" "conf/bad.lua: expected a table" 'return 1'
bad "bad syntax" "conf/bad.lua:[0-9]+: unexpected" 'return {'
bad "an error" "conf/bad.lua:1: no" 'error("no")'
bad "an unknown key" "conf/bad.lua:1: unknown option '--max-depht'; did you mean '--max-depth'" 'return { max_depht = 1 }'
bad "a switch that is no boolean" "conf/bad.lua:1: watch: expected true or false" 'return { watch = 1 }'
bad "a wrong type" "conf/bad.lua:1: --max-depth: 'x' is not a whole number" 'return { max_depth = "x" }'
bad "a table for a value" "conf/bad.lua:1: deadline: expected a value" 'return { deadline = { a = 1 } }'
bad "options that are no table" "options: expected a table for each" 'return { options = 1 }'
bad "an option that is a table" "expected a string, a number or a boolean" \
  'return { options = { ["lists.one"] = { list = {} } } }'
bad "an option of the wrong type" "lists.one.count: 'x' is not a number" \
  'return { options = { ["lists.one"] = { count = "x" } } }'
bad "an unknown option" "has no option 'lits'; did you mean 'list'" \
  'return { options = { ["lists.one"] = { lits = "x" } } }'
bad "an option of the wrong type, by its file" "--config conf/bad.lua:1: options lists.one.count: 'x' is not a number" \
  'return { options = { ["lists.one"] = { count = "x" } } }'
bad "an unknown option, by its file" "--config conf/bad.lua:1: options: lists.one has no option 'lits'" \
  'return { options = { ["lists.one"] = { lits = "x" } } }'
bad "an unknown capability, by its file" "--config conf/bad.lua:1: options: no capability 'nobody'" \
  'return { options = { nobody = { lits = "x" } } }'
bad "a name that chooses nothing" "--config conf/bad.lua:1: only: no capability 'nobody'" 'return { only = { "nobody" } }'
bad "a faulty scope rule" "--config conf/bad.lua:1: scope: scope rule '10.0.0.0/99': the prefix is too long" \
  'return { scope = { "10.0.0.0/99" } }'
bad "an empty scope rule" "--config conf/bad.lua:1: scope: a rule is empty" 'return { scope = { "" } }'
bad "a list" "conf/bad.lua: expected a table of settings, returned a list" 'return { "scope" }'
bad "an unknown key with a table" "conf/bad.lua:2: unknown option '--scpe'; did you mean '--scope'" 'return {
  scpe = { "a" } }'
bad "a function for a value" "conf/bad.lua:2: concurrency: expected plain values, got function" 'return {
  concurrency = function() end }'
bad "another line" "conf/bad.lua:3: --deadline: 'soon' is not a duration" 'return {
  max_depth = 3,
  deadline = "soon" }'
bad "a number where a table is" "conf/bad.lua:1: lists.one: expected a table of options, got a number" \
  'return { options = { ["lists.one"] = 5 } }'
bad "a table where a number is" "conf/bad.lua:3: options.lists.one.count: expected a string, a number or a boolean, got a table" \
  'return { options = {
    ["lists.two"] = { count = 1 },
    ["lists.one"] = { count = {} } } }'
bad "an option of the wrong type, by its line" "conf/bad.lua:2: options lists.one.count: 'x' is not a number" 'return { options = {
    ["lists.one"] = { count = "x" } } }'
bad "a list in a list" "conf/bad.lua:1: only: expected a list of values, got a list" 'return { only = { { 1 } } }'
bad "a resolver" "conf/bad.lua:1: resolver: 'x' is not an address and port" 'return { resolver = "x" }'
bad "what scripts may use" "conf/bad.lua:1: allow: 'all' is no list of" 'return { allow = "all" }'
bad "a number out of range" "conf/bad.lua:1: --workers: '0' is not a whole number from 1 up" 'return { workers = 0 }'
bad "a fraction" "conf/bad.lua:1: --max-depth: '1.5' is not a whole number" 'return { max_depth = 1.5 }'
bad "one of some words" "conf/bad.lua:1: --progress: 'loud' is none of auto" 'return { progress = "loud" }'
bad "a size" "conf/bad.lua:1: --memory: 'big' is not a size like" 'return { memory = "big" }'
bad "what stands on the command line only" "session: expected an option of run" 'return { session = "x" }'
bad "one that does not return" "did not return within 5 s" 'while true do end'
expect "a configuration that is not there" 1 "cannot open nothere.lua" run --config nothere.lua -s n:1
finish
