---@meta tcp
-- What editors know of connections: local tcp = require("tcp"). SPDX-License-Identifier: MIT

---@class rt.Timeout
---@field timeout rt.Duration?

---@class rt.ReadOptions: rt.Timeout
---@field max integer?  bytes

--- Of tcp and of tls.
---@class rt.Connection
local Connection = {}

--- What is there; a number: so many bytes; "line"; "all". nil alone at the end.
---@param what integer|"line"|"all"|rt.ReadOptions|nil
---@param opts rt.ReadOptions?
---@return string? bytes, rt.Error? err
function Connection:read(what, opts) end

--- Iterate over the lines until the end; raises what goes wrong on the way.
---@param opts rt.ReadOptions?
---@return fun(): string?
function Connection:lines(opts) end

--- Send, and wait until the system has taken all of it.
---@param bytes string
---@param opts rt.Timeout?
---@return true? ok, rt.Error? err
function Connection:write(bytes, opts) end

--- Say that nothing more will be sent; reading goes on.
---@param opts rt.Timeout?
---@return true? ok, rt.Error? err
function Connection:shutdown(opts) end

--- Close; a second call does nothing.
---@return true
function Connection:close() end

---@return string address, integer port  of the other end
function Connection:peer() end

---@return string? address, integer? port  of this end; nothing once closed
function Connection:address() end

--- Wait until the TLS handshake is over (tls.connect has done that).
---@param opts rt.Timeout?
---@return true? ok, rt.Error? err
function Connection:handshake(opts) end

--- The peer's certificates from leaf to root.
---@return rt.Certificate[]? list, rt.Error? err
function Connection:certificates() end

---@return { version: string, cipher: string, alpn: string?, verified: boolean }? info
---@return rt.Error? err
function Connection:tls() end

---@class rt.Listener
local Listener = {}

--- Wait for the next connection.
---@param opts rt.Timeout?
---@return rt.Connection? conn, rt.Error? err  CANCELED once the server is closed
function Listener:accept(opts) end

---@return integer
function Listener:port() end

---@return string address, integer port
function Listener:address() end

--- Close; accepted connections stay open.
---@return true
function Listener:close() end

---@class rt.tcp
local tcp = {}

--- Connect; the addresses of a name are tried in turn.
---@param host string
---@param port integer
---@param opts rt.Timeout?  30 s by default, the look-up included
---@return rt.Connection? conn, rt.Error? err  UNAVAILABLE: refused; NOT_FOUND: no such name
function tcp.connect(host, port, opts) end

--- Listen on a local address; port 0 lets the system choose one.
---@param host string  an address, a name of this machine, or "*"
---@param port integer
---@param opts { backlog: integer? }?
---@return rt.Listener? server, rt.Error? err
function tcp.listen(host, port, opts) end

return tcp
