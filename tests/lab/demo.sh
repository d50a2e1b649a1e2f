#!/usr/bin/env bash
# The demo: a lab of real servers on loopback, and the shipped capabilities let loose on one name.
# Environment: BUILD, the folder with the program (build). Leaves nothing running and no files.
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 1
runtime=${RUNTIME:-${BUILD:-build}/runtime}
[ -x "$runtime" ] || { echo "demo: no $runtime; run make first" >&2; exit 1; }

work=$(mktemp -d) || exit 1
cleanup() {
  trap '' INT TERM
  tests/lab/lab.sh stop "$work/lab"
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n== %s\n' "$*"; }

say "starting the lab: dnsmasq, two Apache instances, one host that never answers"
tests/lab/lab.sh start "$work/lab" || exit 1
# shellcheck source=/dev/null
. "$work/lab/env"
echo "zone lab.test at $LAB_RESOLVER, servers on $LAB_NET.1 to .9, ports $LAB_PORTS"

say "runtime run -c scripts -s domain:lab.test --resolver $LAB_RESOLVER"
"$runtime" run -c scripts -s domain:lab.test --resolver "$LAB_RESOLVER" \
  --set port-scan.ports="$LAB_PORTS" --data "$work/data" --session demo >"$work/assets"
status=$?
[ $status -eq 0 ] || [ $status -eq 4 ] || exit $status

say "what was found"
"$runtime" tests/lab/show.lua "$work/assets" || exit 1
deepest=$("$runtime" tests/lab/show.lua "$work/assets" deepest) || exit 1

say "how the deepest finding was reached: $deepest"
"$runtime" explain demo "$deepest" --data "$work/data" || exit 1
say "stopping the lab"
exit $status
