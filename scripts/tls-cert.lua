--- tls-cert - the certificate that a port shows, and the names in it.
-- Two capabilities: port -> certificate, asked for under the name that the port is known by; and
-- certificate -> domain, so that a certificate met at many ports is read once.
-- SPDX-License-Identifier: MIT
local tls = require("tls")

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

local function common_name(subject)
  return type(subject) == "string" and subject:match("CN%s*=%s*([^,/]+)") or nil
end

local function is_name(text)
  return text:find("%a") and text:find("^[%w_-][%w._-]*$") and text:find(".", 1, true)
end

--- The host names a certificate is for, without the star of a wildcard, each once, in order.
local function names_of(certificate)
  local names, seen = {}, {}
  local function add(name)
    name = name and name:lower():gsub("^%*%.", ""):gsub("%.$", "")
    if name and is_name(name) and not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  for _, name in ipairs(certificate.sans or {}) do add(name) end
  add(common_name(certificate.subject))
  return names
end

local tls_cert = capability({
  name = "tls-cert",
  description = "the certificate that a port shows",
  input = { "port" },
  output = { "certificate" },
  active = true,
  priority = 5,
  timeout = "60s",
  retries = 1,
  options = {
    timeout = { default = "5s", description = "how long the handshake may take" },
  },
  match = function(asset)
    if place_of(asset) then return true end
    return false, "not ADDRESS:PORT"
  end,
  invoke = function(job, asset)
    local place = place_of(asset)
    local conn, err = tls.connect(place.address, place.port, {
      server_name = place.name,
      verify = false,
      timeout = job.options.timeout,
    })
    if not conn then -- it does not speak TLS, or was too slow to do so
      if err:kind() == "TIMEOUT" and job.attempt == 1 then error(err) end
      return
    end
    local leaf = conn:certificates()[1]
    conn:close()
    job:send({
      class = "certificate",
      value = leaf.sha256,
      metadata = {
        subject = leaf.subject,
        issuer = leaf.issuer,
        not_after = leaf.not_after,
        names = names_of(leaf),
      },
    })
  end,
})

local cert_names = capability({
  name = "cert-names",
  description = "the host names in a certificate",
  input = { "certificate" },
  output = { "domain" },
  priority = 5,
  invoke = function(job, asset)
    for _, name in ipairs(asset.metadata and asset.metadata.names or {}) do
      job:send({ class = "domain", value = name })
    end
  end,
})

return { tls_cert, cert_names }
