# tests/support/shell.sh - what the tests of the command line share; to be sourced.
# Environment: RUNTIME, the program; TMP, a folder of this test's own.
# SPDX-License-Identifier: MIT
set -u
runtime=${RUNTIME:?the program to test}
runtime=$(cd "$(dirname "$runtime")" && pwd)/$(basename "$runtime")
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tmp=$(cd "${TMP:-$(mktemp -d)}" && pwd)
data=$tmp/data
export RUNTIME_DATA=$data
failed=0

# Nothing may hang: this long, then it is killed, and the case fails.
limit=${LIMIT:-120}
rt() { timeout -k 10 "$limit" "$runtime" "$@"; }

pass() { echo "ok - $1"; }
fail() {
  echo "not ok - $1"
  shift
  [ $# -eq 0 ] || printf '%s\n' "$@" | sed 's/^/  # /' | head -n 30
  failed=1
}

# check NAME COMMAND...: passes when the command succeeds
check() {
  local name=$1
  shift
  if "$@"; then pass "$name"; else fail "$name" "command: $*"; fi
}

# same NAME EXPECTED GOT
same() {
  if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "expected: $2" "got: $3"; fi
}

# expect NAME CODE PATTERN ARGUMENT...: exit code and (extended, may be empty) what stderr says;
# standard output stays in $tmp/out, standard error in $tmp/err
expect() {
  local name=$1 code=$2 pattern=$3 got
  shift 3
  rt "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
  got=$?
  if [ "$got" != "$code" ]; then
    fail "$name" "exit code $got, expected $code" "$(tail -n 5 "$tmp/err")"
  elif [ -n "$pattern" ] && ! grep -Eq -- "$pattern" "$tmp/err"; then
    fail "$name" "stderr does not match: $pattern" "$(tail -n 5 "$tmp/err")"
  else
    pass "$name"
  fi
}

# until_true SECONDS COMMAND...: polls until it succeeds
until_true() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -ge $end ] && return 1
    sleep 0.05
  done
}

# keys FILE: the keys of asset lines, sorted
keys() { sed -n 's/^{"key":"\([^"]*\)".*/\1/p' "$1" | LC_ALL=C sort; }

finish() { exit $failed; }
