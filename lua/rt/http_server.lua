--- rt.http_server - http.listen: a small HTTP/1.1 server over tcp or tls.
-- One fiber accepts, one serves each connection; a failing handler answers 500 and is logged. Every
-- wait has a deadline, the number of connections a bound. SPDX-License-Identifier: MIT
local check = require("rt.check")
local duration = require("rt.duration")
local log = require("log")
local parse = require("rt.http_parse")
local stream = require("rt.stream")
local task = require("rt.task")
local tcp = require("tcp")
local tls = require("tls")

local M = {}

local REASONS = {
  [200] = "OK",
  [201] = "Created",
  [202] = "Accepted",
  [204] = "No Content",
  [206] = "Partial Content",
  [301] = "Moved Permanently",
  [302] = "Found",
  [303] = "See Other",
  [304] = "Not Modified",
  [307] = "Temporary Redirect",
  [308] = "Permanent Redirect",
  [400] = "Bad Request",
  [401] = "Unauthorized",
  [403] = "Forbidden",
  [404] = "Not Found",
  [405] = "Method Not Allowed",
  [408] = "Request Timeout",
  [409] = "Conflict",
  [413] = "Content Too Large",
  [414] = "URI Too Long",
  [417] = "Expectation Failed",
  [429] = "Too Many Requests",
  [431] = "Request Header Fields Too Large",
  [500] = "Internal Server Error",
  [501] = "Not Implemented",
  [503] = "Service Unavailable",
  [505] = "HTTP Version Not Supported",
}

local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"
-- What the server says itself.
local OWN = { ["content-length"] = true, ["transfer-encoding"] = true, connection = true }
local LINGER = 1
local LINGER_BYTES = 256 * 1024

-- Responses -------------------------------------------------------------------------------------

