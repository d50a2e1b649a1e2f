#!/usr/bin/env bash
# The installed tree, used as a stranger would: pkg-config, public headers, both libraries, the program.
# Environment: BUILD, DEPS, MAKE, TMP, as set by tests/run.
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
deps=${DEPS:-$build/deps}
prefix=$TMP/usr
log=$TMP/log
failed=0

# case NAME COMMAND...
check() {
  local name=$1
  shift
  if "$@" >"$log" 2>&1; then
    echo "ok - $name"
  else
    echo "not ok - $name"
    sed 's/^/  # /' "$log" | tail -n 40
    failed=1
  fi
}

check "make install" "${MAKE:-make}" --no-print-directory install BUILD="$build" DEPS="$deps" PREFIX="$prefix"
check "make install below DESTDIR" "${MAKE:-make}" --no-print-directory install BUILD="$build" DEPS="$deps" \
  PREFIX=/opt/rt DESTDIR="$TMP/stage"
check "everything is in place" ls "$prefix/bin/runtime" "$prefix/lib/libruntime.so" "$prefix/lib/libruntime.a" \
  "$prefix/include/rt/rt.h" "$prefix/lib/pkgconfig/runtime.pc" "$TMP/stage/opt/rt/bin/runtime" \
  "$prefix/share/runtime/meta/events.lua"
check "the .pc file names the prefix, not the staging folder" grep -qx "prefix=/opt/rt" \
  "$TMP/stage/opt/rt/lib/pkgconfig/runtime.pc"
check "the installed program runs" "$prefix/bin/runtime" --version

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib
mapfile -t cflags < <(pkg-config --cflags runtime | tr ' ' '\n' | grep .)
mapfile -t libs < <(pkg-config --libs runtime | tr ' ' '\n' | grep .)
mapfile -t static < <(pkg-config --static --libs runtime | tr ' ' '\n' | grep . | grep -vx -e -lruntime)
strict=(-Wall -Wextra -Wpedantic -Werror)

# --- each public header alone, as C99 and as C++17
for header in "$prefix"/include/rt/*.h; do
  name=rt/$(basename "$header")
  printf '#include <%s>\nint main(void) { return 0; }\n' "$name" >"$TMP/header.c"
  cp "$TMP/header.c" "$TMP/header.cc"
  check "<$name> alone as C99" gcc -std=c99 "${strict[@]}" "${cflags[@]}" -c -o "$TMP/header.o" "$TMP/header.c"
  check "<$name> alone as C++17" g++ -std=c++17 "${strict[@]}" "${cflags[@]}" -c -o "$TMP/header.o" "$TMP/header.cc"
done

# --- programs
src=tests/embed/two_runtimes.c
check "a C program links with the shared library" \
  gcc -std=c99 "${strict[@]}" "${cflags[@]}" -o "$TMP/shared" "$src" "${libs[@]}"
check "and runs two runtimes" timeout 60 "$TMP/shared"
check "a C++ program links" g++ -std=c++17 -x c++ "${strict[@]}" "${cflags[@]}" -o "$TMP/cpp" "$src" -x none "${libs[@]}"
check "and runs" timeout 60 "$TMP/cpp"
check "a C program links with the static library" \
  gcc -std=c99 "${strict[@]}" "${cflags[@]}" -o "$TMP/static" "$src" "$prefix/lib/libruntime.a" "${static[@]}"
check "and runs" timeout 60 "$TMP/static"

own_lua() { # LIBRARY...
  gcc -std=c99 "${strict[@]}" "${cflags[@]}" -I"$deps/include/luajit" -o "$TMP/own" tests/embed/own_lua.c \
    "$@" "$deps/lib/libluajit.a" -lm -ldl -rdynamic && [ "$(timeout 60 "$TMP/own" | tr '\n' ' ')" = "nil 500501 " ]
}
if [ -e "$deps/lib/libluajit.a" ]; then
  check "a program with its own Lua beside the shared library" own_lua "${libs[@]}"
  check "a program with its own Lua beside the static library" own_lua "$prefix/lib/libruntime.a" "${static[@]}"
fi

# --- what leaves the library
foreign() { nm -D --defined-only "$prefix/lib/libruntime.so" | awk '{ print $NF }' | grep -Ev '^rt_[a-z]' | grep .; }
check "only rt_* leaves the shared library" bash -c "! ($(declare -f foreign); prefix=$prefix; foreign)"
check "no rt__* leaves the static library" bash -c "! nm -g --defined-only $prefix/lib/libruntime.a | grep -E ' (rt__|lua)'"
exported() { nm -D --defined-only "$prefix/lib/libruntime.so" | awk '{ print $NF }' | LC_ALL=C sort -u; }
declared() { cat include/rt/*.h | tr '\n' ' ' | grep -oE 'RT_API [^;(]*\(' | grep -oE 'rt_[a-z0-9_]+ *\($' | tr -d ' (' | LC_ALL=C sort -u; }
check "every declared call is there" bash -c "$(declare -f declared exported); prefix=$prefix; diff <(declared) <(exported)"

exit "$failed"
