#!/usr/bin/env bash
# Capabilities that misbehave: each fails its own job, with a reason, and nothing else.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >bad.lua <<'END'
local function declare(name, invoke, extra)
  local t = extra or {}
  t.name, t.input, t.output, t.invoke = name, { "in" }, { "out" }, invoke
  return capability(t)
end
return {
  declare("good", function(job, asset) job:send { class = "out", value = asset.value } end),
  declare("raises", function() error("oh dear") end),
  declare("raises-table", function() error({ code = 5 }) end),
  declare("raises-nil", function() error() end),
  declare("raises-kind", function() error(errors.new { message = "gone", kind = "NOT_FOUND" }) end),
  declare("garbage", function() return print, coroutine.create(print), {} end),
  declare("undeclared", function(job)
    job:send { class = "out", value = "before" }
    job:send { class = "other", value = "x" }
  end),
  declare("noclass", function(job) job:send { value = "x" } end),
  declare("novalue", function(job) job:send { class = "out" } end),
  declare("emptyvalue", function(job) job:send { class = "out", value = "" } end),
  declare("control", function(job) job:send { class = "out", value = "a\nb" } end),
  declare("notutf8", function(job) job:send { class = "out", value = "\255\254" } end),
  declare("toolong", function(job) job:send { class = "out", value = ("x"):rep(70000) } end),
  declare("function-in-metadata", function(job)
    job:send { class = "out", value = "f", metadata = { deep = { cb = print } } }
  end),
  declare("cyclic", function(job)
    local t = {}
    t.t = t
    job:send { class = "out", value = "c", metadata = t }
  end),
  declare("wrongtype", function(job) job:send("out:x") end),
  declare("deep", function() local function f() return 1 + f() end return f() end),
  declare("matchraises", function() end, { match = function() error("bad gate") end }),
  declare("matchfalse", function() end, { match = function() return false, "not today" end }),
  declare("matchloops", function() end, { match = function() while true do end end }),
}
END
rt run -c bad.lua -s in:1 --session bad --log-level error >out 2>err
same "exit code: finished with failed jobs" 4 $?
same "what was good is there" "in:1 out:1 out:before" "$(keys out | tr '\n' ' ' | sed 's/ $//')"
rt jobs bad --json >jobs

# job NAME STATE PATTERN: its state, and what its line says
job() {
  local line
  line=$(grep "\"capability\":\"$1\"" jobs)
  if grep -q "\"state\":\"$2\"" <<<"$line" && grep -Eq -- "$3" <<<"$line"; then
    pass "$1 is $2"
  else
    fail "$1 is $2" "expected: $3" "$line"
  fi
}
job good completed '"target":"in:1"'
job raises failed 'oh dear'
job raises-table failed 'code|table'
job raises-nil failed 'nil|reason'
job raises-kind failed 'NOT_FOUND.*gone|gone.*NOT_FOUND'
job garbage completed ''
job undeclared failed 'other'
job noclass failed 'class'
job novalue failed 'value'
job emptyvalue failed 'value|empty'
job control failed 'control'
job notutf8 failed 'UTF-8'
job toolong failed '64 KB|65536|long'
job function-in-metadata failed 'deep\.cb.*function'
job cyclic failed 'cycl'
job wrongtype failed 'bad argument #1'
job deep failed 'overflow'
job matchraises skipped 'bad gate'
job matchfalse skipped 'not today'
job matchloops skipped '1 s|long|TIMEOUT|time'
same "every job is accounted for" 20 "$(wc -l <jobs)"
finish
