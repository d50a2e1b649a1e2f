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

finish
