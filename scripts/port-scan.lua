--- port-scan - which TCP ports of an address accept connections.
-- An address gives ports ADDRESS:PORT; a name at an address gives the same ports once more under
-- NAME@ADDRESS:PORT, so that they are probed under that name. An address is scanned once for
-- all its names where a recent result is at hand.
-- SPDX-License-Identifier: MIT
local tcp = require("tcp")
local time = require("time")

local FRESH = 60 -- seconds for which a result is used again
local recent = {} -- "session address ports" -> { at =, open = }: a cache, nothing depends on it

--- "22,80-82" -> { 22, 80, 81, 82 }
local function parse_ports(text)
  local list = {}
  for part in text:gmatch("[^,%s]+") do
    local first, last = part:match("^(%d+)%-?(%d*)$")
    first = tonumber(first)
    last = tonumber(last) or first
    if not first or first < 1 or last > 65535 or first > last then
      return nil, ("'%s' is no port or range of ports"):format(part)
    end
    for port = first, last do list[#list + 1] = port end
  end
  return list
end

--- The address to scan, and the name that it is known by (of a host: NAME@ADDRESS).
local function target_of(asset)
  if asset.class == "host" then
    local name, address = asset.value:match("^(.+)@([^@]+)$")
    return address, name
  end
  return asset.value
end

local function is_open(address, port, timeout)
  local conn = tcp.connect(address, port, { timeout = timeout })
  if not conn then return false end
  conn:close()
  return true
end

--- Try all ports, `parallel` at a time; the open ones in ascending order.
local function scan(address, ports, options)
  local done = channel.new(#ports)
  local open, at = {}, 0
  local function worker()
    while at < #ports do
      at = at + 1
      local port = ports[at]
      if is_open(address, port, options.timeout) then open[#open + 1] = port end
    end
    done:send(true)
  end
  local workers = math.min(options.parallel, #ports)
  for _ = 1, workers do coroutine.spawn(worker) end
  for _ = 1, workers do done:receive() end
  table.sort(open)
  return open
end

local function open_ports(job, address)
  local options = job.options
  local id = ("%s %s %s"):format(job.session, address, options.ports)
  local known = recent[id]
  if known and time.monotonic() - known.at < FRESH then return known.open end
  local ports, why = parse_ports(options.ports)
  if not ports then error(errors.new({ message = "option ports: " .. why, kind = "INVALID" })) end
  local open = scan(address, ports, options)
  recent[id] = { at = time.monotonic(), open = open }
  return open
end

return capability({
  name = "port-scan",
  description = "TCP ports that accept connections",
  input = { "ipv4", "host" },
  output = { "port" },
  active = true,
  priority = 3,
  timeout = "10m",
  retries = 1,
  options = {
    ports = {
      default = "21-23,25,53,80,81,110,143,443,445,465,587,631,993,995,1433,3000,3306,3389,"
        .. "5000,5432,5900,6379,8000,8008,8080,8081,8443,8888,9000,9090,9200,9443",
      description = "ports to try, like 22,80,8000-8100",
    },
    timeout = { default = "1500ms", description = "how long a connection may take" },
    parallel = { default = 64, description = "connections at a time for one address" },
  },
  match = function(asset)
    local address = target_of(asset)
    if address and address:find("^%d+%.%d+%.%d+%.%d+$") then return true end
    return false, "not an IPv4 address"
  end,
  invoke = function(job, asset)
    local address, name = target_of(asset)
    for _, port in ipairs(open_ports(job, address)) do
      local place = address .. ":" .. port
      job:send({
        class = "port",
        value = place,
        key = name and ("port:%s@%s"):format(name, place) or nil,
        metadata = { address = address, port = port, name = name, state = "open" },
      })
    end
  end,
})
