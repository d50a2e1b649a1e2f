--- rt.record - the I/O of jobs, written down while it happens (`runtime run --record FILE`).
-- The modules that scripts get are wrapped: each call of a job goes on to the real one, and what it
-- answered becomes a line of JSON. rt.test.replay plays such lines back. A line has the job, its
-- capability and attempt, `call` ("tcp.connect"), `key` (what was asked for), `result` or `error`,
-- and `took` (seconds). Nothing of this is loaded into a run that does not record.
-- SPDX-License-Identifier: MIT
local core = require("rt.core.task")
local errors = require("rt.errors")
local json = require("json")
local task = require("rt.task")
local time = require("rt.core.time")

local M = {}

local OUTPUT = 3 -- RT_OUTPUT_RECORD
local monotonic = time.monotonic
local unpack, type, pairs = unpack, type, pairs

-- text that is no UTF-8 -----------------------------------------------------------------------

local function to_hex(text)
  return (text:gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end))
end

local function is_plain(text)
  local encoded = json.encode(text)
  return encoded ~= nil and json.decode(encoded) == text
end

--- A value that JSON can hold: bytes that are no text become { ["$hex"] = "..." }.
function M.pack(value)
  if type(value) == "string" then
    return is_plain(value) and value or { ["$hex"] = to_hex(value) }
  end
  if type(value) ~= "table" then
    return (type(value) == "number" or type(value) == "boolean") and value or nil
  end
  local made = {}
  for key, item in pairs(value) do
    if type(key) == "string" or type(key) == "number" then made[key] = M.pack(item) end
  end
  return made
end

--- The way back.
function M.unpack(value)
  if type(value) ~= "table" then return value end
  local hex = value["$hex"]
  if type(hex) == "string" then
    return (hex:gsub("%x%x", function(pair)
      return string.char(tonumber(pair, 16))
    end))
  end
  local made = {}
  for key, item in pairs(value) do
    made[key] = M.unpack(item)
  end
  return made
end

-- lines -------------------------------------------------------------------------------------------

local function record_of_process()
  local state = task.peek()
  return state and state.record
end

local function write(record, line)
  line.job, line.capability, line.attempt = record.job, record.capability, record.attempt
  local text = json.encode(line)
  if text then core.output(OUTPUT, text .. "\n") end
end

local function error_line(err)
  if not errors.is_error(err) then return { kind = "UNKNOWN", message = tostring(err) } end
  return { kind = err:kind(), message = err:message(), retryable = err:retryable() }
end

local function note(record, call, key, started, result, err, more)
  local line = more or {}
  line.call, line.key, line.took = call, M.pack(key), monotonic() - started
  line.result = M.pack(result)
  if err ~= nil then line.error = error_line(err) end
  write(record, line)
end

--- A job begins: from now on its process is recorded.
function M.begin(job, asset)
  local record = { job = job.id, capability = job.capability, attempt = job.attempt, conns = 0 }
  task.state().record = record
  write(record, {
    call = "begin",
    asset = M.pack(asset),
    options = M.pack(job.options),
    session = job.session,
    now = time.now(),
  })
end

--- It sent something the session took.
function M.sent(asset)
  local record = record_of_process()
  if not record then return end
  for _, each in ipairs(asset.class == nil and asset or { asset }) do
    write(record, { call = "send", asset = M.pack(each) })
  end
end

--- Its invoke returned, or raised `err`.
function M.finish(err)
  local record = record_of_process()
  if record then write(record, { call = "end", error = err ~= nil and error_line(err) or nil }) end
end

-- connections -------------------------------------------------------------------------------------

local conn = {}
local real_of = setmetatable({}, { __mode = "k" })

local function forward(name)
  return function(self, ...)
    local mine = real_of[self]
    return mine.conn[name](mine.conn, ...)
  end
end

