--- tls against servers of our own on loopback; certificates in tests/data/tls.
local fixture = require("fixture")
local tcp = require("tcp")
local tls = require("tls")

local PATIENCE = { timeout = 30 }
local CA = fixture.path("tls/ca.pem")

local function pair(name)
  return {
    certificate = fixture.read("tls/" .. name .. ".pem"),
    key = fixture.read("tls/" .. name .. ".key"),
  }
end

describe("tls", function()
  local server

  -- A server whose connections are given to `talk`, each in a coroutine.
  local function serve(opts, talk)
    server = assert(tls.listen("127.0.0.1", 0, opts))
    coroutine.spawn(function()
      while true do
        local conn = server:accept()
        if not conn then return end
        coroutine.spawn(function()
          talk(conn)
          conn:close()
        end)
      end
    end)
    return server:port()
  end

  -- A plain TCP server: what a stranger may do instead of TLS.
  local function serve_plain(talk)
    server = assert(tcp.listen("127.0.0.1", 0))
    coroutine.spawn(function()
      local conn = server:accept()
      if conn then
        talk(conn)
        conn:close()
      end
    end)
    return server:port()
  end

  local function echo(conn)
    local line = conn:read("line", PATIENCE)
    if line then conn:write("<" .. line .. ">") end
  end

  local function connect(port, opts)
    opts = opts or {}
    opts.timeout = opts.timeout or 30
    return tls.connect("127.0.0.1", port, opts)
  end

  after_each(function()
    server:close()
  end)

  it("verifies chain and name, and talks", function()
    local port = serve(pair("server"), echo)
    for _, name in ipairs({ "good.test", "any.wild.test", "127.0.0.1" }) do
      local conn = assert(connect(port, { server_name = name, ca_file = CA }))
      local tls_info = conn:tls()
      assert.is_true(tls_info.verified)
      assert.matches("^TLSv1", tls_info.version)
      conn:write("hello\n")
      assert.equal("<hello>", conn:read("all", PATIENCE))
      conn:close()
    end
    local conn = assert(tls.connect("localhost", port, { ca_file = CA, timeout = 30 }))
    conn:close()
  end)

  it("refuses a stranger's certificate, and says why", function()
    local port = serve(pair("self"), echo)
    local conn, err = connect(port)
    assert.is_nil(conn)
    assert.equal("PERMISSION_DENIED", err:kind())
    assert.matches("self-signed", err:message(), 1, true)
    assert.is_false(err:retryable())
  end)

  it("refuses a good certificate of another name", function()
    local port = serve(pair("server"), echo)
    for _, name in ipairs({ "bad.test", "deep.er.wild.test", "127.0.0.2" }) do
      local conn, err = connect(port, { server_name = name, ca_file = CA })
      assert.is_nil(conn)
      assert.equal("PERMISSION_DENIED", err:kind())
      assert.matches("mismatch", err:message(), 1, true)
    end
  end)

  it("shows the certificates from leaf to root", function()
    local port = serve(pair("server"), echo)
    for _, opts in ipairs({ { verify = false }, { ca_file = CA } }) do
      local conn = assert(connect(port, opts))
      local list = conn:certificates()
      conn:close()
      assert.equal(2, #list)
      assert.equal("CN=good.test,O=Test", list[1].subject)
      assert.equal("CN=Test CA,O=Test", list[1].issuer)
      assert.same({ "good.test", "*.wild.test", "localhost", "127.0.0.1", "::1" }, list[1].sans)
      assert.equal(1577836800, list[1].not_before)
      assert.equal(4733510400, list[1].not_after)
      assert.matches("^" .. ("%x"):rep(64) .. "$", list[1].sha256)
      assert.matches("^%-%-%-%-%-BEGIN CERTIFICATE", list[1].pem)
      assert.equal(list[1].issuer, list[2].subject)
      assert.equal(0, #list[2].sans)
      assert.equal(2, #conn:certificates())
    end
  end)

  it("looks at what it does not trust when told so", function()
    local port = serve(pair("self"), echo)
    local conn = assert(connect(port, { verify = false, server_name = "self.test" }))
    local leaf = conn:certificates()[1]
    assert.equal("CN=self.test,O=Zeichen äöü", leaf.subject)
    assert.same({ "self.test", "hidden.self.test" }, leaf.sans)
    assert.is_false(conn:tls().verified)
    conn:close()
  end)

  it("agrees on a protocol", function()
    local opts = pair("server")
    opts.alpn = { "h2", "http/1.1" }
    local port = serve(opts, echo)
    local conn = assert(connect(port, { verify = false, alpn = { "http/1.1", "spdy/3" } }))
    assert.equal("http/1.1", conn:tls().alpn)
    conn:close()
    conn = assert(connect(port, { verify = false }))
    assert.is_nil(conn:tls().alpn)
    conn:close()
  end)

  it("carries megabytes both ways", function()
    local size = 4 * 1024 * 1024
    local port = serve(pair("server"), function(conn)
      local bytes = conn:read(size, PATIENCE)
      conn:write(bytes:reverse())
      conn:shutdown()
    end)
    local conn = assert(connect(port, { verify = false }))
    local bytes = ("0123456789abcdef"):rep(size / 16)
    coroutine.spawn(function() conn:write(bytes) end)
    assert.is_true(conn:read("all", PATIENCE) == bytes:reverse())
    conn:close()
  end)

  it("does not take plain text for TLS", function()
    local cases = {
      "220 mail.test ESMTP\r\n",
      ("\0"):rep(64),
      "\22\3\1\255\255" .. ("x"):rep(70000),
    }
    for _, garbage in ipairs(cases) do
      local port = serve_plain(function(conn)
        conn:write(garbage, PATIENCE)
        conn:read("all", PATIENCE)
      end)
      local conn, err = connect(port, { verify = false })
      assert.is_nil(conn)
      assert.equal("UNAVAILABLE", err:kind())
      assert.matches("tls: ", err:message(), 1, true)
      server:close()
    end
  end)

  it("does not wait for a silent peer for ever, nor for one that leaves", function()
    local hold = channel.new(1)
    local port = serve_plain(function() hold:receive(30) end)
    local conn, err = connect(port, { timeout = 0.1 })
    assert.is_nil(conn)
    assert.equal("TIMEOUT", err:kind())
    hold:send(true)
    server:close()
    port = serve_plain(function(peer) peer:read(1, PATIENCE) end)
    conn, err = connect(port)
    assert.is_nil(conn)
    assert.equal("UNAVAILABLE", err:kind())
  end)

  it("serves on after a client that speaks no TLS", function()
    local port = serve(pair("server"), echo)
    local stranger = assert(tcp.connect("127.0.0.1", port, PATIENCE))
    stranger:write("GET / HTTP/1.0\r\n\r\n")
    assert.is_string(stranger:read("all", PATIENCE))
    stranger:close()
    local conn = assert(connect(port, { verify = false }))
    conn:write("x\n")
    assert.equal("<x>", conn:read("all", PATIENCE))
    conn:close()
  end)

  it("closes a connection whose upgrade fails", function()
    local port = serve_plain(function(conn)
      conn:write("plain\n")
      conn:read("all", PATIENCE)
    end)
    local conn = assert(tcp.connect("127.0.0.1", port, PATIENCE))
    local _, err = conn:certificates()
    assert.equal("INVALID", err:kind())
    assert.equal("plain", conn:read("line", PATIENCE))
    local ok
    ok, err = tls.upgrade(conn, { timeout = 0.1 })
    assert.is_nil(ok)
    assert.equal("TIMEOUT", err:kind())
    assert.is_nil(conn:address())
  end)

  it("says what is wrong with a server's certificate", function()
    server = assert(tls.listen("127.0.0.1", 0, { certificate = "no pem", key = "no pem" }))
    coroutine.spawn(function() connect(server:port(), { timeout = 5 }) end)
    local conn, err = server:accept(PATIENCE)
    assert.is_nil(conn)
    assert.equal("INVALID", err:kind())
  end)

  it("refuses what makes no sense", function()
    local port = serve(pair("server"), echo)
    assert.has_error(function() tls.connect("127.0.0.1", port, { alpn = { "" } }) end)
    assert.has_error(function() tls.connect("127.0.0.1", port, { verify = 1 }) end)
    local conn, err = connect(port, { ca_file = "/no/such/file.pem" })
    assert.is_nil(conn)
    assert.equal("INVALID", err:kind())
  end)
end)
