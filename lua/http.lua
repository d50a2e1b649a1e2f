--- http - requests, and a small server.
--
--   local page = assert(http.get("https://example.org/", { timeout = "10s" }))
--   print(page.status, page.headers["content-type"], #page.body)
--
--   local server = assert(http.listen("127.0.0.1", 8080, function(request)
--     return { status = 200, body = "you asked for " .. request.path }
--   end))
--
-- SPDX-License-Identifier: MIT
local check = require("rt.check")
local client = require("rt.http_client")
local server = require("rt.http_server")

local M = {}

---@class rt.HttpOptions
---@field url string
---@field method string?          "GET", or "POST" when there is a body
---@field headers table?          name -> value, or list of values
---@field body string?
---@field timeout number|string?  for everything together; 30 s
---@field verify boolean?         check the certificate (true)
---@field ca_file string?         PEM file to check it against, instead of the system's
---@field redirects integer?      how many are followed (10); 0: the redirect itself is the response
---@field proxy string?           URL of a proxy; the environment's are not used
---@field max_body integer?       bytes (16 MB); a larger body is an error, or with `truncate` cut
---@field truncate boolean?
---@field address string?         connect there instead of looking the host up
---@field version string?         "1.0", "1.1" or "2"; what both sides can by default

---@class rt.HttpResponse
---@field status integer
---@field headers table<string, string>  names in lower case, several values joined by ", "
---@field body string
---@field truncated boolean?  the body was cut at max_body
---@field url string          the last one asked
---@field version string      "1.0", "1.1" or "2"
---@field time number         seconds from the call to the end of the body
---@field redirects integer   how many were followed

--- Make a request. Any answer is a response, also 404 and 500.
---@param opts rt.HttpOptions
---@return rt.HttpResponse? response, rt.Error? err
function M.request(opts)
  check.table(opts, 1, "request")
  return client.request(opts)
end

--- The same with method GET (or opts.method).
---@param url string
---@param opts rt.HttpOptions?
function M.get(url, opts)
  check.string(url, 1, "get")
  return client.request(check.optional_table(opts, 2, "get") or {}, url)
end

---@class rt.HttpServerOptions
---@field timeout number|string?        for a request's head, and for each write (30 s)
---@field body_timeout number|string?   for a request's body (60 s)
---@field idle_timeout number|string?   between requests (60 s)
---@field max_body integer?             bytes of a request's body (16 MB)
---@field max_connections integer?      at once (1024); more wait to be accepted
---@field tls {certificate:string, key:string}?  PEM text

--- Serve HTTP/1.1. `handler` gets {method, target, path, query, version, headers, body, peer} and
-- returns {status=, headers=, body=} or a body; it may wait. What it raises is answered with 500.
---@param host string
---@param port integer  0 chooses a free one
---@param handler fun(request:table):table|string
---@param opts rt.HttpServerOptions?
---@return rt.HttpServer? server, rt.Error? err
function M.listen(host, port, handler, opts)
  check.string(host, 1, "listen")
  check.integer(port, 2, "listen")
  check.func(handler, 3, "listen")
  return server.listen(host, port, handler, check.optional_table(opts, 4, "listen") or {})
end

return M