local FORWARDED = {
  "write", "shutdown", "close", "peer", "address", "handshake", "certificates", "tls",
  "send", "port",
}
for _, name in ipairs(FORWARDED) do
  conn[name] = forward(name)
end

local function recorded(name)
  return function(self, ...)
    local mine = real_of[self]
    local record, started = record_of_process(), monotonic()
    local results = { n = 3, mine.conn[name](mine.conn, ...) }
    if record then
      local err = results[1] == nil and results[2] or nil
      note(record, name, mine.id, started, results[1], err, {
        from = M.pack({ results[1] ~= nil and results[2] or nil, results[3] }),
      })
    end
    return unpack(results, 1, results.n)
  end
end
conn.read, conn.receive = recorded("read"), recorded("receive")

function conn:lines(opts)
  return function()
    local line, err = self:read("line", opts)
    if err then error(err, 2) end
    return line
  end
end

local conn_meta = { __index = conn, __metatable = false, __name = "connection" }

local function wrap_conn(record, real)
  record.conns = record.conns + 1
  local proxy = setmetatable({}, conn_meta)
  real_of[proxy] = { conn = real, id = record.conns }
  return proxy, record.conns
end

-- modules -----------------------------------------------------------------------------------------

local function place(host, port)
  return ("%s:%s"):format(tostring(host), tostring(port))
end

local function command(file, args)
  local words = { tostring(file) }
  for i, arg in ipairs(type(args) == "table" and args or {}) do
    words[i + 1] = tostring(arg)
  end
  return table.concat(words, " ")
end

local function request_line(opts, url)
  opts = type(opts) == "table" and opts or {}
  return (opts.method or (opts.body and "POST" or "GET")) .. " " .. tostring(url or opts.url)
end

--- "module.function" -> what its call asks for, as text.
M.keys = {
  ["tcp.connect"] = place,
  ["tls.connect"] = place,
  ["tls.upgrade"] = function(stream)
    return place(stream:peer())
  end,
  ["udp.open"] = function()
    return "socket"
  end,
  ["dns.resolve"] = function(name, kind)
    return tostring(name) .. " " .. (type(kind) == "string" and kind:upper() or "A")
  end,
  ["dns.lookup"] = tostring,
  ["http.request"] = request_line,
  ["http.get"] = function(url, opts)
    return request_line(opts, url)
  end,
  ["exec.run"] = command,
  ["fs.read"] = tostring,
  ["fs.list"] = tostring,
}

local CONNECTING = {
  ["tcp.connect"] = true, ["tls.connect"] = true, ["tls.upgrade"] = true, ["udp.open"] = true,
}

local function details_of(call, real)
  if not call:find("^tls") then return nil end
  return M.pack({ certificates = real:certificates(), tls = real:tls() })
end

local function inner(value, ...)
  local mine = type(value) == "table" and real_of[value]
  return mine and mine.conn or value, ...
end

local function wrap_function(call, fn)
  local key_of = M.keys[call]
  return function(...)
    local record = record_of_process()
    if not record then return fn(...) end
    local key, started = key_of(...), monotonic()
    local result, second = fn(inner(...))
    if result == nil then
      note(record, call, key, started, nil, second)
      return nil, second
    end
    if not CONNECTING[call] then
      note(record, call, key, started, result, nil, { second = M.pack(second) })
      return result, second
    end
    local proxy, id = wrap_conn(record, result)
    note(record, call, key, started, true, nil, { conn = id, tls = details_of(call, result) })
    return proxy
  end
end

--- A module as scripts get it while runs are recorded.
function M.wrap(name, module)
  if type(module) ~= "table" then return module end
  local made = {}
  for key, value in pairs(module) do
    local call = name .. "." .. tostring(key)
    made[key] = M.keys[call] and wrap_function(call, value) or value
  end
  return made
end

--- The modules that are wrapped.
M.modules =
  { tcp = true, tls = true, udp = true, dns = true, http = true, exec = true, fs = true }

return M
