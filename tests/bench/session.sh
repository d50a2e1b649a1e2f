#!/usr/bin/env bash
# A whole session through the command line: start-up, assets and jobs a second, latency of a hop.
# SPDX-License-Identifier: MIT
set -u
repo=$(cd "$(dirname "$0")/../.." && pwd)
cd "${TMP:?}" || exit 1
runtime=${RUNTIME:?}
export RUNTIME_DATA=$TMP/data

now_us() { local t=$EPOCHREALTIME; echo "${t/./}"; }

# median COMMAND...: milliseconds, of 21 runs
median() {
  local begin
  for _ in $(seq 21); do
    begin=$(now_us)
    "$@" >/dev/null
    echo $(($(now_us) - begin))
  done | sort -n | sed -n 11p | awk '{ printf "%.1f", $1 / 1000 }'
}

echo "start-up, runtime -e '': $(median "$runtime" -e '') ms"
"$runtime" -e '
  local status = require("fs").read("/proc/self/status")
  print(("resident at its most: %.1f MB"):format(status:match("VmHWM:%s*(%d+)") / 1024))'

limits=()
for name in left right both rough; do limits+=(--set $name.limit=50000); done
begin=$(now_us)
"$runtime" run -c "$repo/tests/e2e/caps/tree.lua" -s node:1 --session tree "${limits[@]}" \
  --without rough >assets 2>err || { tail -n 5 err; exit 1; }
spent=$(($(now_us) - begin))
awk -v us="$spent" -v n="$(wc -l <assets)" 'BEGIN {
  printf "synthetic run: %d assets, %d jobs in %.2f s: %.0f assets/s, %.0f jobs/s\n",
    n, n * 3, us / 1e6, n / us * 1e6, n * 3 / us * 1e6 }'

cat >hop.lua <<'END'
local time = require("time")
return capability {
  name = "hop", input = { "hop" }, output = { "hop" },
  invoke = function(job, asset)
    local now, sent = time.monotonic(), asset.metadata and asset.metadata.sent
    local n = tonumber(asset.value)
    if n < 2000 then
      job:send { class = "hop", value = ("%d"):format(n + 1),
        metadata = { sent = time.monotonic(), waited = sent and (now - sent) * 1000 } }
    end
  end,
}
END
"$runtime" run -c hop.lua -s hop:1 --session hop 2>err | sed -n 's/.*"waited":\([0-9.e-]*\).*/\1/p' |
  sort -g >waited
awk '{ v[NR] = $1 } END {
  printf "a hop, from job:send to the next invoke: p50 %.2f ms, p95 %.2f ms (%d hops)\n",
    v[int(NR / 2)], v[int(NR * 0.95)], NR }' waited
