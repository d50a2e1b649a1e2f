#!/usr/bin/env bash
# The installed headers: each alone in C99 and C++17, without a warning of either compiler; each call with its words.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/embed.sh"

alone() { # COMPILER LANGUAGE STANDARD HEADER
  printf '#include <rt/%s>\n#include <rt/%s>\nint main(void) { return 0; }\n' "$4" "$4" >"$TMP/header.$2"
  "$1" -std="$3" "${strict[@]}" -Wshadow "${cflags[@]}" -c -o "$TMP/header.o" "$TMP/header.$2"
}
for header in "$prefix"/include/rt/*.h; do
  name=$(basename "$header")
  for compiler in gcc clang; do check "<rt/$name> alone as C99 with $compiler" alone "$compiler" c c99 "$name"; done
  for compiler in g++ clang++; do check "<rt/$name> alone as C++17 with $compiler" alone "$compiler" cc c++17 "$name"; done
done
check "each call says who may make it, who owns what, how it fails" "$build/runtime" tests/support/headers.lua "$prefix"
finish
