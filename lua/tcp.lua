--- tcp - connections and servers.
--
--   local conn = assert(tcp.connect("localhost", 80, { timeout = "5s" }))
--   conn:write("HEAD / HTTP/1.0\r\n\r\n")
--   print(conn:read("line"))
--   conn:close()
--
-- What a process opened is closed when it ends. SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.tcp")
local duration = require("rt.duration")
local stream = require("rt.stream")
local task = require("rt.task")

local M = {}

local CONNECT_TIMEOUT = 30

--- Connect. A name is looked up with the runtime's resolver; its addresses are tried in turn.
---@param host string
---@param port integer
---@param opts {timeout:number|string?}?  30 s by default, the look-up included
---@return rt.Connection? conn, rt.Error? err  UNAVAILABLE: refused; NOT_FOUND: no such name
function M.connect(host, port, opts)
  check.string(host, 1, "connect")
  check.integer(port, 2, "connect")
  opts = check.optional_table(opts, 3, "connect") or {}
  local timeout = duration.optional(opts.timeout, "timeout", "connect") or CONNECT_TIMEOUT
  local ok, err = stream.check_place(host, port, "connect", 1)
  if not ok then return nil, err end
  return stream.dial(host, port, timeout)
end

---@class rt.Listener
local listener = {}

--- Wait for the next connection.
---@param opts {timeout:number|string?}?
---@return rt.Connection? conn, rt.Error? err  CANCELED once the server is closed
function listener:accept(opts)
  opts = check.optional_table(opts, 1, "accept") or {}
  return task.await(core.accept(self), duration.optional(opts.timeout, "timeout", "accept"))
end

---@return integer
function listener:port()
  local _, port = core.listener_address(self)
  return port
end

---@return string address, integer port
function listener:address()
  return core.listener_address(self)
end

--- Close; a second call does nothing. Accepted connections stay open.
function listener:close()
  core.listener_close(self)
  return true
end

core.listener_methods(listener)

--- Listen on a local address; port 0 lets the system choose one, told by server:port().
---@param host string  an address, a name of this machine, or "*"
---@param port integer
---@param opts {backlog:integer?}?  connections that may wait to be accepted (1024)
---@return rt.Listener? server, rt.Error? err
function M.listen(host, port, opts)
  check.string(host, 1, "listen")
  check.integer(port, 2, "listen")
  local ok, err = stream.check_place(host, port, "listen", 0)
  if not ok then return nil, err end
  opts = check.optional_table(opts, 3, "listen") or {}
  return core.listen(host, port, check.optional_integer(opts.backlog, "backlog", "listen"))
end

return M
