--- http-probe - is this port a web server, and what does it serve?
-- A port is asked under the name that it is known by, else under its address; TLS first, since a
-- plain request to a TLS port is answered by an error page. Redirects are reported, not followed.
-- SPDX-License-Identifier: MIT
local http = require("http")

local DEFAULT_PORT = { http = 80, https = 443 }
local TELLING = { "server", "x-powered-by", "x-generator" }

local function url_of(scheme, host, port)
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
    address = place.address, -- the name may have others, too
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
  priority = 5,
  timeout = "60s",
  retries = 1,
  options = {
    timeout = { default = "5s", description = "how long an answer may take" },
    max_body = { default = 262144, description = "bytes of a page that are looked at" },
  },
  invoke = function(job, asset)
    local place = asset.metadata
    for _, scheme in ipairs({ "https", "http" }) do
      local response = get(job, scheme, place)
      if response then return send_findings(job, response, scheme, place) end
    end
  end,
})
