#!/usr/bin/env bash
# Programs against the installed tree: the examples and what they print, the rules that a host relies on. With both
# compilers, as C and C++, with the shared and the static library; with SAN set, under the sanitizers.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/embed.sh"
examples=examples/embed
# Nothing of it may depend on where it was installed.
mkdir -p "$TMP/some/where" && mv "$prefix" "$TMP/some/where/else" && use_tree "$TMP/some/where/else"
check "the tree was moved" test ! -e "$TMP/usr" -a -e "$prefix/lib/libruntime.so"
bin=$TMP/bin
mkdir -p "$bin"
compilers=(gcc clang)
sanitize=()
if [ -n "$san" ]; then
  compilers=(gcc)
  sanitize=("-fsanitize=$san" -g -O1)
  export ASAN_OPTIONS="detect_leaks=1:abort_on_error=0" UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1" \
    TSAN_OPTIONS="suppressions=$PWD/tests/support/tsan.supp:halt_on_error=0" \
    LSAN_OPTIONS="suppressions=$PWD/tests/support/lsan.supp:print_suppressions=0"
fi

# Without address randomization: the thread sanitizer of this compiler needs its fixed layout.
run() {
  if [ -n "$san" ]; then timeout -k 5 120 setarch "$(uname -m)" -R "$@"; else timeout -k 5 120 "$@"; fi
}

cc_for() { # COMPILER c|c++
  case $1$2 in gccc) echo gcc ;; gccc++) echo g++ ;; clangc) echo clang ;; clangc++) echo clang++ ;; esac
}
build_c() { # COMPILER OUTPUT SOURCE LIBRARIES...
  local compiler=$1 output=$2 source=$3
  shift 3
  "$compiler" -std=c99 -D_POSIX_C_SOURCE=200809L "${strict[@]}" "${sanitize[@]}" "${cflags[@]}" -pthread -o "$output" "$source" "$@"
}
build_cpp() { # COMPILER OUTPUT SOURCE
  "$1" -std=c++17 "${strict[@]}" "${sanitize[@]}" "${cflags[@]}" -o "$2" -x c++ "$3" -x none "${libs[@]}" -pthread
}
prints() { # EXPECTED COMMAND...: sorted, as threads print
  local expected=$1 got
  shift
  got=$(run "$@" </dev/null) || { echo "exit code $?: $got"; return 1; }
  diff <(printf '%s\n' "$expected" | LC_ALL=C sort) <(printf '%s\n' "$got" | LC_ALL=C sort)
}
quietly() { run "$@"; }

bus_says='order.new of 6: 0
6 refused: an order of nothing
order.new of 7: 12.5
7 accepted'
two_says='1	squared is	1
2	squared is	4
3	squared is	9'
loop_says='the script is done
exit code 0, 3 readings, mean 21.33
the loop went on meanwhile'
capability_says='a word of 6 letters
a word of 7 letters'
cpp_says='42
nil	no such key'
uv=(-luv)

for compiler in "${compilers[@]}"; do
  if [ "$compiler" = gcc ]; then link=("${libs[@]}"); else link=("$prefix/lib/libruntime.a" "${static[@]}"); fi
  for name in hello bus two capability; do
    check "$compiler: $name.c" build_c "$compiler" "$bin/$name" "$examples/$name.c" "${link[@]}"
  done
  check "$compiler: host-loop.c" build_c "$compiler" "$bin/host-loop" "$examples/host-loop.c" "${link[@]}" "${uv[@]}"
  check "$compiler: embed.cpp" build_cpp "$(cc_for "$compiler" c++)" "$bin/embed" "$examples/embed.cpp"
  check "$compiler: hello says" prints "hello, you" "$bin/hello" you
  check "$compiler: bus says" prints "$bus_says" "$bin/bus"
  check "$compiler: two says" prints "$two_says" "$bin/two"
  check "$compiler: host-loop says" prints "$loop_says" "$bin/host-loop"
  check "$compiler: capability says" prints "$capability_says" "$bin/capability" examples/capabilities/words.lua \
    "$TMP/session-$compiler"
  check "$compiler: embed says" prints "$cpp_says" "$bin/embed"
  for name in two_runtimes quiet many options; do
    check "$compiler: $name.c" build_c "$compiler" "$bin/$name" "tests/embed/$name.c" "${link[@]}"
  done
  check "$compiler: many_hosted.c" build_c "$compiler" "$bin/many_hosted" tests/embed/many_hosted.c "${link[@]}" "${uv[@]}"
  # The other library, and what pkg-config says of it.
  if [ "$compiler" = gcc ]; then other=("$prefix/lib/libruntime.a" "${static[@]}"); else other=("${libs[@]}"); fi
  check "$compiler: hello.c with the other library" build_c "$compiler" "$bin/hello2" "$examples/hello.c" "${other[@]}"
  check "$compiler: says the same" prints "hello, you" "$bin/hello2" you
  check "$compiler: two runtimes at once" quietly "$bin/two_runtimes"
  check "$compiler: no output, handlers, masks, children" quietly "$bin/quiet" "$TMP/quiet-$compiler"
  check "$compiler: older and newer option structs" quietly "$bin/options" "$TMP/options-$compiler"
  check "$compiler: two_runtimes.c as C++" build_cpp "$(cc_for "$compiler" c++)" "$bin/cpp" tests/embed/two_runtimes.c
  check "$compiler: and runs" quietly "$bin/cpp"
