--- What tests/spec/testing_spec.lua tests: a capability that does what its asset says.
-- SPDX-License-Identifier: MIT
local tcp, dns, http, exec, udp, tls = require("tcp"), require("dns"), require("http"),
  require("exec"), require("udp"), require("tls")
local fs, time, log, events = require("fs"), require("time"), require("log"), require("events")
local calls = 0
local does = {}
function does.send(job) job:send({ class = "y", value = "1", metadata = { a = 1, b = 2 } }) end
function does.list(job) job:send({ { class = "y", value = "1" }, { class = "y", value = "2" } }) end
function does.twice(job) assert(job:send({ class = "y", value = "1" }) == "queued")
  assert(job:send({ class = "y", value = "1" }) == "duplicate") end
function does.itself(job) assert(job:send({ class = "x", value = "itself" }) == "duplicate") end
function does.undeclared(job) assert(select(2, job:send({ class = "z", value = "1" }))) end
function does.novalue(job) error(select(2, job:send({ class = "y", value = "" }))) end
function does.loop() while true do end end
function does.pcalls() while true do pcall(function() while true do end end) end end
function does.bug() does.nothing() end
function does.slow() time.sleep("2m") end
function does.never() channel.new():receive() end
function does.ticks(job)
  local ticks = time.ticker("10s"):channel()
  for _ = 1, 3 do ticks:receive() end
  job:send({ class = "y", value = ("%d %d"):format(time.now(), time.monotonic()) })
end
function does.side(job)
  local done = channel.new()
  for i = 1, 3 do coroutine.spawn(function() time.sleep(i) done:send(i) end) end
  local sum = 0
  for _ = 1, 3 do sum = sum + done:receive() end
  job:send({ class = "y", value = tostring(sum) })
end
function does.select(job)
  local a, b = channel.new(), time.after("3s")
  local first = channel.select({ a:case_receive(), timeout = "1s" })
  local second = channel.select({ a:case_receive(), b:case_receive() })
  local words = tostring(first.timeout) .. " " .. tostring(second.channel == b)
  job:send({ class = "y", value = words })
end
function does.spawned() coroutine.spawn(function() error("in a coroutine") end) time.sleep(1) end
function does.wrap(job)
  local f = coroutine.wrap(function()
    time.sleep(1)
    coroutine.yield("a")
    time.sleep(1)
    return "b"
  end)
  job:send({ class = "y", value = f() .. f() })
end
function does.snooze(job) pcall(job.snooze, job, "5m") error("not reached") end
function does.nofake() tcp.connect("h", 1) end
function does.swallow() pcall(tcp.connect, "h", 1) end
function does.talk(job)
  local conn = assert(tcp.connect("mail", 25))
  local hello = conn:read("line")
  conn:write("EHLO x\r\n")
  job:send({ class = "y", value = hello .. "/" .. conn:read("line", { timeout = "3s" }) })
  local _, err = conn:read("line", { timeout = "3s" })
  job:send({ class = "y", value = err:kind() })
  conn:close()
end
function does.all(job) job:send({ class = "y", value = tcp.connect("h", 1):read("all") }) end
function does.exact(job)
  local conn = tcp.connect("h", 1)
  local words = conn:read(3) .. "," .. conn:read(9) .. "," .. tostring(conn:read())
  job:send({ class = "y", value = words })
end
function does.handshake(job)
  local conn = assert(tls.connect("h", 1))
  job:send({ class = "y", value = conn:certificates()[1].subject .. " " .. conn:tls().alpn })
end
function does.udp(job)
  local socket = udp.open()
  socket:send("q", "ns", 53)
  job:send({ class = "y", value = (socket:receive({ timeout = 1 })) })
  job:send({ class = "y", value = select(2, socket:receive({ timeout = 1 })):kind() })
end
function does.names(job)
  local list = assert(dns.resolve("a.test", "MX"))
  job:send({ class = "y", value = list[1].exchange .. " " .. list[1].preference })
  job:send({ class = "y", value = table.concat(dns.lookup("a.test"), " ") })
  job:send({ class = "y", value = select(2, dns.resolve("b.test")):kind() })
end
function does.web(job)
  local page = assert(http.get("http://a.test/", { max_body = 2, truncate = true }))
  job:send({ class = "y", value = page.status .. page.headers["x-a"] .. page.body })
  page = assert(http.request({ url = "http://a.test/", body = "in" }))
  job:send({ class = "y", value = page.body })
end
function does.program(job)
  local got = assert(exec.run("nmap", { "-sV", 80 }))
  job:send({ class = "y", value = got.stdout .. got.code })
  job:send({ class = "y", value = select(2, exec.run("none")):kind() })
end
function does.files(job)
  fs.mkdir("/out", { parents = true })
  fs.write("/out/b", fs.read("/in/a"))
  fs.append("/out/b", "!")
  fs.rename("/out/b", "/out/c")
  job:send({ class = "y", value = table.concat(fs.list("/"), " ") })
  job:send({ class = "y", value = select(2, fs.read("/none")):kind() })
  for path in fs.walk("/out") do job:send({ class = "y", value = path }) end
end
function does.io() io.open("/etc/passwd") end
function does.spawn() process.spawn("x") end
function does.words(job)
  log.warn("careful", { n = 1 })
  job:log("info", "words")
  job:progress(0.5, "half")
  events.send("a", "b", "c")
  print("printed")
end
function does.again(job)
  local _, err = http.get("http://a.test/")
  job:send({ class = "y", value = err and err:kind() or "fine" })
  _, err = http.get("http://a.test/")
  job:send({ class = "y", value = err and err:kind() or "fine" })
end
function does.fresh(job) calls = calls + 1 job:send({ class = "y", value = tostring(calls) }) end
function does.option(job)
  job:send({ class = "y", value = job.options.word .. job.options.count })
end
function does.fields(job)
  local words = { job.capability, job.target, job.attempt, job.session }
  job:send({ class = "y", value = table.concat(words, " ") })
  job:send({ class = "y", value = tostring(job:canceled()) .. (job:deadline() - time.now()) })
end
function does.patience(job)
  local response, err = http.get("http://a.test/", { timeout = "5s" })
  local word = response and "answered" or err:kind()
  job:send({ class = "y", value = word .. " " .. time.monotonic() })
end
function does.closed(job)
  local socket = udp.open()
  socket:close()
  local sent, err = socket:send("x", "192.0.2.1", 53)
  job:send({ class = "y", value = sent and "sent" or err:kind() })
end
function does.earlier(job)
  local before = job.errors[1]
  job:send({ class = "y", value = before and job.key .. " " .. before.message or job.key })
end
function does.busy()
  error(errors.new({ message = "busy", kind = "UNAVAILABLE", retryable = true }))
end
function does.user(job) job:send({ class = "y", value = require("beside").word }) end
return { capability({ name = "other", input = { "o" }, invoke = function() end }), capability({
  name = "it", input = { "(x|x-1)" }, output = { "y", "x" }, timeout = "1m", retries = 1,
  options = { word = { default = "w" }, count = { default = 2 } },
  match = function(asset)
    if asset.value == "gate" then return false, "the gate is shut" end
    if asset.value == "raise" then error("gate broke") end
    if asset.value == "wait" then time.sleep(1) end
    return true
  end,
  rate_key = function(asset) return asset.value:sub(1, 1) end,
  prioritize = function() return 3 end,
  invoke = function(job, asset) return does[asset.value](job, asset) end,
}) }
