#!/usr/bin/env bash
# --allow: what scripts and capabilities may use of the network, files, programs and the environment.
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/../support/shell.sh"
cd "$tmp" || exit 1

cat >try.lua <<'END_OF_LUA'
local function refused(what, value, err)
  if value == nil and type(err) == "table" and err:kind() == "PERMISSION_DENIED" then
    print(what .. " refused")
  else
    print(what .. " there")
  end
end
local function raises(what, fn, ...)
  local ok, err = pcall(fn, ...)
  refused(what, ok or nil, err)
end
local port = require("time").now() -- time, json and the rest are never refused
assert(port > 0 and require("json").encode({ 1 }) == "[1]")
local fs, dns, http = require("fs"), require("dns"), require("http")
local tcp, tls, udp = require("tcp"), require("tls"), require("udp")
local server = tcp.listen("127.0.0.1", 0)
refused("tcp.listen", server and true, select(2, tcp.listen("127.0.0.1", 0)))
refused("dns", dns.resolve("x.test", "A", { server = "127.0.0.1:9", timeout = "1ms", tries = 1 }))
refused("http", http.get("http://127.0.0.1:1/"))
refused("tls", tls.connect("127.0.0.1", 1))
refused("udp", udp.open("127.0.0.1", 0))
refused("fs", fs.read("try.lua"))
refused("session", require("session").list("none"))
refused("io.open", io.open("try.lua"))
refused("io.tmpfile", io.tmpfile())
raises("io.lines", io.lines, "try.lua")
raises("io.input", io.input, "try.lua")
raises("io.output", io.output, "written")
refused("os.remove", os.remove("not-there"))
refused("os.rename", os.rename("not-there", "nor-that"))
raises("os.tmpname", os.tmpname)
raises("dofile", dofile, "empty.lua")
refused("loadfile", loadfile("empty.lua"))
refused("exec", require("exec").run("true", {}))
refused("io.popen", io.popen("true"))
local status, err = os.execute("true")
refused("os.execute", status == 0 or nil, err)
refused("os.getenv", os.getenv("HOME"))
if server then server:close() end
END_OF_LUA
echo 'return 1' >empty.lua
tried() { rt "$@" try.lua >out 2>err; grep -c refused out; }
net="tcp.listen dns http tls udp"
files="fs session io.open io.tmpfile io.lines io.input io.output os.remove os.rename os.tmpname dofile loadfile"
programs="exec io.popen os.execute"
group() { sed -n 's/ refused$//p' out | tr '\n' ' ' | sed 's/ $//'; }

same "nothing is refused by default" 0 "$(tried)"
same "all of it is tried" 21 "$(grep -c . out)"
same "--allow none" 21 "$(tried --allow none)"
tried --allow fs,exec,env >count
same "without net" "$net" "$(group)"
tried --allow net,exec,env >count
same "without fs" "$files" "$(group)"
tried --allow net,fs,env >count
same "without exec" "$programs" "$(group)"
tried --allow net,fs,exec >count
same "without env" "os.getenv" "$(group)"
rm -f written
tried --allow net,exec,env >count
check "a refused call made no file" test ! -e written
expect "a module of the script's own is loaded all the same" 0 "" --allow none -e 'assert(require("empty") == 1)'
expect "what a script spawns is held to it, too" 0 "" --allow none -e \
  'local ok, err = process.exec(function() return select(2, require("fs").read("try.lua")):kind() end)
   assert(ok == "PERMISSION_DENIED", err)'
expect "it cannot be taken away" 1 "frozen" --allow none -e 'require("fs").read = print'

cat >caps.lua <<'END_OF_LUA'
return capability {
  name = "reader", input = { "path" }, output = { "text" },
  invoke = function(job, asset)
    local text, err = require("fs").read(asset.value)
    if not text then error(err) end
    job:send { class = "text", value = text:match("%S+") }
  end,
}
END_OF_LUA
expect "a capability: the job fails" 4 "'fs' is not allowed" run -c caps.lua -s path:empty.lua --session held --allow net
rt jobs held --json >out
check "with its kind" grep -q '"kind":"PERMISSION_DENIED"' out
rt jobs held --retry 2>err
expect "the session keeps it" 4 "'fs' is not allowed" resume held
rt jobs held --retry 2>err
expect "resume with another" 0 "" resume held --allow fs
check "then it is read" grep -q '"text:return"' out

expect "no such word" 2 "--allow: 'disk' is no list" --allow disk try.lua
expect "a bad list for run" 2 "--allow: 'net,' is no list" run -c caps.lua -s path:x --allow net,
expect "not with --unsafe" 2 "not with --unsafe" --unsafe --allow net try.lua
finish
