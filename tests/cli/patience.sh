#!/usr/bin/env bash
# --patience and --max-journal: kept with the session, and a file that is gone is waited for as long as was asked.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >caps.lua <<'END'
return {
  capability { name = "count", input = { "n" }, output = { "n" }, max_instances = 1,
    invoke = function(job, asset)
      require("time").sleep(0.02)
      job:send { class = "n", value = tostring(asset.value + 1) }
    end },
}
END

expect "no duration" 2 "--patience: 'soon' is not 'forever' or a duration" run -c caps.lua -s n:1 --patience soon
expect "no size" 2 "--max-journal: 'big' is not a size" run -c caps.lua -s n:1 --max-journal big
expect "both are taken" 0 "" run -c caps.lua -s n:1 --max-depth 2 --patience forever --max-journal 64M --session both
rt status both --json >status
check "and kept: patience" grep -q '"patience":"forever"' status
check "and kept: the log's bound" grep -q '"max-journal":67108864' status
expect "resume has its own" 0 "" resume both --patience 5m --max-journal 1G

rt run -c caps.lua -s n:1 --patience 1s --session lost >out.run 2>err.run &
run=$!
trap 'kill $run 2>/dev/null' EXIT
works() { test -e out.run && [ "$(wc -l <out.run)" -ge 3 ]; }
check "it works" until_true 30 works
mv "$data/lost.sqlite" away
ended() { ! kill -0 $run 2>/dev/null; }
check "its file is gone: it ends by itself" until_true 60 ended
wait $run
check "not as if it were done ($?)" test $? -ne 0
check "and says why" grep -q "is gone" err.run
finish
