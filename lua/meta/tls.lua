---@meta tls
-- What editors know of encrypted connections: local tls = require("tls").
-- SPDX-License-Identifier: MIT

---@class rt.Certificate
---@field subject string
---@field issuer string
---@field sans string[]
---@field not_before number  unix seconds
---@field not_after number
---@field sha256 string
---@field pem string

---@class rt.TlsOptions
---@field server_name string|false|nil  asked for and checked (the host); false: none
---@field verify boolean?        check the certificate (true)
---@field ca_file string?        PEM file to check it against, instead of the system's
---@field alpn string[]?         protocols to offer
---@field timeout rt.Duration?   for everything together; 30 s

---@class rt.TlsListener
local TlsListener = {}

--- The next connection; its handshake happens with the first read or write.
---@param opts rt.Timeout?
---@return rt.Connection? conn, rt.Error? err
function TlsListener:accept(opts) end

---@return integer
function TlsListener:port() end

---@return string address, integer port
function TlsListener:address() end

---@return true
function TlsListener:close() end

---@class rt.tls
local tls = {}

--- Connect and shake hands.
---@param host string
---@param port integer
---@param opts rt.TlsOptions?
---@return rt.Connection? conn, rt.Error? err  PERMISSION_DENIED: the certificate is refused
function tls.connect(host, port, opts) end

--- Go on with TLS on a connection of tcp; it is closed on failure.
---@param conn rt.Connection
---@param opts rt.TlsOptions?
---@return rt.Connection? conn, rt.Error? err
function tls.upgrade(conn, opts) end

--- Serve TLS with a certificate chain and its key, both PEM text.
---@param host string
---@param port integer
---@param opts { certificate: string, key: string, alpn: string[]? }
---@return rt.TlsListener? server, rt.Error? err
function tls.listen(host, port, opts) end

return tls
