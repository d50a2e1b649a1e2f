#!/usr/bin/env bash
# `runtime repl` elsewhere than on a terminal: a line reader. What it does on one: tests/c/test_repl.c.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1
export HOME=$tmp XDG_STATE_HOME=$tmp/state

# lines TEXT: as standard input; what is printed
lines() { printf '%s\n' "$1" | rt repl 2>err; }

same "an expression" "2" "$(lines '1+1')"
same "= and an expression" "7" "$(lines '= 3 + 4')"
same "several values" "1 nil x" "$(lines '1, nil, "x"' | tr '\t' ' ')"
same "globals last" "5" "$(lines 'x = 5
x')"
same "local variables do not" "nil" "$(lines 'local x = 5
x')"
same "a chunk of several lines" "1 2 " "$(lines 'for i = 1, 2 do
  print(i)
end' | tr '\n' ' ')"
same "a table" '{ 1, { a = "b" } }' "$(lines '{ 1, { a = "b" } }')"
same "a cycle" '{ me = <cycle: top> }' "$(lines 't = {} t.me = t
t')"
same "modules are there" "table" "$(lines 'type(http.get) == "function" and type(session)')"
same "a wait" "true" "$(lines 'time.sleep(0.01)')"
same "a process prints" "child" "$(lines 'process.exec(function() print("child") end)' | head -n 1)"
same "process.list() is a table" "pid state mailbox memory age" \
  "$(lines 'process.list()' | head -n 1 | tr -s ' ')"
same "io.read has the rest of the input" "rest" "$(lines 'io.read()
rest')"

same "an error does not end it" "3" "$(lines 'error("oh")
3')"
check "it is told with its place" grep -q '^prompt:1: oh$' err
check "and a traceback" grep -q '^stack traceback:$' err
same "a syntax error neither" "3" "$(lines 'x y
3')"

# code NAME CODE TEXT
code() {
  printf '%s\n' "$3" | rt repl >out 2>err
  same "$1" "$2" $?
}
code "the last chunk went well: exit code" 0 'error("oh")
1'
code "the last chunk failed: exit code" 1 '1
error("oh")'
code "an input that ends too early: exit code" 1 'for i = 1, 2 do'
check "and a message" grep -q "not complete" err
code "os.exit" 7 'os.exit(7)
print("not reached")'
same "ends it at once" "" "$(cat out)"
code "no input: exit code" 0 ''
expect "repl takes no arguments" 2 "unexpected argument 'x'" repl x
expect "repl --help" 0 "" repl --help
expect "a misspelt repl" 2 "did you mean 'repl'" rep
check "it keeps no history" test ! -e state/runtime/history

# A signal ends it, also in an endless loop.
mkfifo in
timeout -k 10 "$limit" "$runtime" repl <in >out 2>err &
pid=$!
exec 3>in
echo 'print("up") while true do end' >&3
check "a chunk runs" until_true 60 grep -qs up out
kill -TERM "$(pgrep -P "$pid")"
wait "$pid"
same "SIGTERM ends it" 143 $?
exec 3>&-
finish
