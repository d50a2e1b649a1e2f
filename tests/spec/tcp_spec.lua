--- tcp on loopback: reading, writing, and peers that misbehave.
local tcp = require("tcp")
local time = require("time")

local PATIENCE = { timeout = 30 }

local function with(opts)
  opts.timeout = opts.timeout or 30
  return opts
end

describe("tcp", function()
  local server, client, peer

  before_each(function()
    server = assert(tcp.listen("127.0.0.1", 0))
    client = assert(tcp.connect("127.0.0.1", server:port(), PATIENCE))
    peer = assert(server:accept(PATIENCE))
  end)
  after_each(function()
    client:close()
    peer:close()
    server:close()
  end)

  it("knows both ends", function()
    local address, port = client:peer()
    assert.same({ "127.0.0.1", server:port() }, { address, port })
    local own, own_port = client:address()
    local seen, seen_port = peer:peer()
    assert.same({ own, own_port }, { seen, seen_port })
  end)

  it("reads what is there", function()
    client:write("some bytes")
    assert.equal("some", client and peer:read(4, PATIENCE))
    assert.equal(" bytes", peer:read(PATIENCE))
    client:write("abcdef")
    assert.equal("ab", peer:read(nil, with({ max = 2 })))
    assert.equal("cdef", peer:read(nil, PATIENCE))
    client:close()
    local bytes, err = peer:read(PATIENCE)
    assert.is_nil(bytes)
    assert.is_nil(err)
  end)

  it("reads so many bytes, fewer only at the end", function()
    client:write("abc")
    coroutine.spawn(function()
      client:write("defgh")
      client:close()
    end)
    assert.equal("", peer:read(0, PATIENCE))
    assert.equal("abcdef", peer:read(6, PATIENCE))
    assert.equal("gh", peer:read(6, PATIENCE))
    assert.is_nil(peer:read(6, PATIENCE))
  end)

  it("reads lines", function()
    client:write("one\r\ntwo\n\n\r\nlast")
    client:shutdown()
    local lines = {}
    for line in peer:lines(PATIENCE) do
      lines[#lines + 1] = line
    end
    assert.same({ "one", "two", "", "", "last" }, lines)
  end)

  it("refuses a line that is too long, and goes on", function()
    client:write(("x"):rep(200) .. "\nnext\n")
    local line, err = peer:read("line", with({ max = 100 }))
    assert.is_nil(line)
    assert.equal("INVALID", err:kind())
    assert.equal(201, #peer:read(201, PATIENCE))
    assert.equal("next", peer:read("line", with({ max = 4 })))
  end)

  it("refuses an endless line", function()
    coroutine.spawn(function()
      local chunk = ("x"):rep(65536)
      while client:write(chunk) do end
    end)
    local line, err = peer:read("line", PATIENCE)
    assert.is_nil(line)
    assert.equal("INVALID", err:kind())
  end)

  it("reads all, or as much as it may", function()
    client:write("0123456789")
    client:shutdown()
    assert.equal("0123", peer:read("all", with({ max = 4 })))
    assert.equal("456789", peer:read("all", PATIENCE))
    assert.equal("", peer:read("all", PATIENCE))
    assert.is_nil(peer:read(PATIENCE))
  end)

  it("still reads after its own shutdown", function()
    client:write("question")
    assert.is_true(client:shutdown())
    assert.equal("question", peer:read("all", PATIENCE))
    peer:write("answer")
    peer:close()
    assert.equal("answer", client:read("all", PATIENCE))
    local ok, err = client:write("more")
    assert.is_nil(ok)
    assert.equal("CANCELED", err:kind())
  end)

  it("loses nothing when a read times out", function()
    client:write("par")
    local line, err = peer:read("line", { timeout = 0.02 })
    assert.is_nil(line)
    assert.equal("TIMEOUT", err:kind())
    line, err = peer:read("line", { timeout = 0 })
    assert.is_nil(line)
    assert.equal("TIMEOUT", err:kind())
    client:write("tial\n")
    assert.equal("partial", peer:read("line", PATIENCE))
  end)

  it("holds a writer up while nobody reads, and sends everything", function()
    local chunk = ("0123456789abcdef"):rep(65536) -- 1 MB
    local written = 0
    local ok, err
    repeat
      ok, err = client:write(chunk, { timeout = 0.2 })
      written = written + 1
    until not ok or written == 64
    assert.equal("TIMEOUT", err:kind())
    coroutine.spawn(function() client:shutdown() end)
    local total = 0
    while true do
      local bytes = peer:read(PATIENCE)
      if not bytes then break end
      total = total + #bytes
    end
    assert.equal(written * #chunk, total)
  end)

  it("keeps the order of several writers", function()
    local count = 200
    local line = ("y"):rep(5000)
    for i = 1, count do
      coroutine.spawn(function() client:write(i .. " " .. line .. "\n") end)
    end
    for i = 1, count do
      local number, rest = peer:read("line", PATIENCE):match("^(%d+) (.*)$")
      assert.equal(i, tonumber(number))
      assert.equal(line, rest)
    end
  end)

  it("tells of a reset, on both ways", function()
    client:write("never read")
    peer:close() -- with unread bytes: the kernel resets
    local bytes, err = client:read("all", PATIENCE)
    assert.is_nil(bytes)
    assert.equal("UNAVAILABLE", err:kind())
    assert.is_true(err:retryable())
    local ok
    ok, err = client:write("into the void")
    assert.is_nil(ok)
    assert.equal("UNAVAILABLE", err:kind())
  end)

  it("lets one coroutine read at a time", function()
    local got = channel.new(2)
    for _ = 1, 2 do
      coroutine.spawn(function()
        local line, err = peer:read("line", PATIENCE)
        got:send(line or err:kind())
      end)
    end
    assert.equal("CONFLICT", (got:receive(30)))
    client:write("mine\n")
    assert.equal("mine", (got:receive(30)))
  end)

  it("wakes who waits when it is closed", function()
    local got = channel.new(3)
    coroutine.spawn(function()
      local _, err = peer:read("all")
      got:send(err:kind())
    end)
    coroutine.spawn(function()
      local _, err = server:accept()
      got:send(err:kind())
    end)
    coroutine.spawn(function()
      peer:close()
      peer:close()
      server:close()
      server:close()
    end)
    assert.equal("CANCELED", (got:receive(30)))
    assert.equal("CANCELED", (got:receive(30)))
    assert.is_nil(peer:address())
    local _, err = peer:read()
    assert.equal("CANCELED", err:kind())
    _, err = peer:write("x")
    assert.equal("CANCELED", err:kind())
    _, err = server:accept()
    assert.equal("CANCELED", err:kind())
  end)

  it("says who refused", function()
    local conn, err = tcp.connect("127.0.0.1", 1, PATIENCE)
    assert.is_nil(conn)
    assert.equal("UNAVAILABLE", err:kind())
    assert.is_false(err:retryable())
    assert.matches("127.0.0.1 port 1: connection refused", err:message(), 1, true)
  end)

  it("tries the next address of a name", function()
    -- localhost is 127.0.0.1 and ::1
    local six = tcp.listen("::1", 0)
    if not six then return pending("no IPv6 here") end
    local probe = tcp.listen("127.0.0.1", six:port())
    if not probe then
      six:close()
      return -- the port is in use on the other address: nothing to see
    end
    probe:close()
    local conn = assert(tcp.connect("localhost", six:port(), PATIENCE))
    assert.equal("::1", (conn:peer()))
    conn:close()
    six:close()
  end)

  it("gives up connecting in time", function()
    local full = assert(tcp.listen("127.0.0.1", 0, { backlog = 1 }))
    local conns, err = {}, nil
    for i = 1, 16 do -- nobody accepts: soon the kernel answers no more
      conns[i], err = tcp.connect("127.0.0.1", full:port(), { timeout = 0.3 })
      if err then break end
    end
    assert.equal("TIMEOUT", err:kind())
    assert.matches("port " .. full:port(), err:message(), 1, true)
    for _, conn in pairs(conns) do
      conn:close()
    end
    full:close()
  end)

  it("accepts no longer than it is told", function()
    local conn, err = server:accept({ timeout = 0.02 })
    assert.is_nil(conn)
    assert.equal("TIMEOUT", err:kind())
  end)

  it("serves many at once", function()
    local count = 200
    coroutine.spawn(function()
      for _ = 1, count do
        local conn = server:accept()
        coroutine.spawn(function()
          conn:write("<" .. conn:read("line", PATIENCE) .. ">")
          conn:close()
        end)
      end
    end)
    local done = channel.new(count)
    for i = 1, count do
      coroutine.spawn(function()
        local conn = assert(tcp.connect("127.0.0.1", server:port(), PATIENCE))
        conn:write(i .. "\n")
        done:send(conn:read("all", PATIENCE) == "<" .. i .. ">")
        conn:close()
      end)
    end
    for _ = 1, count do
      assert.is_true((done:receive(30)))
    end
  end)

  it("closes what a process opened when it ends", function()
    local port = assert(process.exec(function()
      return assert(require("tcp").listen("127.0.0.1", 0)):port()
    end))
    local due = time.monotonic() + 30
    local conn, err
    repeat
      conn, err = tcp.connect("127.0.0.1", port, PATIENCE)
      if conn then conn:close() end
    until err or time.monotonic() > due
    assert.equal("UNAVAILABLE", err:kind())
  end)

  it("says when an address is taken or none of ours", function()
    local other, err = tcp.listen("127.0.0.1", server:port())
    assert.is_nil(other)
    assert.equal("CONFLICT", err:kind())
    other, err = tcp.listen("not.an.address.test", 0)
    assert.is_nil(other)
    assert.equal("INVALID", err:kind())
  end)

  it("refuses what makes no sense", function()
    local cases = {
      { "", 80 },
      { "127.0.0.1", 0 },
      { "127.0.0.1", 65536 },
      { "a\0b", 80 },
      { "a..b", 80 },
    }
    for _, case in ipairs(cases) do
      local conn, err = tcp.connect(case[1], case[2], PATIENCE)
      assert.is_nil(conn)
      assert.equal("INVALID", err:kind())
    end
    local function raises(text, fn, ...)
      local args = { n = select("#", ...), ... }
      local ok, err = pcall(function() fn(unpack(args, 1, args.n)) end)
      assert.is_false(ok)
      assert.matches(text, tostring(err), 1, true)
    end
    raises("bad argument #1 to 'connect' (string expected, got nil)", tcp.connect)
    raises("bad argument #2 to 'connect' (integer expected, got string)", tcp.connect, "h", "80")
    raises("bad argument #1 to 'write' (string expected, got nil)", client.write, client)
    raises("'line' or 'all'", client.read, client, "word")
    raises("timeout", client.read, client, "line", { timeout = -1 })
  end)
end)
