#!/usr/bin/env bash
# What is easily done wrong, and what is said about it.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >cap.lua <<'END'
return capability { name = "dotted", input = { "a" }, output = { "b" },
  invoke = function(job) job.send { class = "b", value = "c" } end }
END
cat >list.lua <<'END'
local one = { name = "one", input = { "a" }, invoke = function() end }
return capability(one)
END
expect "a capability run as a script" 1 "cap.lua declares a capability, it is no script: runtime run -c cap.lua" cap.lua
expect "one that is declared before" 1 "list.lua declares a capability" list.lua
expect "job.send with a dot" 4 "send: a job is missing in front: call it with a colon" run -c cap.lua -s a:1
check "one asset is one asset" grep -q "1 asset, 1 job in" err
expect "no seeds" 2 "run: no seeds: -s CLASS:VALUE" run -c cap.lua --session empty
check "no session is made" test ! -e "$data/empty.sqlite"

expect "a program that takes too long" 1 "exec: 'sleep' timed out after 0.1 s" \
  -e 'assert(require("exec").run("sleep", { "100" }, { timeout = "100ms" }))'
expect "an error that is a table" 1 "error object is a table value: code = 5, name = x\)" -e 'error { name = "x", code = 5 }'
expect "an empty one" 1 "error object is a table value\)" -e 'error {}'
expect "a function" 1 "error object is a function value\)" -e 'error(print)'
expect "one that has words" 1 "runtime: spoken" -e 'error(setmetatable({}, { __tostring = function() return "spoken" end }))'

expect "help" 0 "" help
check "is the help" grep -q "^usage:" out
expect "help of a command" 0 "" help run
check "is that of the command" grep -q "usage: runtime run" out
expect "help of none" 2 "help: no command 'nocommand'" help nocommand
expect "help of almost one" 2 "did you mean 'run'" help rum

expect "a session whose name begins with a dash" 4 "session -x finished" run -c cap.lua -s a:1 --session -x
expect "once more" 1 "runtime resume --session -x" run -c cap.lua -s a:1 --session -x
expect "as the hint says" 0 "session -x finished" resume --session -x
expect "or behind two" 0 "" status -- -x
finish
