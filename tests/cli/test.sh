#!/usr/bin/env bash
# `runtime test`: exit codes, what a failure says, the summary, folders, options.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

mkdir -p caps empty
cat >caps/greet.lua <<'END'
local tcp = require("tcp")
return capability {
  name = "greet", input = { "port" }, output = { "banner" },
  invoke = function(job, asset)
    local conn = assert(tcp.connect(asset.value, 25))
    job:send { class = "banner", value = conn:read("line") }
  end,
}
END
cat >caps/greet.test.lua <<'END'
return { capability = "greet.lua", cases = {
  { name = "a greeting", asset = { class = "port", value = "mail" },
    fakes = { tcp = { ["mail:25"] = { "220 hello\r\n" } } },
    expect = { { class = "banner", value = "220 hello" } } },
  { name = "silence", asset = { class = "port", value = "mail" },
    fakes = { tcp = { ["mail:25"] = "refused" } }, error = { kind = "UNAVAILABLE" }, expect = {} },
} }
END
cat >wrong.test.lua <<'END'
return { capability = "caps/greet.lua", cases = {
  { name = "another greeting", asset = { class = "port", value = "mail" },
    fakes = { tcp = { ["mail:25"] = { "220 hello\r\n" } } },
    expect = { { class = "banner", value = "250 hello" } } },
} }
END

expect "tests that pass" 0 "" test caps/greet.test.lua
same "the summary is the last line" "2 passed, 0 failed" "$(tail -n 1 out)"
expect "a folder: its *.test.lua files" 0 "" test caps
same "of the folder" "2 passed, 0 failed" "$(tail -n 1 out)"
expect "a test that fails" 1 "" test wrong.test.lua caps/greet.test.lua
same "it is counted" "2 passed, 1 failed" "$(tail -n 1 out)"
check "it is named" grep -q "FAIL  another greeting" out
check "what was expected" grep -q "expected  banner:250 hello" out
check "what it got" grep -q "got       banner:220 hello" out
expect "--filter" 0 "" test caps --filter silence
same "--filter takes a part of the name" "1 passed, 0 failed" "$(tail -n 1 out)"
expect "--filter that fits nothing" 1 "no case was run" test caps --filter zzz
expect "--json" 1 "" test --json wrong.test.lua
check "--json: one line a case" grep -q '"name":"another greeting".*"ok":false' out
check "--json: expected and got" grep -q '"expected":"banner:250 hello"' out
expect "no file" 2 "usage: runtime test" test
expect "a file that is not there" 1 "nothere" test nothere.test.lua
expect "a folder without tests" 1 "no file called" test empty
expect "an unknown option" 2 "did you mean '--filter'" test --fliter x caps
same "a folder of capabilities leaves its tests out" 1 \
  "$(rt plan -c caps --json 2>&1 | grep -o '"name":"greet"' | wc -l)"
expect "the capabilities that come along" 0 "" test "$repo/scripts"

# --- the example of docs/testing.md
block() { # N: the n-th block of Lua code
  awk -v n="$1" '/^```lua/ { at++; next } /^```/ { at_end[at] = 1 } at == n && !at_end[at]' "$repo/docs/testing.md"
}
mkdir -p docs
block 1 >docs/banner.lua
block 2 >docs/banner.test.lua
expect "the example of the documentation" 0 "" test docs/banner.test.lua
same "says what it shows" "3 passed, 0 failed" "$(tail -n 1 out)"
check "line by line" test "$(sed -n 's/^    \(  *\(ok\|banner\).*\)$/\1/p' "$repo/docs/testing.md" |
  grep -vFxc -f <(sed 's|docs/||' out))" = 0

# --- a run that is recorded, and played back
mkdir -p rec
printf 'secret\377' >rec/input
cat >rec/probe.lua <<'END'
local exec, fs, tcp, time = require("exec"), require("fs"), require("tcp"), require("time")
return capability {
  name = "probe", input = { "file" }, output = { "word" }, retries = 1,
  options = { extra = { default = "x" } },
  invoke = function(job, asset)
    local conn, err = tcp.connect("127.0.0.1", 1)
    if asset.value == "bad" then error(err) end
    local text = assert(fs.read(asset.value))
    local out = assert(exec.run("printf", { "%s-%s", "a", job.options.extra })).stdout
    job:send { class = "word", value = out .. #text, metadata = { last = text:byte(-1), kind = err:kind() } }
    job:send { class = "word", value = out .. #text }
  end,
}
END
cat >rec/probe.test.lua <<'END'
return { capability = "probe.lua", replay = "run.jsonl", cases = {
  { name = "by hand", asset = { class = "file", value = "rec/input" }, replay = "run.jsonl",
    options = { extra = "y" }, fakes = { exec = { printf = { stdout = "other" } } },
    expect = { { class = "word", value = "other7" } } },
} }
END
expect "a run that is recorded" 4 "" run -c rec -s file:rec/input -s file:bad \
  --set probe.extra=y --record rec/run.jsonl
same "the record is for its owner alone" "600" "$(stat -c %a rec/run.jsonl)"
mv rec/input rec/gone
expect "it is played back without the world" 0 "" test rec
same "a case for each attempt of a job, and that by hand" "3 passed, 0 failed" "$(tail -n 1 out)"
check "a failure is played back as one" grep -q "ok    file:bad, attempt 1 (failed" out
sed -i 's/"a", job/"b", job/' rec/probe.lua
expect "a capability that asks something else" 1 "" test rec
check "what it asked is told" grep -q "0 calls of 'exec.run printf %s-%s b y'" out
echo nonsense >>rec/run.jsonl
expect "a damaged record" 1 "" test rec
check "its line is told" grep -q "run.jsonl:[0-9]*: expected a line" out
rm rec/run.jsonl
expect "a record that is not there" 1 "" test rec
check "it is named" grep -q "got       .*run.jsonl" out
expect "--record into nothing" 1 "--record: cannot open" run -c rec -s file:x --record none/x

finish
