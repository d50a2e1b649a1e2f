#!/usr/bin/env bash
# The baseline of processes.lua: the same in Erlang (Debian: erlang-base), when it is installed. Sizes as there.
# SPDX-License-Identifier: MIT
set -eu
if ! command -v erl >/dev/null || ! command -v erlc >/dev/null; then
  echo "erlang:  not installed (package erlang-base)"
  exit 0
fi
dir=${TMP:-$(mktemp -d)}
erlc -o "$dir" tests/bench/processes.erl
exec erl -noshell -noinput -pa "$dir" +P 2000000 -s processes main
