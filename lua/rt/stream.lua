--- rt.stream - what connections do, whether plain (tcp) or encrypted (tls).
-- A connection is a userdata of rt.core.tcp; its methods are here. Nothing is taken from the socket
-- while nobody reads, so a peer that sends to nobody is held up, not buffered.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.tcp")
local core_tls = require("rt.core.tls")
local duration = require("rt.duration")
local errors = require("rt.errors")
local task = require("rt.task")
local time = require("rt.core.time")

local await, monotonic = task.await, time.monotonic

local M = {}

local LINE_MAX = 64 * 1024
local SOME_MAX = 1024 * 1024
local ALL_MAX = 64 * 1024 * 1024
local NONE = {}

--- Seconds left of `timeout` (nil: no end) at each later call.
---@return fun(): number?
function M.deadline(timeout)
  if not timeout then return function() end end
  local due = monotonic() + timeout
  return function()
    local left = due - monotonic()
    return left > 0 and left or 0
  end
end

--- Is `err` of this kind? (nil is not.)
function M.is(err, kind)
  return err ~= nil and err:kind() == kind
end

function M.invalid(fmt, ...)
  return nil, errors.make(fmt:format(...), "INVALID")
end

--- A host (a string) and a port (an integer) in range? nil, INVALID when not.
function M.check_place(host, port, fname, least)
  if host == "" and least > 0 then return M.invalid("%s: the host is empty", fname) end
  if host:find("%z") then return M.invalid("%s: a NUL in the host", fname) end
  if port < least or port > 65535 then return M.invalid("%s: no port: %d", fname, port) end
  return true
end

---@class rt.Connection
local conn = {}

-- What to read: a mode of the C half, its limit, and whether more than that is an error.
local function plan(what, max)
  if what == nil then return "some", max or SOME_MAX, false end
  if what == "line" then return "line", max or LINE_MAX, true end
  if what == "all" then return "all", max or ALL_MAX, max == nil end
  return "exact", what, false
end

--- Read. Without `what`: what is there, at least a byte; a number: so many bytes, fewer only at the
-- end; "line": a line without its end; "all": to the end, or `max` bytes.
---@param what nil|integer|"line"|"all"
---@param opts {timeout:number|string?, max:integer?}?
---@return string? bytes, rt.Error? err  nil alone at the end ("" for "all")
function conn:read(what, opts)
  if type(what) == "table" then
    what, opts = nil, what
  end
  opts = check.optional_table(opts, 2, "read") or NONE
  if type(what) == "number" then
    check.integer(what, 1, "read")
    if what < 0 then check.fail(1, "read", "number of bytes expected") end
  elseif what ~= nil and what ~= "line" and what ~= "all" then
    check.fail(1, "read", "number, 'line' or 'all' expected")
  end
  local max = check.optional_integer(opts.max, "max", "read")
  if max and max < 1 then check.fail("max", "read", "number above zero expected") end
  local timeout = duration.optional(opts.timeout, "timeout", "read")
  local mode, limit, strict = plan(what, max)
  return await(core.read(self, mode, limit, strict), timeout)
end

--- Iterate over the lines until the end; raises what goes wrong on the way.
function conn:lines(opts)
  check.optional_table(opts, 1, "lines")
  return function()
    local line, err = self:read("line", opts)
    if err then error(err, 2) end
    return line
  end
end

--- Send, and wait until the peer's side has room for all of it. When the wait times out the rest
-- is still sent as the peer takes it.
---@param bytes string
---@return boolean? ok, rt.Error? err
function conn:write(bytes, opts)
  check.string(bytes, 1, "write")
  local timeout = opts and duration.optional(opts.timeout, "timeout", "write")
  local sent, err = core.write(self, bytes)
  if sent == false then
    local left = M.deadline(timeout)
    sent, err = self:handshake({ timeout = left() })
    if not sent then return nil, err end
    timeout = left()
    sent, err = core.write(self, bytes)
  end
  if sent == true then return true end
  if not sent then return nil, err end
  return await(sent, timeout)
end

--- Say that nothing more will be sent; reading goes on.
function conn:shutdown(opts)
  local timeout = opts and duration.optional(opts.timeout, "timeout", "shutdown")
  return await(core.shutdown(self), timeout)
end

--- Close; a second call does nothing. What waits on it gets CANCELED.
function conn:close()
  core.close(self)
  return true
end

---@return string address, integer port  of the other end
function conn:peer()
  return core.peer(self)
end

---@return string? address, integer? port  of this end; nothing once closed
function conn:address()
  return core.address(self)
end

-- TLS -------------------------------------------------------------------------------------------

local function with_tls(self, fname)
  if core_tls.info(self) then return true end
  return M.invalid("%s: the connection has no TLS", fname)
end

--- Wait until the TLS handshake is over (tls.connect has done that).
function conn:handshake(opts)
  local ok, err = with_tls(self, "handshake")
  if not ok then return nil, err end
  return await(core.ready(self), opts and duration.optional(opts.timeout, "timeout", "handshake"))
end

--- The peer's certificates from leaf to root: {subject, issuer, sans, not_before, not_after (unix
-- seconds), sha256, pem}. They stay readable after the close.
---@return table[]? list, rt.Error? err
function conn:certificates()
  local ok, err = with_tls(self, "certificates")
  if not ok then return nil, err end
  return core_tls.certificates(self)
end

--- {version, cipher, alpn, verified} of a connection with TLS.
function conn:tls()
  local ok, err = with_tls(self, "tls")
  if not ok then return nil, err end
  local version, cipher, alpn, verified = core_tls.info(self)
  return { version = version, cipher = cipher, alpn = alpn, verified = verified }
end

core.conn_methods(conn)

-- Connecting ------------------------------------------------------------------------------------

--- A TCP connection; an error of kind TIMEOUT says to where.
function M.dial(host, port, timeout)
  local self, err = await(core.dial(host, port), timeout)
  if not self and M.is(err, "TIMEOUT") then
    err = errors.make(("connect to %s port %d: timed out"):format(host, port), "TIMEOUT", true)
  end
  return self, err
end

return M
