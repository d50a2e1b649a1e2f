--- rt.http_client - http.request: names, addresses, redirects around single exchanges.
-- Each hop's host is looked up with the runtime's resolver and its addresses are tried in turn; the
-- C half (libcurl) is only ever given literal addresses. SPDX-License-Identifier: MIT
local check = require("rt.check")
local core = require("rt.core.http")
local core_dns = require("rt.core.dns")
local duration = require("rt.duration")
local errors = require("rt.errors")
local stream = require("rt.stream")
local task = require("rt.task")
local time = require("rt.core.time")

local M = {}

local TIMEOUT = 30
local REDIRECTS = 10
local MAX_BODY = 16 * 1024 * 1024
local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"
local REDIRECT = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }
-- Schemes of proxies that want to be told an address, not a name.
local BY_ADDRESS = { socks4 = true, socks5 = true }
-- Methods that say "no body" with a length of 0.
local SENDING = { POST = true, PUT = true, PATCH = true }
local VERSIONS = { ["1.0"] = true, ["1.1"] = true, ["2"] = true }

-- Options ---------------------------------------------------------------------------------------

local function header_line(name, value)
  if type(value) == "number" then value = tostring(value) end
  if type(value) ~= "string" then
    check.fail("headers", "request", "string expected for '" .. tostring(name) .. "'", 4)
  end
  if not name:find(TOKEN) or value:find("[%z\r\n]") then
    return stream.invalid("request: no header: '%s'", name)
  end
  -- libcurl takes "Name:" for "do not send it" and "Name;" for an empty value
  return value == "" and name .. ";" or name .. ": " .. value
end

