--- The http server against clients that misbehave.
local errors = require("errors")
local http = require("http")
local tcp = require("tcp")

local PATIENCE = { timeout = 30 }

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

  -- What a client gets that was answered, one that is silent, one half of whose body comes.
  local function slow_clients(limit)
    serve(nil, { timeout = limit, idle_timeout = limit, body_timeout = limit })
    local silent, half, idle = connect(), connect(), connect()
    half:write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    idle:write("GET /i HTTP/1.1\r\nHost: x\r\n\r\n")
    local status = read_response(idle) or "none"
    local nothing = silent:read("all", PATIENCE)
    local late = read_response(half) or "none"
    local rest = idle:read("all", PATIENCE)
    for _, conn in ipairs({ silent, half, idle }) do
      conn:close()
    end
    return { status, nothing, late, rest }
  end

  it("does not wait for slow clients for ever", function()
    local got
    for _, limit in ipairs({ 1, 4, 16 }) do -- until nothing else was as slow
      got = slow_clients(limit)
      server:close()
      if got[1] == 200 and got[3] == 408 then break end
    end
    assert.same({ 200, "", 408, "" }, got)
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
