--- Tests of http-probe; run with `runtime test scripts`.
-- SPDX-License-Identifier: MIT
local function port(value, metadata)
  return { class = "port", value = value, metadata = metadata }
end

local place = { address = "192.0.2.7", port = 8080, name = "www.example.test" }
local named = port("192.0.2.7:8080", place)

return {
  capability = "http-probe.lua",
  cases = {
    {
      name = "a plain server, under the name the port is known by",
      asset = named,
      fakes = {
        http = {
          ["https://www.example.test:8080/"] = "reset",
          ["GET http://www.example.test:8080/"] = {
            status = 200,
            headers = { Server = "nginx/1.25", ["X-Powered-By"] = "Lua" },
            body = "<html><title> Hello\n world </title>",
          },
        },
      },
      expect = {
        {
          class = "url",
          value = "http://www.example.test:8080/",
          metadata = { status = 200, title = "Hello world", server = "nginx/1.25" },
        },
        { class = "technology", value = "nginx/1.25", metadata = { header = "server" } },
        { class = "technology", value = "Lua", metadata = { header = "x-powered-by" } },
      },
      calls = {
        "http.request GET https://www.example.test:8080/",
        "http.request GET http://www.example.test:8080/",
      },
    },
    {
      name = "TLS is tried first, and a redirect is told, not followed",
      asset = port("192.0.2.7:443"),
      fakes = {
        http = {
          ["https://192.0.2.7/"] = { status = 301, headers = { Location = "https://x.test/" } },
        },
      },
      expect = {
        {
          class = "url",
          value = "https://192.0.2.7/",
          metadata = { status = 301, location = "https://x.test/" },
        },
      },
      calls = { "http.request GET https://192.0.2.7/" },
    },
    {
      name = "no web server, nothing found",
      asset = port("192.0.2.7:22"),
      fakes = { http = { ["*"] = "reset" } },
      expect = {},
    },
    {
      name = "a slow one gets another try",
      asset = port("192.0.2.7:80"),
      fakes = { http = { ["*"] = "timeout" } },
      state = "retrying",
      error = { kind = "TIMEOUT" },
      check = function(result)
        assert(result.time == 5, "the time-out of the options")
      end,
    },
    {
      name = "and only one",
      asset = port("192.0.2.7:80"),
      attempt = 2,
      fakes = { http = { ["*"] = "timeout" } },
      expect = {},
    },
    {
      name = "an IPv6 address in brackets",
      asset = port("[2001:db8::7]:80"),
      fakes = {
        http = { ["https://[2001:db8::7]:80/"] = "reset", ["http://[2001:db8::7]/"] = "hi" },
      },
      expect = { { class = "url", value = "http://[2001:db8::7]/", metadata = { status = 200 } } },
    },
    { name = "what is no port", asset = port("nowhere"), reason = "not ADDRESS:PORT" },
  },
}
