---@meta dns
-- What editors know of the resolver: local dns = require("dns"). SPDX-License-Identifier: MIT

---@class rt.DnsOptions
---@field server string?        "HOST", "HOST:PORT" or "[V6]:PORT"
---@field timeout rt.Duration?  for all tries together; 5 s
---@field tries integer?        3

---@class rt.DnsRecord
---@field name string
---@field type string
---@field ttl integer
---@field address string?   of A and AAAA
---@field target string?    of CNAME, NS, PTR, SRV and SOA
---@field preference integer?  of MX
---@field exchange string?  of MX
---@field text string?      of TXT

---@class rt.dns
local dns = {}

--- The name under which an address has its PTR records.
---@param address string
---@return string? name, rt.Error? err
function dns.reverse(address) end

--- Ask for the records of one type: A, AAAA, CNAME, NS, PTR, MX, TXT, SOA, SRV, CAA or ANY.
---@param name string  for PTR also an address
---@param kind string?  "A" by default
---@param opts rt.DnsOptions?
---@return rt.DnsRecord[]? records, rt.Error? err  NOT_FOUND: no such name; TIMEOUT: no answer
function dns.resolve(name, kind, opts) end

--- The addresses of a host, as the other modules look them up.
---@param host string
---@param opts rt.DnsOptions?
---@return string[]? addresses, rt.Error? err
function dns.lookup(host, opts) end

return dns
