--- tls - encrypted connections, and the certificates of the other end.
--
--   local conn = assert(tls.connect("example.org", 443, { timeout = "5s" }))
--   print(conn:certificates()[1].subject)
--
-- A connection reads and writes like one of tcp. With verify = false any certificate is taken, and
-- protocol versions and ciphers that are no longer safe, to look at servers as they are.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.tls")
local duration = require("rt.duration")
local errors = require("rt.errors")
local stream = require("rt.stream")
local tcp = require("tcp")

local M = {}

local CONNECT_TIMEOUT = 30

-- {"h2", "http/1.1"} as it goes over the wire; raises for what is no such list.
local function wire_alpn(list, fname)
  if list == nil then return nil end
  check.table(list, "alpn", fname)
  local parts = {}
  for i, name in ipairs(list) do
    if type(name) ~= "string" or #name == 0 or #name > 255 then
      check.fail("alpn", fname, "list of protocol names expected", 2)
    end
    parts[i] = string.char(#name) .. name
  end
  return table.concat(parts)
end

local function client_opts(host, opts, fname)
  local name = opts.server_name
  if name == nil then name = host end
  if name ~= false then check.string(name, "server_name", fname) end
  local verify = check.optional_boolean(opts.verify, "verify", fname)
  return {
    verify = verify ~= false,
    server_name = name or nil,
    alpn = wire_alpn(opts.alpn, fname),
    ca_file = check.optional_string(opts.ca_file, "ca_file", fname),
  }
end

-- Begin and end the handshake; a connection that fails is closed.
local function secure(conn, settings, left, where)
  local ok, err = core.start(conn, settings)
  if ok then
    ok, err = conn:handshake({ timeout = left() })
  end
  if ok then return conn end
  conn:close()
  if stream.is(err, "TIMEOUT") then
    return nil, errors.make(("tls: handshake with %s: timed out"):format(where), "TIMEOUT", true)
  end
  return nil, errors.wrap(err, where)
end

---@class rt.TlsOptions
---@field server_name string|false?  asked for and checked (the host); false: none
---@field verify boolean?            check the certificate (true)
---@field ca_file string?            PEM file to check it against, instead of the system's
---@field alpn string[]?             protocols to offer
---@field timeout number|string?     for everything together; 30 s

--- Connect and shake hands.
---@param host string
---@param port integer
---@param opts rt.TlsOptions?
---@return rt.Connection? conn, rt.Error? err  PERMISSION_DENIED when the certificate is refused
function M.connect(host, port, opts)
  check.string(host, 1, "connect")
  check.integer(port, 2, "connect")
  opts = check.optional_table(opts, 3, "connect") or {}
  local timeout = duration.optional(opts.timeout, "timeout", "connect") or CONNECT_TIMEOUT
  local settings = client_opts(host, opts, "connect")
  local ok, err = stream.check_place(host, port, "connect", 1)
  if not ok then return nil, err end
  local left = stream.deadline(timeout)
  local conn
  conn, err = stream.dial(host, port, left())
  if not conn then return nil, err end
  return secure(conn, settings, left, ("%s port %d"):format(host, port))
end

--- Go on with TLS on a connection of tcp, after STARTTLS or the like. It is closed on failure.
---@return rt.Connection? conn, rt.Error? err
function M.upgrade(conn, opts)
  opts = check.optional_table(opts, 2, "upgrade") or {}
  local timeout = duration.optional(opts.timeout, "timeout", "upgrade") or CONNECT_TIMEOUT
  local address, port = conn:peer()
  local settings = client_opts(opts.server_name or address, opts, "upgrade")
  return secure(conn, settings, stream.deadline(timeout), ("%s port %d"):format(address, port))
end

---@class rt.TlsListener
local listener = {}
local listener_meta = { __index = listener, __metatable = false, __name = "tls listener" }

--- The next connection. Its handshake happens with the first read or write, or in
-- conn:handshake(), so that a slow peer does not hold up the others.
function listener:accept(opts)
  local conn, err = self._plain:accept(opts)
  if not conn then return nil, err end
  local ok
  ok, err = core.start(conn, self._settings)
  if ok then return conn end
  conn:close()
  return nil, err
end

function listener:port()
  return self._plain:port()
end

function listener:address()
  return self._plain:address()
end

function listener:close()
  return self._plain:close()
end

--- Serve TLS with a certificate chain and its key, both PEM text.
---@param opts {certificate:string, key:string, alpn:string[]?}
---@return rt.TlsListener? server, rt.Error? err
function M.listen(host, port, opts)
  check.string(host, 1, "listen")
  check.integer(port, 2, "listen")
  check.table(opts, 3, "listen")
  local settings = {
    server = true,
    certificate = check.string(opts.certificate, "certificate", "listen"),
    key = check.string(opts.key, "key", "listen"),
    alpn = wire_alpn(opts.alpn, "listen"),
  }
  local plain, err = tcp.listen(host, port)
  if not plain then return nil, err end
  return setmetatable({ _plain = plain, _settings = settings }, listener_meta)
end

return M
