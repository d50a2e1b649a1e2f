--- dns - questions to DNS servers.
--
--   for _, mx in ipairs(assert(dns.resolve("example.org", "MX"))) do print(mx.exchange) end
--
-- A question goes to `server`, else to the runtime's resolver, else to the system's. At most 256
-- are in flight to a server at once, the others wait; the time of each runs from when it is sent.
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.dns")
local duration = require("rt.duration")
local errors = require("rt.errors")
local stream = require("rt.stream")
local task = require("rt.task")

local M = {}

-- "HOST", "HOST:PORT", "[V6]:PORT", "V6" in two parts.
local function split(server)
  local host, port = server:match("^%[(.*)%]:(%d+)$")
  if not host then
    host, port = server:match("^([^:]+):(%d+)$")
  end
  return host or server:match("^%[(.*)%]$") or server, port or "53"
end

-- A server named by its name is looked up first, with the resolver.
local function address_of(server)
  if server == nil then return nil end
  local host, port = split(server)
  if core.literal(host) or not host:find("^[%w._-]+$") then return server end
  local list, err = task.await(core.lookup(host))
  if not list then return nil, errors.wrap(err, "DNS server " .. server) end
  return (core.literal(list[1]) == 6 and "[%s]:%s" or "%s:%s"):format(list[1], port)
end

local function read_opts(opts, fname)
  opts = check.optional_table(opts, fname == "lookup" and 2 or 3, fname) or {}
  local server = check.optional_string(opts.server, "server", fname)
  local timeout = duration.optional(opts.timeout, "timeout", fname)
  local tries = check.optional_integer(opts.tries, "tries", fname)
  if timeout and timeout < 0.001 then timeout = 0.001 end
  if tries and tries < 1 then tries = 1 end
  return server, timeout, tries
end

-- "192.0.2.1" -> "1.2.0.192.in-addr.arpa"; nil for what is no IPv4 address.
local function reverse_v4(address)
  local a, b, c, d = address:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
  return a and ("%s.%s.%s.%s.in-addr.arpa"):format(d, c, b, a)
end

local function reverse_v6(address)
  local head, tail = address:match("^(.-)::(.*)$")
  local function groups(text)
    local list = {}
    for group in text:gmatch("[^:]+") do
      list[#list + 1] = ("%04x"):format(tonumber(group, 16))
    end
    return list
  end
  local left, right = groups(head or address), groups(tail or "")
  while head and #left + #right < 8 do
    left[#left + 1] = "0000"
  end
  local digits = table.concat(left) .. table.concat(right)
  return (digits:reverse():gsub(".", "%0.")) .. "ip6.arpa"
end

--- The name under which an address has its PTR records.
---@param address string
---@return string? name, rt.Error? err
function M.reverse(address)
  check.string(address, 1, "reverse")
  local family = core.literal(address)
  if family == 4 then return reverse_v4(address) end
  if family == 6 and not address:find("[%.%%%[]") then return reverse_v6(address) end
  return stream.invalid("reverse: no address: '%s'", address)
end

--- Ask for the records of one type: A, AAAA, CNAME, NS, PTR, MX, TXT, SOA, SRV, CAA or ANY.
---@param name string  for PTR also an address
---@param kind string?  "A" by default
---@param opts {server:string?, timeout:number|string?, tries:integer?}?  5 s in all, 3 tries
---@return table[]? records, rt.Error? err  NOT_FOUND: no such name; TIMEOUT: no answer
function M.resolve(name, kind, opts)
  check.string(name, 1, "resolve")
  kind = check.optional_string(kind, 2, "resolve") or "A"
  local server, timeout, tries = read_opts(opts, "resolve")
  local known = core.type(kind)
  if not known then return stream.invalid("resolve: no record type: '%s'", kind) end
  if name == "" then return stream.invalid("resolve: the name is empty") end
  if known == "PTR" and core.literal(name) then name = M.reverse(name) or name end
  if name:find("%z") then return stream.invalid("resolve: a NUL in the name") end
  local address, err = address_of(server)
  if err then return nil, err end
  return task.await(core.ask(name, known, address, timeout, tries))
end

--- The addresses of a host as the other modules look them up: a literal address, /etc/hosts, then
-- A and AAAA records; IPv4 first.
---@param host string
---@param opts {server:string?, timeout:number|string?, tries:integer?}?
---@return string[]? addresses, rt.Error? err
function M.lookup(host, opts)
  check.string(host, 1, "lookup")
  local server, timeout, tries = read_opts(opts, "lookup")
  if host == "" or host:find("%z") then return stream.invalid("lookup: no host: '%s'", host) end
  local address, err = address_of(server)
  if err then return nil, err end
  return task.await(core.lookup(host, address, timeout, tries))
end

return M
