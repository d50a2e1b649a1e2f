#!/usr/bin/env bash
# Scripts: arguments, exit codes, errors, standard input and output, signals.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

out() { rt "$@" 2>err; }

same "-e prints" "hi" "$(out -e 'print("hi")')"
same "-e takes arguments" "2 x y" "$(out -e 'print(#arg, arg[1], arg[2])' x y | tr '\t' ' ')"
same "a chunk sees its arguments as ..." "x" "$(out -e 'print((...))' x)"
same "a script from standard input" "from input a" "$(echo 'print("from input", arg[1])' | out - a | tr '\t' ' ')"
echo 'print(arg[0], arg[1], select("#", ...)) return 5' >s.lua
same "a script file" "s.lua one 2" "$(out s.lua one two | tr '\t' ' ')"
echo '#!/usr/bin/env runtime
print("bang")' >bang.lua
same "a first line with #!" "bang" "$(out bang.lua)"
mkdir -p sub && echo 'return { n = 7 }' >sub/mod.lua && echo 'print(require("mod").n)' >sub/main.lua
same "require finds the script's folder" "7" "$(out sub/main.lua)"

expect "a script that ends well" 0 "" -e 'local x = 1'
expect "an uncaught error" 1 "oh dear" -e 'error("oh dear")'
check "has a traceback" grep -q "traceback" err
printf 'local function inner() error("deep") end\nlocal function outer() inner() return 1 end\nouter()\n' >e.lua
expect "an error in a file" 1 "e.lua:1: deep" e.lua
check "names the lines on its way" grep -q "e.lua:3" err
expect "a syntax error" 1 "syntax|expected|near" -e 'x ='
check "is told in one line" test "$(wc -l <"$tmp/err")" = 1
expect "an error object" 1 "no such thing" -e 'error(errors.new{message="no such thing", kind="NOT_FOUND"})'
expect "os.exit(7)" 7 "" -e 'os.exit(7)'
expect "os.exit(true)" 0 "" -e 'os.exit(true)'
expect "os.exit(false)" 1 "" -e 'os.exit(false)'
expect "os.exit in the middle of much" 5 "" -e 'coroutine.spawn(function() while true do require("time").sleep(0.01) end end) os.exit(5)'
same "stdout and stderr are two" "o" "$(rt -e 'io.write("o") io.stderr:write("e")' 2>err)"
same "stderr of a script" "e" "$(cat err)"

# --- the end of the program
expect "pending timers keep it alive" 0 "" -e 'coroutine.spawn(function() require("time").sleep(0.2) print("late") end)'
same "and they fire" "late" "$(cat out)"
expect "who only waits for events does not" 0 "" -e 'local e = require("events") local s = e.subscribe("none") coroutine.spawn(function() s:channel():receive() end)'
expect "a child's error is the child's" 0 "in the child" -e 'process.spawn(function() error("in the child") end) require("time").sleep(0.2)'

# --- a closed standard output, signals
rt -e 'while true do print("y") end' 2>err | head -n 3 >three
same "a reader that leaves ends an endless printer" "3 3" "$(echo "${PIPESTATUS[0]}" "$(wc -l <three)")"

# stop_with SIGNAL CODE NAME: the script says when it runs
stop_with() {
  local pid got
  timeout -k 10 "$limit" "$runtime" -e 'print("up") io.stdout:flush() require("time").sleep("1h")' >up 2>err &
  pid=$!
  until_true 30 grep -qs up up
  kill -"$1" "$(pgrep -P "$pid")" || fail "$3: it runs" "$(cat err)"
  wait "$pid"
  got=$?
  same "$3" "$2" "$got"
}
: >up
stop_with INT 130 "SIGINT ends a waiting script"
: >up
stop_with TERM 143 "SIGTERM ends a waiting script"

timeout -k 10 "$limit" "$runtime" -e 'print("up") while true do end' >spin 2>err &
pid=$!
until_true 30 grep -qs up spin
child=$(pgrep -P "$pid")
# One signal that is still pending swallows the next: repeat until it has ended.
interrupted() { ! kill -INT "$child" 2>/dev/null; }
check "SIGINT, again and again, ends an endless loop" until_true 60 interrupted
wait "$pid"
same "with exit code 130" 130 $?
finish