done

rounds=1000
[ -z "$san" ] || rounds=60
check "created, used and freed $rounds times, nothing is left" quietly "$bin/many" "$rounds"
check "also on a loop of the program's own, with sessions" quietly "$bin/many_hosted" "$((rounds / 2))" "$TMP/hosted"

# --- what the pages show: the first program of each; the other pieces of C, which must compile
page() { # FILE OUTPUT
  sed -n '/^#include <rt\/rt.h>/,/^```$/p' "$1" | sed '/^```$/,$d' >"$2.c" && [ -s "$2.c" ] && build_c gcc "$2" "$2.c" "${libs[@]}"
}
pieces() { # FILE
  local file count=0
  rm -f "$bin"/piece*.c
  awk -v to="$bin/piece" '/^```c$/ { n++; on = 1; next } /^```$/ { on = 0 } on { print > (to n ".c") }' "$1"
  for file in "$bin"/piece*.c; do
    [ -e "$file" ] || continue
    grep -q '^#include <rt/rt.h>' "$file" || sed -i '1i #include <rt/rt.h>\n#include <stdio.h>\n#include <string.h>' "$file"
    for compiler in gcc clang; do
      "$compiler" -std=c99 "${strict[@]}" -Wno-unused-function "${cflags[@]}" -c -o "$bin/piece.o" "$file" || return 1
    done
    count=$((count + 1))
  done
  echo "$count pieces" && [ "$count" -ge "$2" ]
}
check "each piece of C in docs/embedding.md compiles" pieces docs/embedding.md 5
check "the program in docs/embedding.md" page docs/embedding.md "$bin/page"
says_hello() { [[ $(run "$bin/page") == "hello from {"* ]]; }
check "says what it should" says_hello
check "the program in the README" page README.md "$bin/readme"
beside_words() { cp examples/capabilities/words.lua "$bin" && (cd "$bin" && run ./readme) && [ -s "$bin/.runtime/first.sqlite" ]; }
check "works beside words.lua" beside_words

# --- a database that gains Lua
says() { # EXPECTED SQL...
  local expected=$1 got
  shift
  got=$(printf '%s\n' "$@" | run "$bin/load_sqlite" "$bin/sqlite_lua") || return 1
  diff <(echo "$expected") <(echo "$got")
}
if [ -z "$san" ]; then
  small() { [ "$(wc -l <"$examples/sqlite_lua.c")" -lt 200 ]; }
  check "sqlite_lua.c has less than 200 lines" small
  check "sqlite_lua.c" build_c gcc "$bin/sqlite_lua.so" "$examples/sqlite_lua.c" -shared -fPIC "${libs[@]}"
  check "and a host for it" build_c gcc "$bin/load_sqlite" tests/embed/load_sqlite.c -lsqlite3
  check "SQL calls Lua" says '5.5|a2|NULL|{"x":1}' \
    "SELECT lua('local a, b = ... return a + b', 2, 3.5), lua('local a, b = ... return a .. b', 'a', 2), lua('return'), lua('return {x=1}');"
  check "an error is one of SQL" says 'error: no' "SELECT lua('error(\"no\", 0)');"
  check "triggers reach a script that stays" says '3' \
    'CREATE TABLE t(x); CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT lua_event("new", new.rowid, new.x); END;' \
    "SELECT 1 WHERE lua_start('local es = require(\"events\") local ch = es.subscribe(\"sqlite\"):channel() process.registry.register(\"sum\") for m in process.inbox():values() do process.send(m:from(), \"n\", (ch:receive()).data[1] + (ch:receive()).data[1]) end') IS NULL;" \
    "SELECT 1 WHERE lua('local time = require(\"time\") while not process.registry.lookup(\"sum\") do time.sleep(0.001) end') = 1;" \
    'INSERT INTO t VALUES(1),(2);' \
    "SELECT lua('local ch = process.listen(\"n\") process.send(\"sum\", \"ask\") return (ch:receive())');"
fi

# --- a host with a Lua of its own
own_lua() { # COMPILER-FLAGS... -- LIBRARIES...
  local include=() out
  while [ "$1" != -- ]; do include+=("$1") && shift; done
  shift
  gcc -std=c99 "${strict[@]}" "${cflags[@]}" "${include[@]}" -o "$bin/own" tests/embed/own_lua.c "$@" -lm -ldl -rdynamic || return 1
  out=$(run "$bin/own") && [ "$(tr '\n' ' ' <<<"$out")" = "nil 500501 " ]
}
if [ -z "$san" ]; then
  if [ -e "$deps/lib/libluajit.a" ]; then
    lj=(-I"$deps/include/luajit")
    check "LuaJIT beside the shared library" own_lua "${lj[@]}" -- "${libs[@]}" "$deps/lib/libluajit.a"
    check "LuaJIT beside the static library" own_lua "${lj[@]}" -- "$prefix/lib/libruntime.a" "${static[@]}" "$deps/lib/libluajit.a"
  fi
  check "Lua 5.4 beside the shared library" own_lua -I/usr/include/lua5.4 -- "${libs[@]}" -llua5.4
  check "Lua 5.4 in front of the static library" own_lua -I/usr/include/lua5.4 -- -llua5.4 "$prefix/lib/libruntime.a" "${static[@]}"
fi
finish
