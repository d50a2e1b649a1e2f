# embed.sh - for tests/embed: an installed tree, and `check NAME COMMAND...`.
# Environment: BUILD, DEPS, MAKE, TMP, as set by tests/run; SAN: the sanitizers that BUILD was built with.
# Sets build, deps, prefix, log, strict, cflags, libs, static; `use_tree FOLDER` sets the last four and prefix to a tree
# that was moved; `finish` ends the script.
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
build=${BUILD:-build}
deps=${DEPS:-$build/deps}
san=${SAN:-}
prefix=$TMP/usr
log=$TMP/log
failed=0

check() { # NAME COMMAND...
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

finish() { exit "$failed"; }

make_in() { "${MAKE:-make}" --no-print-directory BUILD="$build" DEPS="$deps" SAN="$san" "$@"; }

words() { pkg-config "$@" runtime | tr ' ' '\n' | grep .; }
use_tree() { # FOLDER: what is compiled from now on uses the tree in there
  prefix=$1
  export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib
  mapfile -t cflags < <(words --cflags)
  mapfile -t libs < <(words --libs)
  mapfile -t static < <(words --static --libs | grep -vx -e -lruntime)
}
check "make install" make_in install PREFIX="$prefix"
use_tree "$prefix"
strict=(-Wall -Wextra -Wpedantic -Werror)
