#!/usr/bin/env bash
# Everything a script can reach, called with hostile arguments from a SEED (1; another one tries something else), for
# ROUNDS seconds (15).
# SPDX-License-Identifier: MIT
set -u
script=$PWD/tests/fault/hostile.lua
seed=${SEED:-1}
cd "$TMP" || exit 1
export TMPDIR=$PWD # what fs.temp makes goes with it
mkdir -p empty && cd empty || exit 1
"$RUNTIME" --resolver 127.0.0.1:9 "$script" "$seed" "${ROUNDS:-15}" >../hostile.out 2>../hostile.err </dev/null
code=$?
if [ $code -eq 0 ] && grep -aq '^survived [0-9]* rounds$' ../hostile.out; then
  echo "ok - hostile: seed $seed, $(grep -a '^survived' ../hostile.out)"
else
  echo "not ok - hostile: seed $seed, exit code $code"
  tail -n 20 ../hostile.out ../hostile.err
  exit 1
fi
