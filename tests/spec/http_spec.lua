--- The http client against our server and against peers that misbehave.
local errors = require("errors")
local fixture = require("fixture")
local http = require("http")
local tcp = require("tcp")

local PATIENCE = { timeout = 30 }

describe("http client", function()
  local server, base

  local function serve(handler, opts)
    server = assert(http.listen("127.0.0.1", 0, handler, opts))
    base = (opts and opts.tls and "https" or "http") .. "://127.0.0.1:" .. server:port()
    return base
  end

  -- A server that reads a request's head and then does what `talk` does.
  local function serve_raw(talk)
    server = assert(tcp.listen("127.0.0.1", 0))
    base = "http://127.0.0.1:" .. server:port()
    coroutine.spawn(function()
      while true do
        local conn = server:accept()
        if not conn then return end
        coroutine.spawn(function()
          repeat
            local line = conn:read("line", PATIENCE)
          until not line or line == ""
          talk(conn)
          conn:close()
        end)
      end
    end)
  end

  after_each(function()
    if server then server:close() end
    server = nil
  end)

  it("gets a page", function()
    serve(function(request)
      return {
        status = 201,
        headers = { ["X-Two"] = { "a", "b" }, ["Content-Type"] = "text/plain" },
        body = request.method .. " " .. request.path .. "?" .. tostring(request.query),
      }
    end)
    local response = assert(http.get(base .. "/a/b%20c?q=1#part", PATIENCE))
    assert.equal(201, response.status)
    assert.equal("GET /a/b c?q=1", response.body)
    assert.equal("text/plain", response.headers["content-type"])
    assert.equal("a, b", response.headers["x-two"])
    assert.equal(base .. "/a/b%20c?q=1", response.url)
    assert.equal("1.1", response.version)
    assert.is_true(response.time >= 0 and response.time < 30)
  end)

  it("sends method, headers and body", function()
    serve(function(request)
      local headers = request.headers
      return table.concat({
        request.method,
        headers["x-one"],
        tostring(headers["x-empty"]),
        headers["user-agent"],
        headers["content-length"],
        request.body,
      }, "|")
    end)
    local opts = {
      url = base .. "/",
      method = "PUT",
      headers = { ["X-One"] = { "1", "2" }, ["X-Empty"] = "", ["User-Agent"] = "me" },
      body = "bytes\0and more",
      timeout = 30,
    }
    assert.equal("PUT|1, 2||me|14|bytes\0and more", assert(http.request(opts)).body)
    opts.method, opts.body = "POST", ""
    assert.equal("POST|1, 2||me|0|", assert(http.request(opts)).body)
    local head = assert(http.request({ url = base, method = "HEAD", timeout = 30 }))
    assert.equal("", head.body)
    assert.is_true(tonumber(head.headers["content-length"]) > 0)
  end)

  it("follows redirects, and stops", function()
    serve(function(request)
      local n = tonumber(request.path:match("%d+")) or 0
      if n == 0 then
        return { body = request.method .. request.body .. tostring(request.headers.authorization) }
      end
      local to = n > 1 and "/" .. n - 1 or "../"
      return { status = n > 6 and 307 or 302, headers = { location = to } }
    end)
    local response = assert(http.get(base .. "/3", PATIENCE))
    assert.equal(200, response.status)
    assert.equal(3, response.redirects)
    assert.equal(base .. "/", response.url)
    response = assert(http.request({
      url = base .. "/2",
      body = "x",
      headers = { authorization = "secret" },
      timeout = 30,
    }))
    assert.equal("GETsecret", response.body)
    assert.equal(302, assert(http.get(base .. "/3", { redirects = 0, timeout = 30 })).status)
    assert.equal(302, assert(http.get(base .. "/3", { redirects = false, timeout = 30 })).status)
    local err
    response, err = http.get(base .. "/9", { redirects = 3, timeout = 30 })
    assert.is_nil(response)
    assert.matches("more than 3 redirects", err:message(), 1, true)
  end)

  it("does not carry secrets to another host, nor leave http", function()
    local other = assert(http.listen("127.0.0.1", 0, function(request)
      return tostring(request.headers.authorization) .. tostring(request.headers["x-plain"])
    end))
    serve(function(request)
      local to = "http://127.0.0.1:" .. other:port() .. "/"
      if request.path == "/ftp" then to = "ftp://127.0.0.1/" end
      return { status = 302, headers = { location = to } }
    end)
    local headers = { authorization = "secret", ["x-plain"] = "kept" }
    assert.equal("nilkept", assert(http.get(base, { headers = headers, timeout = 30 })).body)
    local response, err = http.get(base .. "/ftp", PATIENCE)
    assert.is_nil(response)
    assert.equal("INVALID", err:kind())
    other:close()
  end)

  it("sends the name and password of the URL", function()
    serve(function(request) return tostring(request.headers.authorization) end)
    local url = base:gsub("//", "//me:pa%%3Ass@")
    local response = assert(http.get(url, PATIENCE))
    assert.equal("Basic bWU6cGE6c3M=", response.body)
    assert.equal(base .. "/", response.url)
  end)

  it("bounds the body", function()
    serve(function() return ("x"):rep(100000) end)
    assert.equal(100000, #assert(http.get(base, { max_body = 100000, timeout = 30 })).body)
    local response, err = http.get(base, { max_body = 99999, timeout = 30 })
    assert.is_nil(response)
    assert.equal("INVALID", err:kind())
    response = assert(http.get(base, { max_body = 10, truncate = true, timeout = 30 }))
    assert.same({ "xxxxxxxxxx", true, 200 }, { response.body, response.truncated, response.status })
  end)

  it("connects to the address it is told, by any name", function()
    serve(function(request) return request.headers.host end)
    local port = server:port()
    local opts = { address = "127.0.0.1", timeout = 30 }
    local response = assert(http.get("http://site.test:" .. port .. "/", opts))
    assert.equal("site.test:" .. port, response.body)
    assert.equal("localhost:" .. port, assert(http.get("http://localhost:" .. port, PATIENCE)).body)
  end)

  it("goes through a proxy, which looks the name up", function()
    serve(function(request) return request.target end)
    local opts = { proxy = "http://localhost:" .. server:port(), timeout = 30 }
    local response = assert(http.get("http://far.test/x", opts))
    assert.equal("http://far.test/x", response.body)
  end)

  it("goes through a proxy's tunnel to a secure server", function()
    serve(function(request) return request.headers.host end, {
      tls = { certificate = fixture.read("tls/server.pem"), key = fixture.read("tls/server.key") },
    })
    local proxy = assert(tcp.listen("127.0.0.1", 0))
    local asked
    local function relay(from, to)
      while true do
        local bytes = from:read()
        if not bytes or not to:write(bytes) then break end
      end
      to:shutdown()
    end
    coroutine.spawn(function()
      local conn = proxy:accept()
      asked = conn:read("line", PATIENCE)
      repeat
        local line = conn:read("line", PATIENCE)
      until not line or line == ""
      local far = assert(tcp.connect("127.0.0.1", server:port(), PATIENCE))
      conn:write("HTTP/1.1 200 go on\r\n\r\n")
      coroutine.spawn(relay, conn, far)
      relay(far, conn)
    end)
    local response = assert(http.get("https://good.test:4443/", {
      proxy = "127.0.0.1:" .. proxy:port(),
      ca_file = fixture.path("tls/ca.pem"),
      timeout = 30,
    }))
    assert.equal("good.test:4443", response.body)
    assert.equal("CONNECT good.test:4443 HTTP/1.1", asked)
    proxy:close()
  end)

  it("verifies certificates unless told not to", function()
    serve(function() return "secure" end, {
      tls = { certificate = fixture.read("tls/server.pem"), key = fixture.read("tls/server.key") },
    })
    local response, err = http.get(base, PATIENCE)
    assert.is_nil(response)
    assert.equal("PERMISSION_DENIED", err:kind())
    assert.equal("secure", assert(http.get(base, { verify = false, timeout = 30 })).body)
    local ca = fixture.path("tls/ca.pem")
    assert.equal("secure", assert(http.get(base, { ca_file = ca, timeout = 30 })).body)
    local named = "https://good.test:" .. server:port()
    local opts = { ca_file = ca, address = "127.0.0.1", timeout = 30 }
    assert.equal("secure", assert(http.get(named, opts)).body)
    local wrong = "https://bad.test:" .. server:port()
    response, err = http.get(wrong, opts)
    assert.is_nil(response)
    assert.equal("PERMISSION_DENIED", err:kind())
  end)

  it("reads what servers send in odd ways", function()
    local cases = {
      { "HTTP/1.0 200 OK\r\n\r\nto the end", "to the end" },
      {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
          .. "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
        "abcde",
      },
      { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok" },
      { "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "" },
      { "HTTP/1.1 200 OK\nA: 1\nContent-Length: 1\n\nz", "z" },
    }
    for i, case in ipairs(cases) do
      serve_raw(function(conn) conn:write(case[1]) end)
      local response, err = http.get(base, PATIENCE)
      assert.is_truthy(response, i .. ": " .. tostring(err))
      assert.equal(case[2], response.body)
      assert.equal(200, response.status)
      server:close()
    end
  end)

  it("survives servers that send garbage", function()
    local cases = {
      "SSH-2.0-OpenSSH_9.2\r\n",
      "\0\1\2\3",
      "",
      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    }
    for i, case in ipairs(cases) do
      serve_raw(function(conn) conn:write(case) end)
      local response, err = http.get(base, PATIENCE)
      assert.is_nil(response, i)
      assert.equal("UNAVAILABLE", err:kind())
      server:close()
    end
  end)

  it("refuses endless headers", function()
    serve_raw(function(conn)
      conn:write("HTTP/1.1 200 OK\r\n")
      local line = "X-Filler: " .. ("x"):rep(8000) .. "\r\n"
      for _ = 1, 1000 do
        if not conn:write(line, PATIENCE) then return end
      end
    end)
    local response, err = http.get(base, PATIENCE)
    assert.is_nil(response)
    assert.is_true(errors.is(err, "INVALID") or errors.is(err, "UNAVAILABLE"), tostring(err))
  end)

  it("waits no longer than it is told", function()
    local starts = {
      "",
      "HTTP/1.1 200 OK\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
    }
    for _, start in ipairs(starts) do
      local hold = channel.new()
      serve_raw(function(conn)
        conn:write(start)
        hold:receive(30)
      end)
      local response, err = http.get(base, { timeout = 0.2 })
      assert.is_nil(response)
      assert.equal("TIMEOUT", err:kind())
      assert.matches("GET " .. base, err:message(), 1, true)
      hold:close()
      server:close()
    end
  end)

  it("says who cannot be reached", function()
    local response, err = http.get("http://127.0.0.1:1/", PATIENCE)
    assert.is_nil(response)
    assert.equal("UNAVAILABLE", err:kind())
    response, err = http.get("http://a..b/", PATIENCE)
    assert.is_nil(response)
    assert.equal("INVALID", err:kind())
  end)

  it("makes many requests at once", function()
    serve(function(request) return request.path end)
    local done = channel.new(100)
    for i = 1, 100 do
      coroutine.spawn(function()
        local response, err = http.get(base .. "/" .. i, PATIENCE)
        done:send(response and response.body == "/" .. i or tostring(err))
      end)
    end
    for _ = 1, 100 do
      assert.is_true((done:receive(30)))
    end
  end)

  it("refuses what is no request", function()
    for _, opts in ipairs({
      { url = "" },
      { url = "http://" },
      { url = "ftp://127.0.0.1/" },
      { url = "http://127.0.0.1:99999/" },
      { url = "http://x/", method = "BAD METHOD" },
      { url = "http://x/", headers = { ["X: y"] = "1" } },
      { url = "http://x/", headers = { x = "1\r\nInjected: 1" } },
      { url = "http://x/", address = "name" },
      { url = "http://x/", redirects = -1 },
      { url = "http://x/", version = "9" },
    }) do
      local response, err = http.request(opts)
      assert.is_nil(response)
      assert.equal("INVALID", err:kind())
    end
    assert.has_error(function() http.get(nil) end)
    assert.has_error(function() http.request({ url = "http://x/", headers = { x = true } }) end)
    assert.has_error(function() http.request({ url = "http://x/", timeout = "soon" }) end)
  end)
end)
