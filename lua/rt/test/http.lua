--- rt.test.http - http for capability tests: responses from the fakes.
-- fakes.http["GET http://x/"] or, for any method, fakes.http["http://x/"]: a response, a body, an
-- error, or a function of the request. SPDX-License-Identifier: MIT
local check = require("rt.check")
local duration = require("rt.duration")
local errors = require("rt.errors")
local fence = require("rt.test.fence")

local M = {}

local TIMEOUT = 30
local MAX_BODY = 16 * 1024 * 1024

local function lower_names(headers)
  local made = {}
  for name, value in pairs(headers or {}) do
    made[name:lower()] = type(value) == "table" and table.concat(value, ", ") or tostring(value)
  end
  return made
end

local function cut(request, response)
  local max = request.max_body or MAX_BODY
  if #response.body <= max then return response end
  if not request.truncate then
    local text = ("http: %s: the body is larger than %d"):format(request.url, max)
    return nil, errors.make(text, "INVALID")
  end
  response.body, response.truncated = response.body:sub(1, max), true
  return response
end

local function answer(world, request, spec, started)
  if type(spec) == "string" then spec = { body = spec } end
  return cut(request, {
    status = spec.status or 200,
    headers = lower_names(spec.headers),
    body = spec.body or "",
    url = spec.url or request.url,
    version = spec.version or "1.1",
    redirects = spec.redirects or 0,
    time = world.time.monotonic() - started,
  })
end

-- A proxy and a chosen address are targets as well.
local function may_ask(world, asked)
  local ok, err = fence.allows_url(world, asked.method, asked.url)
  if ok and asked.address then ok, err = fence.allows(world, "connect to", asked.address) end
  local host, port = tostring(asked.proxy):match("^%w+://%[?([^/%]]-)%]?:(%d+)")
  if ok and host then ok, err = fence.allows(world, "use the proxy", host, tonumber(port)) end
  return ok, err
end

local function request(world, opts, url)
  local asked = {}
  for key, value in pairs(opts) do
    asked[key] = value
  end
  asked.url = url or check.string(opts.url, "url", "request")
  asked.method = opts.method or (opts.body and "POST" or "GET")
  local started = world.time.monotonic()
  local timeout = duration.optional(opts.timeout, "timeout", "request") or TIMEOUT
  local line = asked.method .. " " .. asked.url
  local may, refused = may_ask(world, asked)
  if not may then return nil, refused end
  world:note("http.request " .. line)
  local spec = world:fake("http", { line, asked.url })
  if type(spec) == "function" then spec = spec(asked) end
  if spec == nil then return world:fault("fakes.http: no answer to %s", line) end
  local err = world:failure(spec, "http: " .. asked.url, timeout)
  if err then return nil, err end
  return answer(world, asked, spec, started)
end

function M.install(world)
  world.modules.http = {
    request = function(opts)
      check.table(opts, 1, "request")
      return request(world, opts)
    end,
    get = function(url, opts)
      check.string(url, 1, "get")
      return request(world, check.optional_table(opts, 2, "get") or {}, url)
    end,
    listen = function()
      world:fault("http.listen is not there in a capability test")
    end,
  }
end

return M
