#!/usr/bin/env bash
# 20,000 assets found over and over by four capabilities: the exact set, each printed once.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
limit=300
caps=$repo/tests/e2e/caps/tree.lua

seq 1 19999 | sed 's/^/node:/' | LC_ALL=C sort >"$tmp/want"
rt run -c "$caps" -s node:1 --session tree >"$tmp/out" 2>"$tmp/err"
same "exit code" 0 $?
keys "$tmp/out" >"$tmp/got"
check "the exact set, no line twice" cmp -s "$tmp/want" "$tmp/got"
rt assets tree --json >"$tmp/stored"
keys "$tmp/stored" >"$tmp/got"
check "the store has the same set" cmp -s "$tmp/want" "$tmp/got"
rt status tree --json >"$tmp/status"
check "every asset met each capability once" grep -q '"work_items_total":79996' "$tmp/status"
check "and all of them are completed" grep -q '"work_items_completed":79996' "$tmp/status"
check "the session is finished" grep -q '"state":"finished"' "$tmp/status"
[ $failed = 0 ] || tail -n 20 "$tmp/err"

# The same through the Lua module, counting what the bus says.
cat >"$tmp/finished.lua" <<'END'
local events, registry, session, time = require("events"), require("registry"), require("session"), require("time")
assert(registry.register(arg[1]))
local finished = assert(events.subscribe("session", "session.finished"))
local found = assert(events.subscribe("session", "asset.discovered"))
local s = assert(session.open { name = "counted", dir = arg[2] })
assert(s:dispatch { class = "node", value = "19" } == "queued")
assert(s:wait("200s"))
time.sleep(0.5) -- a second announcement would come now
local rounds, assets = 0, 0
finished:close()
found:close()
for _ in finished:channel():values() do rounds = rounds + 1 end
for _ in found:channel():values() do assets = assets + 1 end
print(rounds, assets)
s:close()
END
# node 19 and all below it that are under 20,000, and what halving leads to: 1, 2, 4, 9 and theirs
same "finished is announced once, each discovery once" "1 19999" \
  "$(rt "$tmp/finished.lua" "$caps" "$tmp/lua" 2>"$tmp/err" | tr '\t' ' ')"
[ $failed = 0 ] || tail -n 20 "$tmp/err"
finish
