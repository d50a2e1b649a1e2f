--- http: the client against our server and against peers that misbehave, the server likewise.
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
    local hold = channel.new(0)
    local starts = {
      "",
      "HTTP/1.1 200 OK\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
    }
    for _, start in ipairs(starts) do
      serve_raw(function(conn)
        conn:write(start)
        hold:receive(30)
      end)
      local response, err = http.get(base, { timeout = 0.2 })
      assert.is_nil(response)
      assert.equal("TIMEOUT", err:kind())
      assert.matches("GET " .. base, err:message(), 1, true)
      hold:send(true)
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

describe("http server", function()
  local server

  local function serve(handler, opts)
    server = assert(http.listen("127.0.0.1", 0, handler or function(request)
      return request.method .. " " .. request.path .. " " .. request.body
    end, opts))
  end

  local function connect()
    return assert(tcp.connect("127.0.0.1", server:port(), PATIENCE))
  end

  -- status and body of a response on `conn`
  local function read_response(conn)
    local status = tonumber((conn:read("line", PATIENCE) or ""):match("^HTTP/1.1 (%d+) "))
    local length = 0
    local line
    repeat
      line = conn:read("line", PATIENCE)
      length = tonumber(line and line:match("^content%-length: (%d+)")) or length
    until not line or line == ""
    return status, length > 0 and conn:read(length, PATIENCE) or ""
  end

  -- Sends bytes, answers status, body, and whether the connection was closed after it.
  local function ask(bytes)
    local conn = connect()
    conn:write(bytes)
    local status, body = read_response(conn)
    conn:shutdown()
    local rest = conn:read("all", PATIENCE)
    conn:close()
    return status, body, rest
  end

  after_each(function()
    server:close()
  end)

  it("keeps connections, and answers pipelined requests in order", function()
    serve()
    local conn = connect()
    conn:write("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
      .. "POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
      .. "GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    for _, expected in ipairs({ "GET /1 ", "POST /2 abc", "GET /3 " }) do
      local status, body = read_response(conn)
      assert.same({ 200, expected }, { status, body })
    end
    assert.equal("", conn:read("all", PATIENCE))
    conn:close()
  end)

  it("takes chunked bodies, and bytes that come one by one", function()
    serve()
    local conn = connect()
    local bytes = "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      .. "5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
    for i = 1, #bytes do
      conn:write(bytes:sub(i, i))
    end
    local status, body = read_response(conn)
    assert.same({ 200, "POST /c hello world" }, { status, body })
    conn:close()
  end)

  it("says that it goes on before a large body", function()
    serve()
    local conn = connect()
    conn:write("POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert.equal("HTTP/1.1 100 Continue", conn:read("line", PATIENCE))
    conn:read("line", PATIENCE)
    conn:write("ok")
    local status, body = read_response(conn)
    assert.same({ 200, "POST /e ok" }, { status, body })
    conn:close()
  end)

  it("speaks with old clients", function()
    serve()
    local status, body, rest = ask("GET /old HTTP/1.0\r\n\r\n")
    assert.same({ 200, "GET /old ", "" }, { status, body, rest })
  end)

  it("refuses what is malformed or too large", function()
    serve(nil, { max_body = 10 })
    local start = "POST / HTTP/1.1\r\nHost: x\r\n"
    local cases = {
      { "hello\r\n\r\n", 400 },
      { "GET / HTTP/2.0\r\n\r\n", 505 },
      { "GET / HTTP/1.1\r\n\r\n", 400 },
      { "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400 },
      { "GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400 },
      { "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400 },
      { "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400 },
      { "GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400 },
      { start .. "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
      { start .. "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400 },
      { start .. "Content-Length: +1\r\n\r\n", 400 },
      { start .. "Content-Length: 11\r\n\r\n", 413 },
      { start .. "Transfer-Encoding: gzip, chunked\r\n\r\n", 501 },
      { start .. "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400 },
      { start .. "Transfer-Encoding: chunked\r\n\r\n5\r\nhello6\r\n", 400 },
      { start .. "Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n6\r\n", 413 },
      { start .. "Expect: magic\r\nContent-Length: 1\r\n\r\n", 417 },
      { "GET /" .. ("x"):rep(20000) .. " HTTP/1.1\r\n\r\n", 414 },
      { "GET / HTTP/1.1\r\nHost: x\r\nA: " .. ("x"):rep(20000) .. "\r\n\r\n", 431 },
      { "GET / HTTP/1.1\r\nHost: x\r\n" .. ("A: b\r\n"):rep(101) .. "\r\n", 431 },
      {
        "GET / HTTP/1.1\r\nHost: x\r\n" .. ("A: " .. ("b"):rep(9000) .. "\r\n"):rep(9) .. "\r\n",
        431,
      },
    }
    for _, case in ipairs(cases) do
      local status, _, rest = ask(case[1])
      assert.equal(case[2], status, case[1]:sub(1, 80))
      assert.equal("", rest)
    end
    assert.equal(200, (ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")))
  end)

  -- Requests with random damage: each is answered or hung up on, and the server goes on.
  it("survives damaged requests", function()
    serve(nil, { timeout = 5, body_timeout = 5 })
    local seed = 42
    local function random(n)
      seed = (seed * 1103515245 + 12345) % 2147483648
      return math.floor(seed / 65536) % n + 1
    end
    local originals = {
      "GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    }
    local pieces = { "\r\n", "\n", "\0", ":", " ", "\255", "9999999999", "chunked", "HTTP/1.1", "" }
    for _ = 1, 300 do
      local bytes = originals[random(#originals)]
      for _ = 1, random(4) do
        local at = random(#bytes)
        bytes = bytes:sub(1, at - 1) .. pieces[random(#pieces)] .. bytes:sub(at + random(3) - 1)
      end
      local conn = connect()
      conn:write(bytes)
      conn:shutdown()
      local answer, err = conn:read("all", PATIENCE)
      assert.is_true(answer == "" or (answer or ""):find("^HTTP/1.1 %d%d%d ") ~= nil, tostring(err))
      conn:close()
    end
    assert.equal(200, (ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")))
  end)

  it("answers 500 for a handler that fails, and serves on", function()
    serve(function(request)
      if request.path == "/raise" then error("on purpose") end
      if request.path == "/object" then error(errors.new("on purpose")) end
      if request.path == "/nil" then return nil end
      if request.path == "/status" then return { status = 99 } end
      if request.path == "/body" then return { body = {} } end
      if request.path == "/split" then return { headers = { a = "1\r\nb: 2" } } end
      return "fine"
    end)
    for _, path in ipairs({ "/raise", "/object", "/nil", "/status", "/body", "/split" }) do
      local status, body = ask("GET " .. path .. " HTTP/1.1\r\nHost: x\r\n\r\n")
      assert.equal(500, status, path)
      assert.is_nil(body:find("on purpose", 1, true))
    end
    local _, body = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert.equal("fine", body)
  end)

  it("lets handlers wait side by side", function()
    local gate, waiting = channel.new(0), 0
    serve(function()
      waiting = waiting + 1
      if waiting == 3 then
        for _ = 1, 2 do gate:send(true) end
      else
        gate:receive(30)
      end
      return "done"
    end)
    local done = channel.new(3)
    for _ = 1, 3 do
      coroutine.spawn(function()
        local _, body = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        done:send(body)
      end)
    end
    for _ = 1, 3 do
      assert.equal("done", (done:receive(30)))
    end
  end)

  it("does not wait for slow clients for ever", function()
    serve(nil, { timeout = 1, idle_timeout = 1, body_timeout = 1 })
    local silent, half, idle = connect(), connect(), connect()
    half:write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    idle:write("GET /i HTTP/1.1\r\nHost: x\r\n\r\n")
    assert.equal(200, (read_response(idle)))
    assert.equal("", silent:read("all", PATIENCE))
    assert.equal(408, (read_response(half)))
    assert.equal("", idle:read("all", PATIENCE))
    for _, conn in ipairs({ silent, half, idle }) do
      conn:close()
    end
  end)

  it("bounds its connections", function()
    serve(nil, { max_connections = 2 })
    local conns = {}
    for i = 1, 3 do
      conns[i] = connect()
      conns[i]:write("GET /" .. i .. " HTTP/1.1\r\nHost: x\r\n\r\n")
    end
    assert.equal(200, (read_response(conns[1])))
    assert.equal(200, (read_response(conns[2])))
    local bytes, err = conns[3]:read({ timeout = 0.1 })
    assert.is_nil(bytes)
    assert.equal("TIMEOUT", err:kind())
    conns[1]:close()
    assert.equal(200, (read_response(conns[3])))
    conns[2]:close()
    conns[3]:close()
  end)

  it("closes: idle connections at once, busy ones after their answer", function()
    local gate, busy = channel.new(0), channel.new(1)
    serve(function(request)
      if request.path == "/busy" then
        busy:send(true)
        gate:receive(30)
      end
      return request.path
    end)
    local idle, working = connect(), connect()
    idle:write("GET /idle HTTP/1.1\r\nHost: x\r\n\r\n")
    assert.equal(200, (read_response(idle)))
    working:write("GET /busy HTTP/1.1\r\nHost: x\r\n\r\n")
    assert.is_true((busy:receive(30)))
    server:close()
    server:close()
    assert.equal("", idle:read("all", PATIENCE))
    gate:send(true)
    local _, body = read_response(working)
    assert.equal("/busy", body)
    assert.equal("", working:read("all", PATIENCE))
    idle:close()
    working:close()
    local conn, err = tcp.connect("127.0.0.1", server:port(), PATIENCE)
    assert.is_nil(conn)
    assert.equal("UNAVAILABLE", err:kind())
  end)

  it("says what cannot be", function()
    serve()
    local other, err = http.listen("127.0.0.1", server:port(), function() end)
    assert.is_nil(other)
    assert.equal("CONFLICT", err:kind())
    assert.has_error(function() http.listen("127.0.0.1", 0) end)
  end)
end)
