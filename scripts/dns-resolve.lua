--- dns-resolve - the addresses of a name, and the names its records point to.
-- Besides each address it sends the name *at* that address, class "host": what serves several
-- sites on one address (virtual hosts, SNI) is asked under each name by what comes after.
-- SPDX-License-Identifier: MIT
local dns = require("dns")

local POINTERS = {
  { type = "CNAME", field = "target" },
  { type = "MX", field = "exchange" },
  { type = "NS", field = "target" },
}

local function plain(name)
  return (name:lower():gsub("%.$", ""))
end

--- Records of one type; none when the name does not exist. No answer is worth another try.
local function records(job, name, kind)
  local list, err = dns.resolve(name, kind, { timeout = job.options.timeout })
  if list then return list end
  if err:kind() == "NOT_FOUND" then return {} end
  error(err)
end

local function send_addresses(job, name, kind, class)
  for _, record in ipairs(records(job, name, kind)) do
    local address = record.address
    if record.type == kind and address then
      job:send({ class = class, value = address })
      job:send({
        class = "host",
        value = name .. "@" .. address,
        metadata = { name = name, address = address },
      })
    end
  end
end

local function send_name(job, target, kind)
  target = plain(target)
  if target ~= "" then
    job:send({ class = "domain", value = target, metadata = { record = kind } })
  end
end

--- Names that a sender policy (SPF) mentions: include:NAME, a:NAME, mx:NAME.
local function send_policy_names(job, text)
  if not text:find("^v=spf1") then return end
  for mechanism, name in text:gmatch("[%s+?~-](%a+):([%w._-]+)") do
    if mechanism == "include" or mechanism == "a" or mechanism == "mx" then
      send_name(job, name, "TXT")
    end
  end
end

return capability({
  name = "dns-resolve",
  description = "addresses of a name, and the names its records point to",
  input = { "domain" },
  output = { "ipv4", "ipv6", "host", "domain" },
  priority = 1,
  timeout = "60s",
  retries = 2,
  options = {
    timeout = { default = "5s", description = "how long to wait for an answer" },
  },
  match = function(asset)
    if asset.value:find("^[%w_-][%w._-]*$") then return true end
    return false, "not a host name"
  end,
  invoke = function(job, asset)
    local name = plain(asset.value)
    send_addresses(job, name, "A", "ipv4")
    send_addresses(job, name, "AAAA", "ipv6")
    for _, pointer in ipairs(POINTERS) do
      for _, record in ipairs(records(job, name, pointer.type)) do
        local target = record.type == pointer.type and record[pointer.field]
        if target then send_name(job, target, pointer.type) end
      end
    end
    for _, record in ipairs(records(job, name, "TXT")) do
      if record.text then send_policy_names(job, record.text) end
    end
  end,
})