--- The lines of {name = value or list of values}, in the order of their names.
local function header_lines(headers)
  local names, lines = {}, {}
  for name in pairs(headers) do
    if type(name) ~= "string" then
      check.fail("headers", "request", "names expected, got " .. type(name), 3)
    end
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local values = headers[name]
    for _, value in ipairs(type(values) == "table" and values or { values }) do
      local line, err = header_line(name, value)
      if not line then return nil, err end
      lines[#lines + 1] = line
    end
  end
  return lines
end

local function redirects_of(value)
  if value == nil or value == true then return REDIRECTS end
  if value == false then return 0 end
  return check.integer(value, "redirects", "request")
end

local function check_opts(opts, url)
  return {
    url = check.string(url, "url", "request"),
    method = check.optional_string(opts.method, "method", "request"),
    headers = check.optional_table(opts.headers, "headers", "request") or {},
    body = check.optional_string(opts.body, "body", "request"),
    timeout = duration.optional(opts.timeout, "timeout", "request") or TIMEOUT,
    verify = check.optional_boolean(opts.verify, "verify", "request") ~= false,
    ca_file = check.optional_string(opts.ca_file, "ca_file", "request"),
    redirects = redirects_of(opts.redirects),
    proxy = check.optional_string(opts.proxy, "proxy", "request"),
    max_body = check.optional_integer(opts.max_body, "max_body", "request") or MAX_BODY,
    truncate = check.optional_boolean(opts.truncate, "truncate", "request"),
    address = check.optional_string(opts.address, "address", "request"),
    version = check.optional_string(opts.version, "version", "request"),
  }
end

-- What is of the right type and still makes no request.
local function refuse(settings)
  if settings.method and not settings.method:find(TOKEN) then
    return stream.invalid("request: no method: '%s'", settings.method)
  end
  if settings.max_body < 0 or settings.redirects < 0 then
    return stream.invalid("request: max_body and redirects may not be negative")
  end
  if settings.address and not core_dns.literal(settings.address) then
    return stream.invalid("request: no address: '%s'", settings.address)
  end
  if settings.version and not VERSIONS[settings.version] then
    return stream.invalid("request: no HTTP version: '%s'", settings.version)
  end
  if settings.url:find("%z") then return stream.invalid("request: a NUL in the URL") end
  return true
end

-- Addresses -------------------------------------------------------------------------------------

local function place(address, port)
  return (core_dns.literal(address) == 6 and "[%s]:%d" or "%s:%d"):format(
    address:gsub("[%[%]]", ""),
    port
  )
end

local function lookup(host, left)
  if core_dns.literal(host) then return { (host:gsub("[%[%]]", "")) } end
  return task.await(core_dns.lookup(host), left())
end

local function escape(text)
  return (text:gsub("[^%w._~-]", function(char)
    return ("%%%02X"):format(char:byte())
  end))
end

--- The proxy's URL with its address instead of its name, and whether it wants addresses.
local function proxy_of(text, left)
  if not text:find("://", 1, true) then text = "http://" .. text end
  local url, err = core.url(text, nil, true)
  if not url then return nil, err end
  local list
  list, err = lookup(url.host, left)
  if not list then return nil, err end
  local user = url.user and escape(url.user) .. ":" .. escape(url.password or "") .. "@" or ""
  return url.scheme .. "://" .. user .. place(list[1], url.port), BY_ADDRESS[url.scheme]
end

-- Where to connect: a list of addresses, or { false } when the proxy knows.
local function targets_of(settings, url, left)
  if settings.proxy_url and not settings.by_address then return { false } end
  if settings.address then return { (settings.address:gsub("[%[%]]", "")) } end
  return lookup(url.host, left)
end

-- One hop ---------------------------------------------------------------------------------------

local function parse_head(head)
  local headers, last = {}, nil
  for line in head:gmatch("[^\r\n]+") do
    local name, value = line:match("^([^%s:]+):[ \t]*(.-)[ \t]*$")
    if name then
      last = name:lower()
      headers[last] = headers[last] and headers[last] .. ", " .. value or value
    elseif last and line:find("^[ \t]") then
      headers[last] = headers[last] .. " " .. line:match("^[ \t]*(.-)[ \t]*$")
    end
  end
  return headers
end

local function response_of(url, status, version, head, body, _, truncated)
  return {
    status = status,
    version = version,
    headers = parse_head(head),
    body = body,
    url = url.url,
    truncated = truncated or nil,
  }
end

-- One exchange with one address -> response | nil, err, try the next address?
local function exchange(settings, url, target, left, more)
  local function finish(status, ...)
    if status then return response_of(url, status, ...) end
    return nil, ...
  end
  local budget = left()
  return finish(task.await(
    core.exchange({
      url = url.url,
      method = settings.method,
      headers = settings.lines,
      body = settings.body,
      user = url.user,
      password = url.password,
      chosen = settings.address ~= nil,
      connect_to = target and place(target, url.port) or nil,
      proxy = settings.proxy_url,
      verify = settings.verify,
      ca_file = settings.ca_file,
      version = settings.version,
      max_body = settings.max_body,
      truncate = settings.truncate,
      connect_timeout = more > 0 and budget / (more + 1) or budget,
    }),
    budget
  ))
end

local function hop(settings, url, left)
  local targets, err = targets_of(settings, url, left)
  if not targets then return nil, err end
  local response, again
  for i, target in ipairs(targets) do
    response, err, again = exchange(settings, url, target, left, #targets - i)
    local passed = stream.is(err, "PERMISSION_DENIED") -- this address only is out of scope
    if response or not (again or passed) or left() == 0 then break end
  end
  return response, err
end

-- Redirects -------------------------------------------------------------------------------------

local PRIVATE = { authorization = true, cookie = true, ["proxy-authorization"] = true, host = true }

local function drop_headers(settings, matches)
  local kept = {}
  for _, line in ipairs(settings.lines) do
    if not matches(line:match("^[^:;]+"):lower()) then kept[#kept + 1] = line end
  end
  settings.lines = kept
end

--- Where a response leads; changes what is asked there, as browsers do.
local function follow(settings, url, response)
  local location = REDIRECT[response.status] and response.headers.location
  if not location or location == "" then return nil end
  local target, err = core.url(location, url.url)
  if not target then return nil, err end
  local status, method = response.status, settings.method
  if (status == 303 and method ~= "HEAD") or (status < 303 and method == "POST") then
    settings.method, settings.body = "GET", nil
    drop_headers(settings, function(name)
      return name:find("^content%-") ~= nil or name == "transfer-encoding"
    end)
  end
  if target.host ~= url.host or target.port ~= url.port or target.scheme ~= url.scheme then
    settings.address = nil
    drop_headers(settings, function(name)
      return PRIVATE[name]
    end)
  elseif not target.user then
    target.user, target.password = url.user, url.password
  end
  return target
end

local function travel(settings, url, left)
  for hops = 0, settings.redirects do
    local response, err = hop(settings, url, left)
    if not response then return nil, err, url end
    local target, problem
    if settings.redirects > 0 then target, problem = follow(settings, url, response) end
    if problem then return nil, problem, url end
    if not target then
      response.redirects = hops
      return response
    end
    url = target
  end
  local text = ("http: more than %d redirects"):format(settings.redirects)
  return nil, errors.make(text, "UNAVAILABLE", false), url
end

local function prepare(settings, left)
  local ok, err = refuse(settings)
  if not ok then return nil, err end
  settings.method = settings.method or (settings.body and "POST" or "GET")
  if SENDING[settings.method] then settings.body = settings.body or "" end
  settings.lines, err = header_lines(settings.headers)
  if not settings.lines then return nil, err end
  if settings.proxy then
    local proxy, how = proxy_of(settings.proxy, left)
    if not proxy then return nil, errors.wrap(how, "proxy") end
    settings.proxy_url, settings.by_address = proxy, how
  end
  return core.url(settings.url)
end

--- See http.request.
function M.request(opts, url)
  local settings = check_opts(opts, url or opts.url)
  local began, left = time.monotonic(), stream.deadline(settings.timeout)
  local first, err = prepare(settings, left)
  if not first then return nil, err end
  local response, why, at = travel(settings, first, left)
  if response then
    response.time = time.monotonic() - began
    return response
  end
  if stream.is(why, "TIMEOUT") then why = errors.make("timed out", "TIMEOUT", true) end
  return nil, errors.wrap(why, settings.method .. " " .. at.url)
end

return M
