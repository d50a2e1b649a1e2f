--- rt.test.dns - dns for capability tests: records from the fakes.
-- fakes.dns["example.test MX"] answers one type, fakes.dns["example.test"] = { A = {...} } several;
-- the types that a known name has no fake for have no records. SPDX-License-Identifier: MIT
local check = require("rt.check")
local duration = require("rt.duration")
local errors = require("rt.errors")
local fence = require("rt.test.fence")
local real = require("dns")

local M = {}

local TIMEOUT = 5
local FIELD = { A = "address", AAAA = "address", CNAME = "target", NS = "target", PTR = "target" }

local function record_of(name, kind, value)
  if type(value) == "table" then
    local record = { name = name, type = kind, ttl = 300 }
    for key, item in pairs(value) do
      record[key] = item
    end
    return record
  end
  local record = { name = name, type = kind, ttl = 300 }
  record[FIELD[kind] or (kind == "MX" and "exchange") or "text"] = tostring(value)
  if kind == "MX" then record.preference = 10 end
  return record
end

-- { A = {...}, MX = {...} }?
local function by_type(spec)
  if type(spec) ~= "table" or spec.error ~= nil then return false end
  local key = next(spec)
  return type(key) == "string" and key:find("^%u+$") ~= nil
end

-- Has the case a fake for another type of this name?
local function is_known(fakes, name)
  for key in pairs(fakes) do
    if type(key) == "string" and key:match("^(%S+) ") == name then return true end
  end
  return false
end

local function spec_of(world, name, kind)
  local fakes, typed = world.fakes.dns, name .. " " .. kind
  if type(fakes) ~= "table" or fakes[typed] ~= nil then return world:fake("dns", { typed }) end
  if fakes[name] ~= nil then return world:fake("dns", { name }) end
  if is_known(fakes, name) then return {} end
  return world:fake("dns", { typed })
end

local function may_ask(world, what, name, server)
  local ok, err = fence.allows_name(world, what, name)
  if not ok or not server then return ok, err end
  local host, port = tostring(server):match("^%[?(.-)%]?:(%d+)$")
  return fence.allows(world, "ask the server", host or tostring(server), tonumber(port or 53))
end

local function resolve(world, name, kind, opts)
  check.string(name, 1, "resolve")
  kind = (check.optional_string(kind, 2, "resolve") or "A"):upper()
  opts = check.optional_table(opts, 3, "resolve") or {}
  local timeout = duration.optional(opts.timeout, "timeout", "resolve") or TIMEOUT
  local may, refused = may_ask(world, "resolve", name, opts.server)
  if not may then return nil, refused end
  world:note(("dns.resolve %s %s"):format(name, kind))
  local spec = spec_of(world, name, kind)
  if type(spec) == "function" then spec = spec(name, kind) end
  if by_type(spec) then spec = spec[kind] or {} end
  local err = world:failure(spec, "dns: " .. name, timeout)
  if err then return nil, err end
  local list = {}
  for _, value in ipairs(type(spec) == "table" and spec or { spec }) do
    list[#list + 1] = record_of(name, kind, value)
  end
  return list
end

local function lookup(world, host, opts)
  local addresses = {}
  for _, kind in ipairs({ "A", "AAAA" }) do
    local list, err = resolve(world, host, kind, opts)
    if not list then return nil, err end
    for _, record in ipairs(list) do
      addresses[#addresses + 1] = record.address
    end
  end
  if #addresses == 0 then return nil, errors.make("dns: " .. host .. ": not found", "NOT_FOUND") end
  return addresses
end

function M.install(world)
  world.modules.dns = {
    reverse = real.reverse,
    resolve = function(name, kind, opts)
      return resolve(world, name, kind, opts)
    end,
    lookup = function(host, opts)
      return lookup(world, host, opts)
    end,
  }
end

return M
