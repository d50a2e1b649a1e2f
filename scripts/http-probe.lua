--- http-probe - is this port a web server, and what does it serve?
-- A port is asked under the name that it is known by, else under its address; TLS first, since a
-- plain request to a TLS port is answered by an error page. Redirects are reported, not followed.
-- SPDX-License-Identifier: MIT
local http = require("http")

local DEFAULT_PORT = { http = 80, https = 443 }
local TELLING = { "server", "x-powered-by", "x-generator" }

--- Where to ask: from a scan with all details, or as given by hand ("127.0.0.1:80", "[::1]:80",
-- "www.lab.test:80").
local function place_of(asset)
  local meta = asset.metadata
  if meta and meta.address then return meta end
  local host, port = asset.value:match("^%[?([%w:._-]+)%]?:(%d+)$")
  if not host or tonumber(port) < 1 or tonumber(port) > 65535 then return nil end
  local is_name = not host:find(":", 1, true) and host:find("%a") ~= nil
  return { address = host, port = tonumber(port), name = is_name and host or nil }
end

local function url_of(scheme, host, port)
  if host:find(":", 1, true) then host = "[" .. host .. "]" end
  if port == DEFAULT_PORT[scheme] then return ("%s://%s/"):format(scheme, host) end
  return ("%s://%s:%d/"):format(scheme, host, port)
end

local function title_of(body)
  local title = body and body:match("<[tT][iI][tT][lL][eE][^>]*>%s*(.-)%s*</")
  if not title or title == "" then return nil end
  return (title:gsub("%s+", " "):gsub("%c", ""):sub(1, 200))
end

--- The answer, or nil where no such server is. What did not answer in time gets one more chance.
local function get(job, scheme, place)
  local response, err = http.request({
    url = url_of(scheme, place.name or place.address, place.port),
    -- The name may have other addresses, too; given by hand it has only itself.
    address = place.address ~= place.name and place.address or nil,
    timeout = job.options.timeout,
    max_body = job.options.max_body,
    truncate = true,
    verify = false,
    redirects = 0,
  })
  if not response and err:kind() == "TIMEOUT" and job.attempt == 1 then error(err) end
  return response
end

local function send_findings(job, response, scheme, place)
  local url = url_of(scheme, place.name or place.address, place.port)
  local headers = response.headers
  job:send({
    class = "url",
    value = url,
    metadata = {
      status = response.status,
      title = title_of(response.body),
      server = headers.server,
      location = headers.location,
    },
  })
  for _, header in ipairs(TELLING) do
    local value = headers[header]
    if type(value) == "string" and value ~= "" then
      job:send({ class = "technology", value = value, metadata = { header = header } })
    end
  end
end

return capability({
  name = "http-probe",
  description = "web servers: status, title and software",
  input = { "port" },
  output = { "url", "technology" },
  active = true,
  priority = 5,
  timeout = "60s",
  retries = 1,
  options = {
    timeout = { default = "5s", description = "how long an answer may take" },
    max_body = { default = 262144, description = "bytes of a page that are looked at" },
  },
  match = function(asset)
    if place_of(asset) then return true end
    return false, "not ADDRESS:PORT"
  end,
  invoke = function(job, asset)
    local place = place_of(asset)
    for _, scheme in ipairs({ "https", "http" }) do
      local response = get(job, scheme, place)
      if response then return send_findings(job, response, scheme, place) end
    end
  end,
})
