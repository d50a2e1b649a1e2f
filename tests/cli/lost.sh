#!/usr/bin/env bash
# --unsafe: a script stuck in C code loses its worker; the rest of the run goes on without it.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

mkdir -p caps
cat >caps/stuck.lua <<'END'
local ffi = require("ffi")
ffi.cdef [[int poll(void *, unsigned long, int);]]
return capability {
  name = "visit", input = { "word" }, output = { "seen" }, retries = 0,
  invoke = function(job, asset)
    if asset.value == "w13" then ffi.C.poll(nil, 0, -1) end
    require("time").sleep(0.02)
    job:send { class = "seen", value = asset.value }
  end,
}
END

# --- run: 40 assets, one of which is stuck for ever
seq -f 'word:w%g' 1 40 | rt --unsafe run -c caps -s - --workers 2 --session one >out 2>err
same "a failed job: exit code 4" 4 $?
same "all other assets are done" 39 "$(grep -c '"class":"seen"' out)"
same "each once" 39 "$(grep '"class":"seen"' out | sort | uniq | wc -l)"
same "not the stuck one" 0 "$(grep -c '"seen:w13"' out)"
check "the log names script, function and line" \
  grep -q "is stuck in C code that nothing can interrupt, called in function <.*stuck.lua:5> (.*stuck.lua:6)" err
check "what is left behind is said" grep -q "still stuck in C code and was left behind" err
rt status one --json >status 2>err
check "one job of the session has failed" grep -q '"failed":1' status
rt why one visit word:w13 >why 2>err
check "why names the reason" grep -q "is stuck in C code" why
rt jobs one --json >jobs 2>err
same "no other job failed" 1 "$(grep -c '"state":"failed"' jobs)"
same "and all others are done" 39 "$(grep -c '"state":"completed"' jobs)"

# --- it fails at its first try, or as often as it may
cat >caps/stuck.lua <<'END'
return capability {
  name = "again", input = { "word" }, output = {}, retries = 1,
  invoke = function()
    local ffi = require("ffi")
    ffi.cdef [[int poll(void *, unsigned long, int);]]
    ffi.C.poll(nil, 0, -1)
  end,
}
END
rt --unsafe run -c caps -s word:a --workers 1 --session two >out 2>err
same "tried again as it asks for, then failed: exit code 4" 4 $?
same "its worker was lost twice" 2 "$(grep -c 'its worker is replaced' err)"
rt jobs two --json >jobs 2>err
check "both attempts count" grep -q '"attempt":2' jobs

# --- a script: the main process is told with its worker; of a long path the end is told
deep=$(printf 'deep%.0s' {1..30})
mkdir "$deep"
cat >"$deep/main.lua" <<'END'
require("ffi").cdef [[int poll(void *, unsigned long, int);]]
require("ffi").C.poll(nil, 0, -1)
END
rt --unsafe "$deep/main.lua" >out 2>err
same "a stuck main process: exit code 1" 1 $?
check "and its error says where" grep -q "runtime: .*main.lua:2" err

finish