local function add_line(lines, name, value)
  if type(value) == "number" then value = tostring(value) end
  if type(name) ~= "string" or not name:find(TOKEN) then
    error(("the handler's header name '%s' is none"):format(tostring(name)), 0)
  end
  if type(value) ~= "string" or value:find("[%z\r\n]") then
    error(("the handler's header '%s' has no value to send"):format(name), 0)
  end
  lines[#lines + 1] = name .. ": " .. value
end

local function header_lines(headers)
  local lines, seen = {}, {}
  local names = {}
  for name in pairs(headers) do
    names[#names + 1] = name
  end
  table.sort(names, function(a, b)
    return tostring(a) < tostring(b)
  end)
  for _, name in ipairs(names) do
    local value, key = headers[name], tostring(name):lower()
    seen[key] = value
    if not OWN[key] then
      for _, one in ipairs(type(value) == "table" and value or { value }) do
        add_line(lines, name, one)
      end
    end
  end
  return lines, seen
end

-- What the handler returned as {status, headers, body}; raises when it is no response.
local function normal(response)
  if type(response) == "string" then response = { body = response } end
  if type(response) ~= "table" then
    error("the handler returned no response but " .. type(response), 0)
  end
  local status, body = response.status or 200, response.body or ""
  if type(body) == "number" then body = tostring(body) end
  if type(body) ~= "string" then error("the handler's body is no string", 0) end
  if type(status) ~= "number" or status % 1 ~= 0 or status < 200 or status > 599 then
    error("the handler's status is none: " .. tostring(status), 0)
  end
  if response.headers ~= nil and type(response.headers) ~= "table" then
    error("the handler's headers are no table", 0)
  end
  return status, response.headers or {}, body
end

local function has_word(value, word)
  if type(value) ~= "string" then return false end
  return (", " .. value:lower() .. ","):find("[ ,]" .. word .. "[ ,]") ~= nil
end

-- The bytes of a response, and whether the connection is to stay.
local function render(response, request, keep)
  local status, headers, body = normal(response)
  local lines, seen = header_lines(headers)
  if has_word(seen.connection, "close") then keep = false end
  local bodiless = status == 204 or status == 304
  table.insert(lines, 1, ("HTTP/1.1 %d %s"):format(status, REASONS[status] or "Status"))
  if not seen.date then lines[#lines + 1] = "date: " .. os.date("!%a, %d %b %Y %H:%M:%S GMT") end
  if not bodiless then lines[#lines + 1] = "content-length: " .. #body end
  lines[#lines + 1] = "connection: " .. (keep and "keep-alive" or "close")
  local head = table.concat(lines, "\r\n") .. "\r\n\r\n"
  if bodiless or (request and request.method == "HEAD") then body = "" end
  return head .. body, keep
end

local function plain(status)
  local text = ("%d %s\n"):format(status, REASONS[status] or "Status")
  return { status = status, headers = { ["content-type"] = "text/plain" }, body = text }
end

-- Connections -----------------------------------------------------------------------------------

-- End without a reset that would take the answer away from under the peer: say goodbye, and take
-- what it still sends for a moment.
local function linger(conn)
  if not conn:shutdown({ timeout = LINGER }) then return end
  local left, total = stream.deadline(LINGER), 0
  while total < LINGER_BYTES do
    local bytes = conn:read({ timeout = left() })
    if not bytes then return end
    total = total + #bytes
  end
end

local function answer(self, conn, request, keep)
  local ok, result = xpcall(self._handler, debug.traceback, request)
  local bytes, stays
  if ok then
    ok, bytes, stays = pcall(render, result, request, keep)
  end
  if not ok then
    local reason = tostring(result)
    if type(bytes) == "string" then reason = bytes end
    log.error("http: the handler failed", { error = reason, target = request.target })
    bytes, stays = render(plain(500), request, false)
  end
  return conn:write(bytes, { timeout = self._limits.timeout }) and stays
end

local function wants_more(request)
  local value = request.headers.connection
  if request.version == "1.0" then return has_word(value, "keep%-alive") end
  return not has_word(value, "close")
end

local function converse(self, conn)
  local limits = self._limits
  local address, port = conn:peer()
  local idle = limits.timeout
  while not self._closed do
    self._idle[conn] = true
    local request, status = parse.read(conn, limits, idle)
    self._idle[conn] = nil
    if not request then
      if not status then return end
      conn:write((render(plain(status), nil, false)), { timeout = limits.timeout })
      return
    end
    request.peer = { address = address, port = port }
    local keep = wants_more(request) and not self._closed
    if not answer(self, conn, request, keep) then return end
    idle = limits.idle_timeout
  end
end

local function serve(self, conn)
  local ok, err = pcall(converse, self, conn)
  if not ok then log.error("http: a connection failed", { error = tostring(err) }) end
  self._idle[conn] = nil
  pcall(linger, conn)
  conn:close()
  self._count = self._count - 1
  if self._waiting then
    local fiber = self._waiting
    self._waiting = nil
    task.wake(fiber)
  end
end

local function accept_all(self)
  while not self._closed do
    local conn, err = self._listener:accept()
    if conn then
      self._count = self._count + 1
      task.spawn(serve, self, conn)
      while self._count >= self._limits.max_connections and not self._closed do
        self._waiting = task.fiber()
        task.park(1)
      end
    elseif stream.is(err, "CANCELED") then
      return
    else
      task.park(0.1) -- out of file descriptors, perhaps
    end
  end
end

-- Servers ---------------------------------------------------------------------------------------

---@class rt.HttpServer
local server = {}
local server_meta = { __index = server, __metatable = false, __name = "http server" }

---@return integer
function server:port()
  return self._listener:port()
end

---@return string address, integer port
function server:address()
  return self._listener:address()
end

--- Take no more connections, close the idle ones; requests that are being handled are answered.
function server:close()
  self._closed = true
  self._listener:close()
  for conn in pairs(self._idle) do
    conn:close()
  end
  return true
end

local function limits_of(opts)
  return {
    timeout = duration.optional(opts.timeout, "timeout", "listen") or 30,
    body_timeout = duration.optional(opts.body_timeout, "body_timeout", "listen") or 60,
    idle_timeout = duration.optional(opts.idle_timeout, "idle_timeout", "listen") or 60,
    max_body = check.optional_integer(opts.max_body, "max_body", "listen") or 16 * 1024 * 1024,
    max_connections = check.optional_integer(opts.max_connections, "max_connections", "listen")
      or 1024,
  }
end

--- See http.listen.
function M.listen(host, port, handler, opts)
  local limits = limits_of(opts)
  local secure = check.optional_table(opts.tls, "tls", "listen")
  local listener, err
  if secure then
    listener, err = tls.listen(host, port, secure)
  else
    listener, err = tcp.listen(host, port)
  end
  if not listener then return nil, err end
  local self = setmetatable({
    _listener = listener,
    _handler = handler,
    _limits = limits,
    _idle = {},
    _count = 0,
  }, server_meta)
  task.spawn(accept_all, self)
  return self
end

return M
