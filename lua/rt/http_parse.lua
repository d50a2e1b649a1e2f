--- rt.http_parse - reading one HTTP/1 request from a stranger.
-- Strict where leniency has been abused: one way to say how long a body is, no folded headers, no
-- space before a colon, bounded lines, headers and bodies, a deadline for each part.
--
--   read(conn, limits, idle) -> request | nil, status to answer with (nil: nothing, just close)
--
-- SPDX-License-Identifier: MIT
local stream = require("rt.stream")

local M = {}

local LINE_MAX = 16 * 1024
local HEADERS_MAX = 64 * 1024
local HEADER_COUNT = 100
local CHUNK_LINE_MAX = 1024
local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"

-- A line before the deadline -> line | nil, status.
local function read_line(conn, left, max, too_long)
  local line, err = conn:read("line", { timeout = left(), max = max })
  if line then
    if line:find("[%z\r]") then return nil, 400 end
    return line
  end
  if stream.is(err, "INVALID") then return nil, too_long end
  if stream.is(err, "TIMEOUT") then return nil, 408 end
  return nil, nil
end

local function parse_target(request)
  local target = request.target
  local rest = target:match("^[hH][tT][tT][pP][sS]?://[^/?#]*(.*)$") or target
  local path, query = rest:match("^([^?#]*)%??([^#]*)")
  if path == "" then path = "/" end
  request.path = path:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end)
  request.query = query ~= "" and query or nil
end

-- "GET /path HTTP/1.1"
local function parse_start(line)
  local method, target, version = line:match("^(%S+) (%S+) HTTP/(%d%.%d)$")
  if not method or not method:find(TOKEN) or target:find("%c") then return nil, 400 end
  if version ~= "1.1" and version ~= "1.0" then return nil, 505 end
  local request = { method = method, target = target, version = version }
  parse_target(request)
  return request
end

local function add_header(headers, line)
  local name, value = line:match("^([^%s:]+):[ \t]*(.-)[ \t]*$")
  if not name or not name:find(TOKEN) then return false end
  if value:find("[%z\1-\8\10-\31\127]") then return false end
  name = name:lower()
  local before = headers[name]
  if before and name == "host" then return false end
  if before and name == "content-length" then return before == value end
  headers[name] = before and before .. (name == "cookie" and "; " or ", ") .. value or value
  return true
end

local function read_headers(conn, left)
  local headers, size, count = {}, 0, 0
  while true do
    local line, status = read_line(conn, left, LINE_MAX, 431)
    if not line then return nil, status end
    if line == "" then return headers end
    size, count = size + #line, count + 1
    if size > HEADERS_MAX or count > HEADER_COUNT then return nil, 431 end
    if not add_header(headers, line) then return nil, 400 end
  end
end

-- How the body is framed -> "none" | "length", n | "chunked" | nil, status
local function framing(request)
  local headers = request.headers
  local length, coding = headers["content-length"], headers["transfer-encoding"]
  if coding then
    if length or request.version == "1.0" then return nil, 400 end
    if coding:lower() ~= "chunked" then return nil, 501 end
    return "chunked"
  end
  if not length then return "none" end
  if not length:find("^%d+$") or #length > 15 then return nil, 400 end
  return "length", tonumber(length)
end

local function read_exact(conn, size, left)
  if size == 0 then return "" end
  local bytes, err = conn:read(size, { timeout = left() })
  if stream.is(err, "TIMEOUT") then return nil, 408 end
  if not bytes or #bytes < size then return nil, nil end
  return bytes
end

local function read_trailers(conn, left)
  for _ = 1, HEADER_COUNT do
    local line, status = read_line(conn, left, LINE_MAX, 431)
    if not line then return nil, status end
    if line == "" then return true end
  end
  return nil, 431
end

local function read_chunked(conn, left, max)
  local parts, total = {}, 0
  while true do
    local line, status = read_line(conn, left, CHUNK_LINE_MAX, 400)
    if not line then return nil, status end
    local digits = line:match("^(%x+)[ \t]*$") or line:match("^(%x+)[ \t]*;")
    if not digits or #digits > 12 then return nil, 400 end
    local size = tonumber(digits, 16)
    if size == 0 then break end
    total = total + size
    if total > max then return nil, 413 end
    parts[#parts + 1], status = read_exact(conn, size, left)
    if not parts[#parts] or status then return nil, status end
    line, status = read_line(conn, left, CHUNK_LINE_MAX, 400)
    if line ~= "" then return nil, line and 400 or status end
  end
  local ok, status = read_trailers(conn, left)
  if not ok then return nil, status end
  return table.concat(parts)
end

local function read_body(conn, request, limits)
  local how, size = framing(request)
  if not how then return nil, size end
  if how == "none" then return "" end
  if size and size > limits.max_body then return nil, 413 end
  local expect = request.headers.expect
  if expect and expect:lower() ~= "100-continue" then return nil, 417 end
  if expect and request.version == "1.1" then
    if not conn:write("HTTP/1.1 100 Continue\r\n\r\n", { timeout = limits.timeout }) then
      return nil, nil
    end
  end
  local left = stream.deadline(limits.body_timeout)
  if how == "chunked" then return read_chunked(conn, left, limits.max_body) end
  return read_exact(conn, size, left)
end

-- The first line; empty ones before it are passed over, as many clients send one. Nothing is
-- answered to who only connected.
local function read_start(conn, idle)
  local left = stream.deadline(idle)
  for _ = 1, 3 do
    local line, status = read_line(conn, left, LINE_MAX, 414)
    if not line then return nil, status ~= 408 and status or nil end
    if line ~= "" then return line end
  end
  return nil, 400
end

--- Read one request. `idle`: seconds to wait for its first line.
function M.read(conn, limits, idle)
  local line, status = read_start(conn, idle)
  if not line then return nil, status end
  local request
  request, status = parse_start(line)
  if not request then return nil, status end
  request.headers, status = read_headers(conn, stream.deadline(limits.timeout))
  if not request.headers then return nil, status end
  if request.version == "1.1" and not request.headers.host then return nil, 400 end
  request.body, status = read_body(conn, request, limits)
  if not request.body then return nil, status end
  return request
end

return M
