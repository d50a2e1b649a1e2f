#!/usr/bin/env bash
# `runtime plan --dry-run`: what would run on seeds and why not, with nothing invoked and nothing left behind.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1
mkdir -p folder
export TMPDIR=$tmp/folder

cat >caps.lua <<'END'
local function invoke(job)
  io.open("invoked", "w"):close()
  job:send { class = "n", value = "9" }
end
return {
  capability { name = "slow", input = { "n" }, output = { "n" }, rate = "1/h", invoke = invoke },
  capability { name = "gate", input = { "n" }, output = { "n" }, tags = { "gated" }, options = { most = { default = 1 } },
    match = function(asset, ctx) return tonumber(asset.value) <= ctx.options.most, "above " .. ctx.options.most end,
    invoke = invoke },
  capability { name = "keyed", input = { "n" }, output = { "n" }, max_instances = 1, rate = "1/h",
    rate_key = function() return "one" end,
    match = function(asset)
      if asset.value == "2" then error("bad gate") end
      return asset.value ~= "3"
    end,
    invoke = invoke },
  capability { name = "listed", input = { "n" }, output = { "n" }, options = { list = { default = "" } },
    setup = function(ctx)
      if ctx.options.list == "hard" then error("broken list") end
      return ctx.options.list ~= "", "no list"
    end,
    invoke = invoke },
  capability { name = "other", input = { "x" }, output = { "n" }, invoke = invoke },
}
END
rows() { tail -n +2 out | sed 's/^  *//; s/  */ /g'; }
expect "seeds" 0 "" plan caps.lua --dry-run -s n:1 -s n:2 -s n:3 -s q:1 -s n:1
cat >want <<'END'
n:1 slow yes -
n:1 gate yes -
n:1 keyed yes -
n:1 listed no setup: no list
n:2 slow yes -
n:2 gate no above 1
n:2 keyed no match: caps.lua:13: bad gate
n:2 listed no setup: no list
n:3 slow yes -
n:3 gate no above 1
n:3 keyed no match said no
n:3 listed no setup: no list
q:1 - no no capability takes this class
END
same "each seed with each that takes it" "$(cat want)" "$(rows)"
expect "options, choice and scope" 0 "" plan caps.lua --dry-run -s n:1 -s n:2 --only tag:gated --set gate.most=2 \
  --scope '!n:1' --json
same "as JSON" '[{"key":"n:2","capability":"gate","runs":true},{"key":"n:1","runs":false,"reason":"out of scope"}]' \
  "$(cat out)"
expect "without" 0 "" plan caps.lua --dry-run -s n:1 --without gate keyed listed
same "without: what is left" "n:1 slow yes -" "$(rows)"
seq 1500 | sed 's/^/x:/' | rt plan caps.lua --dry-run -s - >out 2>err
same "many seeds" "1500 x:1 other yes - x:1500 other yes -" "$(rows | wc -l) $(rows | head -n 1) $(rows | tail -n 1)"
expect "a hard failure of setup" 3 "broken list" plan caps.lua --dry-run -s n:1 --set listed.list=hard
cat >hang.lua <<'END'
return capability { name = "hang", input = { "n" }, output = { "n" }, invoke = function() end,
  setup = function() io.open("hangs", "w"):close() require("time").sleep(3600) end }
END
"$runtime" plan hang.lua --dry-run -s n:1 >/dev/null 2>err &
planning=$!
check "one that hangs in setup" until_true 60 test -e hangs
kill -TERM $planning
wait $planning
same "a signal ends it" 3 $?
check "nothing was invoked" test ! -e invoked
same "nothing is left behind" "" "$(ls "$TMPDIR")$(ls "$data" 2>/dev/null)"

# --- The forms of a plan.
expect "as a table" 0 "warning: cycle: slow -> gate -> keyed -> listed -> slow" plan caps.lua
check "as a table: each capability" test "$(grep -c 'caps.lua$' out)" = 5
check "as a table: each step" grep -q "^  other --n--> gate$" out
expect "as DOT" 0 "warning: cycle" plan caps.lua --dot
check "as DOT: begin and end" bash -c 'head -n 1 out | grep -q "^digraph plan {$" && tail -n 1 out | grep -q "^}$"'
same "as DOT: nodes, edges, and nothing else" "5 20 2" "$(grep -Ec '^  "[a-z]+";$' out) $(grep -Ec \
  '^  "[a-z]+" -> "[a-z]+" \[label="n"\];$' out) $(grep -Evc '^  "|^digraph plan|^}$' out)"
