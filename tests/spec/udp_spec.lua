--- udp on loopback.
local udp = require("udp")

local PATIENCE = { timeout = 30 }

describe("udp", function()
  local a, b

  before_each(function()
    a, b = assert(udp.open("127.0.0.1", 0)), assert(udp.open("127.0.0.1"))
  end)
  after_each(function()
    a:close()
    b:close()
  end)

  it("sends and receives", function()
    assert.is_true(a:send("ping", "127.0.0.1", b:port()))
    local bytes, address, port = b:receive(PATIENCE)
    assert.same({ "ping", "127.0.0.1", a:port() }, { bytes, address, port })
    assert.is_true(b:send("", address, port))
    assert.equal("", (a:receive(PATIENCE)))
    local here, number = a:address()
    assert.same({ "127.0.0.1", a:port() }, { here, number })
  end)

  it("looks names up", function()
    assert.is_true(a:send("x", "localhost", b:port(), PATIENCE))
    assert.equal("x", (b:receive(PATIENCE)))
  end)

  it("hands each datagram to one of those who wait, in order", function()
    local got = channel.new(10)
    for i = 1, 3 do
      coroutine.spawn(function()
        got:send(i .. ":" .. tostring((b:receive(PATIENCE))))
      end)
    end
    for i = 1, 3 do
      a:send("m" .. i, "127.0.0.1", b:port())
    end
    local all = {}
    for i = 1, 3 do
      all[i] = got:receive(30)
    end
    table.sort(all)
    assert.same({ "1:m1", "2:m2", "3:m3" }, all)
  end)

  it("waits no longer than it is told", function()
    for _, timeout in ipairs({ 0, 0.01 }) do
      local bytes, err = a:receive({ timeout = timeout })
      assert.is_nil(bytes)
      assert.equal("TIMEOUT", err:kind())
    end
  end)

  it("wakes who waits when it is closed", function()
    local got = channel.new(1)
    coroutine.spawn(function()
      local _, err = a:receive()
      got:send(err:kind())
    end)
    coroutine.spawn(function()
      a:close()
      a:close()
    end)
    assert.equal("CANCELED", (got:receive(30)))
    local _, err = a:send("x", "127.0.0.1", b:port())
    assert.equal("CANCELED", err:kind())
  end)

  it("is not disturbed by a port where nobody listens", function()
    for _ = 1, 3 do
      assert.is_true(a:send("x", "127.0.0.1", 1))
    end
    b:send("still here", "127.0.0.1", a:port())
    assert.equal("still here", (a:receive(PATIENCE)))
  end)

  it("refuses what cannot be sent", function()
    local ok, err = a:send(("x"):rep(70000), "127.0.0.1", b:port())
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
    ok, err = a:send("x", "127.0.0.1", 0)
    assert.is_nil(ok)
    assert.equal("INVALID", err:kind())
    assert.has_error(function() a:send(1, "127.0.0.1", 1) end)
    local socket
    socket, err = udp.open("192.0.2.1", 0)
    assert.is_nil(socket)
    assert.is_string(err:kind())
  end)
end)
