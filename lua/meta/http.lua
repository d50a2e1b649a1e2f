---@meta http
-- What editors know of HTTP: local http = require("http"). SPDX-License-Identifier: MIT

---@class rt.HttpOptions
---@field url string?
---@field method string?         "GET", or "POST" when there is a body
---@field headers table<string, string|string[]>?
---@field body string?
---@field timeout rt.Duration?   for everything together; 30 s
---@field verify boolean?        check the certificate (true)
---@field ca_file string?        PEM file to check it against, instead of the system's
---@field redirects integer?     how many are followed (10); 0: the redirect is the response
---@field proxy string?          URL of a proxy
---@field max_body integer?      bytes (16 MB)
---@field truncate boolean?      cut a larger body instead of failing
---@field address string?        connect there instead of looking the host up
---@field version "1.0"|"1.1"|"2"|nil

---@class rt.HttpResponse
---@field status integer
---@field headers table<string, string>  names in lower case
---@field body string
---@field truncated boolean?
---@field url string          the last one asked
---@field version string
---@field time number         seconds
---@field redirects integer

---@class rt.HttpRequest
---@field method string
---@field target string
---@field path string
---@field query string?
---@field version string
---@field headers table<string, string>
---@field body string
---@field peer { address: string, port: integer }

---@class rt.HttpAnswer
---@field status integer?  200
---@field headers table<string, string|string[]>?
---@field body string?

---@class rt.HttpServerOptions
---@field timeout rt.Duration?       for a request's head, and for each write (30 s)
---@field body_timeout rt.Duration?  for a request's body (60 s)
---@field idle_timeout rt.Duration?  between requests (60 s)
---@field max_body integer?          bytes (16 MB)
---@field max_connections integer?   at once (1024)
---@field tls { certificate: string, key: string }?  PEM text

---@class rt.HttpServer
local HttpServer = {}

---@return integer
function HttpServer:port() end

---@return string address, integer port
function HttpServer:address() end

--- Take no more connections; requests that are being handled are answered.
---@return true
function HttpServer:close() end

---@class rt.http
local http = {}

--- Make a request. Any answer is a response, also 404 and 500.
---@param opts rt.HttpOptions
---@return rt.HttpResponse? response, rt.Error? err
function http.request(opts) end

--- The same with method GET (or opts.method).
---@param url string
---@param opts rt.HttpOptions?
---@return rt.HttpResponse? response, rt.Error? err
function http.get(url, opts) end

--- Serve HTTP/1.1. What the handler raises is logged and answered with 500.
---@param host string
---@param port integer  0 chooses a free one
---@param handler fun(request: rt.HttpRequest): rt.HttpAnswer|string
---@param opts rt.HttpServerOptions?
---@return rt.HttpServer? server, rt.Error? err
function http.listen(host, port, handler, opts) end

return http