cat >schema.lua <<'END'
-- schema.lua FILE NAME: does each JSON line of FILE have these fields, of these types, and no others?
local json, fs = require("json"), require("fs")
local function list(of) return { list = of } end
local schemas = {
  plan = {
    capabilities = list { name = "string", input = list "string", output = list "string", priority = "number",
      file = "string" },
    edges = list { from = "string", to = "string", class = "string" },
    cycles = list(list "string"), warnings = list "string",
  },
  dry = list { key = "string", runs = "boolean", ["capability?"] = "string", ["reason?"] = "string" },
}
local function check(where, schema, value)
  if type(schema) == "string" then
    assert(type(value) == schema, where .. ": expected " .. schema .. ", got " .. type(value))
  elseif schema.list then
    assert(type(value) == "table", where .. ": expected a list")
    local count = 0
    for key in pairs(value) do count = count + 1 assert(type(key) == "number", where .. ": expected a list") end
    assert(count == #value, where .. ": holes")
    for i, item in ipairs(value) do check(where .. "[" .. i .. "]", schema.list, item) end
  else
    assert(type(value) == "table", where .. ": expected an object")
    for key, each in pairs(schema) do
      local name, optional = key:match("^([%a]+)(%??)$")
      if value[name] ~= nil or optional == "" then check(where .. "." .. name, each, value[name]) end
    end
    for key in pairs(value) do assert(schema[key] or schema[key .. "?"], where .. "." .. key .. ": not in the schema") end
  end
end
for line in assert(fs.read(arg[1])):gmatch("[^\n]+") do check(arg[2], schemas[arg[2]], json.decode(line)) end
print("fits")
END
cat >empty.lua <<'END'
return capability { name = "ends", input = { "*" }, invoke = function() end }
END
for file in caps.lua empty.lua "$repo/scripts"; do
  expect "as JSON: ${file##*/}" 0 "" plan "$file" --json
  same "as JSON: ${file##*/}: the schema" "1 fits" "$(wc -l <out) $(rt schema.lua out plan 2>&1)"
done
expect "a dry run as JSON" 0 "" plan caps.lua --dry-run -s n:1 -s n:2 -s q:1 --json
same "a dry run as JSON: the schema" fits "$(rt schema.lua out dry 2>&1)"
expect "a dry run has no DOT" 2 "" plan caps.lua --dry-run -s n:1 --dot

expect "without seeds" 2 "needs a seed" plan caps.lua --dry-run
expect "a seed without --dry-run" 2 "are for --dry-run" plan caps.lua -s n:1
expect "a bad seed" 2 "n1" plan caps.lua --dry-run -s n1
expect "a bad rule" 1 "empty scope rule" plan caps.lua --dry-run -s n:1 --scope ''
expect "a choice of nothing" 2 "chooses no capability" plan caps.lua --dry-run -s n:1 --only 'tag:nobody'
expect "an option that is not there" 2 "nix" plan caps.lua --dry-run -s n:1 --set gate.nix=1
expect "two forms" 2 "not both" plan caps.lua --dry-run -s n:1 --dot
TMPDIR=$tmp/gone expect "no folder for it" 1 "cannot make a folder" plan caps.lua --dry-run -s n:1
cat >times.lua <<'END'
local function invoke() end
return { capability { name = "hourly", every = "1h", input = { "x" }, invoke = invoke },
  capability { name = "nightly", every = "0 3 * * *", invoke = invoke },
  capability { name = "never", input = { "x" }, invoke = invoke } }
END
expect "times stand beside the classes" 0 "" plan times.lua
same "as declared" "5 hourly x, every 3600 s times.lua|5 nightly every 0 3 * * * times.lua|5 never x times.lua" \
  "$(rows | grep times.lua | paste -sd '|')"
expect "times in JSON" 0 "" plan times.lua --json
check "seconds, or the expression" grep -q '"every":3600.*"every":"0 3 \* \* \*"' out
finish
