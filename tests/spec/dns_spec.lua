--- dns against a server of our own on loopback.
local dns = require("dns")
local errors = require("errors")
local dns_server = require("dns_server")
local u16, u32, name_of, ip = dns_server.u16, dns_server.u32, dns_server.name, dns_server.ip

local PATIENCE = 30

describe("dns", function()
  local server

  -- Answers by "NAME TYPE".
  local function serve(answers)
    server = dns_server.start(function(name, kind, n)
      local reply = answers[name .. " " .. kind]
      if type(reply) == "function" then return reply(n) end
      return reply or 3
    end)
    return server.address
  end

  local function resolve(name, kind, opts)
    opts = opts or {}
    opts.server = server.address
    opts.timeout = opts.timeout or PATIENCE
    return dns.resolve(name, kind, opts)
  end

  after_each(function()
    if server then server.stop() end
    server = nil
  end)

  it("answers with records of the type asked for", function()
    serve({
      ["a.test A"] = { { "A", ip("192.0.2.1"), 60 }, { "A", ip("192.0.2.2"), 61 } },
      ["a.test AAAA"] = { { "AAAA", ("\0"):rep(15) .. "\1" } },
      ["a.test MX"] = { { "MX", u16(10) .. name_of("mail.a.test") } },
      ["a.test NS"] = { { "NS", name_of("ns.a.test") } },
      ["w.test CNAME"] = { { "CNAME", name_of("a.test") } },
      ["a.test TXT"] = { { "TXT", "\5hello\6 world" }, { "TXT", "\0" } },
      ["a.test SRV"] = { { "SRV", u16(1) .. u16(2) .. u16(443) .. name_of("s.a.test") } },
      ["a.test CAA"] = { { "CAA", "\0\5issueca.test" } },
      ["1.2.0.192.in-addr.arpa PTR"] = { { "PTR", name_of("a.test") } },
      ["a.test SOA"] = {
        {
          "SOA",
          name_of("ns.a.test") .. name_of("root.a.test") .. u32(7) .. u32(1):rep(3) .. u32(4),
        },
      },
    })
    assert.same({
      { name = "a.test", type = "A", ttl = 60, address = "192.0.2.1" },
      { name = "a.test", type = "A", ttl = 61, address = "192.0.2.2" },
    }, resolve("a.test"))
    assert.equal("::1", resolve("a.test", "AAAA")[1].address)
    local mx = resolve("a.test", "mx")[1]
    assert.same({ 10, "mail.a.test" }, { mx.preference, mx.exchange })
    assert.equal("ns.a.test", resolve("a.test", "NS")[1].target)
    assert.equal("a.test", resolve("w.test", "CNAME")[1].target)
    local txt = resolve("a.test", "TXT")
    assert.same({ "hello world", "" }, { txt[1].text, txt[2].text })
    local srv = resolve("a.test", "SRV")[1]
    assert.same({ 1, 2, 443, "s.a.test" }, { srv.priority, srv.weight, srv.port, srv.target })
    local caa = resolve("a.test", "CAA")[1]
    assert.same({ 0, "issue", "ca.test" }, { caa.flags, caa.tag, caa.value })
    assert.equal("a.test", resolve("192.0.2.1", "PTR")[1].target)
    local soa = resolve("a.test", "SOA")[1]
    assert.same({ "ns.a.test", "root.a.test" }, { soa.target, soa.admin })
    assert.same({ 7, 4 }, { soa.serial, soa.minimum })
  end)

  it("gives the addresses at the end of a chain of aliases", function()
    serve({
      ["w.test A"] = { { "CNAME", name_of("a.test") }, { "A", ip("192.0.2.9"), 5, "a.test" } },
    })
    local list = resolve("w.test")
    assert.same({ { name = "a.test", type = "A", ttl = 5, address = "192.0.2.9" } }, list)
  end)

  it("tells no such name from no such record from no answer", function()
    serve({ ["a.test A"] = {}, ["mute.test A"] = function() end })
    local list, err = resolve("no.test")
    assert.is_nil(list)
    assert.equal("NOT_FOUND", err:kind())
    assert.same({}, resolve("a.test"))
    list, err = resolve("mute.test", "A", { timeout = 0.2, tries = 2 })
    assert.is_nil(list)
    assert.equal("TIMEOUT", err:kind())
    assert.is_true(err:retryable())
    assert.matches("mute.test", err:message(), 1, true)
  end)

  it("gives no answer from a port where nobody listens", function()
    local list, err = dns.resolve("a.test", "A", { server = "127.0.0.1:1", timeout = 0.5 })
    assert.is_nil(list)
    assert.equal("TIMEOUT", err:kind())
  end)

  it("asks again when a datagram was lost", function()
    serve({
      ["a.test A"] = function(n)
        return n >= 3 and { { "A", ip("192.0.2.1") } } or nil
      end,
    })
    assert.equal("192.0.2.1", resolve("a.test", "A", { timeout = 4, tries = 6 })[1].address)
    assert.is_true(server.count >= 3)
  end)

  it("asks as often as it may", function()
    serve({ ["a.test A"] = function() end })
    local _, err = resolve("a.test", "A", { timeout = 0.2, tries = 1 })
    assert.equal("TIMEOUT", err:kind())
    _, err = resolve("end.test", "A", { tries = 1 }) -- comes behind all that was asked before
    assert.equal("NOT_FOUND", err:kind())
    assert.equal(2, server.count)
  end)

  it("says when the server fails or refuses", function()
    serve({ ["fail.test A"] = 2, ["deny.test A"] = 5 })
    for _, name in ipairs({ "fail.test", "deny.test" }) do
      local list, err = resolve(name)
      assert.is_nil(list)
      assert.equal("UNAVAILABLE", err:kind())
    end
  end)

  it("takes a cut answer over TCP", function()
    local big = {}
    for i = 1, 200 do
      big[i] = { "TXT", "\100" .. ("x"):rep(97) .. ("%03d"):format(i) }
    end
    server = dns_server.start(function(_, _, _, over_tcp)
      return over_tcp and big or { truncated = true }
    end)
    local list = assert(resolve("big.test", "TXT"))
    assert.equal(200, #list)
    assert.matches("200$", list[200].text)
  end)

  it("survives answers that are none", function()
    local header = "\129\128\0\1\0\1\0\0\0\0"
    local question = name_of("bad.test") .. u16(1) .. u16(1)
    local fixed = u16(1) .. u16(1) .. u32(1)
    local raws = {
      "", -- only an id
      header, -- a question that is missing
      header .. question .. "\192", -- half a pointer
      header .. question .. "\192\26" .. fixed .. u16(4) .. "\1\2\3\4", -- points at itself
      header .. question .. "\192\12" .. fixed .. u16(9) .. "\1", -- too short
      header .. question .. "\192\12" .. fixed .. u16(3) .. "\1\2\3", -- no address
      header .. question .. ("\255"):rep(600),
    }
    for i, raw in ipairs(raws) do
      serve({ ["bad.test A"] = { raw = raw } })
      local list, err = resolve("bad.test", "A", { timeout = 0.3, tries = 1 })
      assert.is_nil(list, "answer " .. i)
      assert.is_true(errors.is(err, "TIMEOUT") or errors.is(err, "UNAVAILABLE"), tostring(err))
      server.stop()
    end
    serve({ ["a.test A"] = { { "A", ip("192.0.2.1") } } })
    assert.equal(1, #resolve("a.test"))
  end)

  it("does not follow aliases in a circle", function()
    serve({
      ["x.test A"] = {
        { "CNAME", name_of("y.test") },
        { "CNAME", name_of("x.test"), 1, "y.test" },
      },
    })
    assert.same({}, resolve("x.test"))
  end)

  it("has at most 256 questions in flight, and loses none", function()
    local waiting, most = {}, 0
    local done = channel.new(1000)
    local total, answered = 600, 0
    -- The server holds its answers back until as many wait as can.
    local function answer_all()
      for _, one in ipairs(waiting) do
        one()
        answered = answered + 1
      end
      waiting = {}
    end
    local socket = assert(require("udp").open("127.0.0.1", 0))
    server = {
      address = "127.0.0.1:" .. socket:port(),
      stop = function() socket:close() end,
    }
    coroutine.spawn(function()
      local seen = {}
      while true do
        local packet, address, port = socket:receive()
        if not packet then return end
        local id = packet:sub(13)
        local function one()
          local question = packet:match("^(.-%z....)", 13)
          seen[id] = "answered"
          socket:send(packet:sub(1, 2) .. "\129\128\0\1\0\1\0\0\0\0" .. question
            .. "\192\12" .. u16(1) .. u16(1) .. u32(1) .. u16(4) .. "\1\2\3\4", address, port)
        end
        if seen[id] == "answered" then
          one() -- the kernel may drop what is too much for it
        elseif not seen[id] then
          seen[id] = "asked"
          waiting[#waiting + 1] = one
          most = math.max(most, #waiting)
          if #waiting == math.min(256, total - answered) then answer_all() end
        end
      end
    end)
    for i = 1, total do
      coroutine.spawn(function()
        local list, err = resolve(("n%d.test"):format(i), "A", { tries = 2 })
        done:send(list and list[1].address or tostring(err))
      end)
    end
    for _ = 1, total do
      assert.equal("1.2.3.4", (done:receive(PATIENCE)))
    end
    assert.equal(256, most)
  end)

  it("looks hosts up without asking what it knows", function()
    assert.same({ "127.0.0.1", "::1" }, dns.lookup("localhost"))
    assert.same({ "192.0.2.7" }, dns.lookup("192.0.2.7"))
    assert.same({ "::1" }, dns.lookup("::1"))
  end)

  it("looks hosts up with both kinds of address, IPv4 first", function()
    serve({
      ["both.test A"] = { { "A", ip("192.0.2.1") } },
      ["both.test AAAA"] = { { "AAAA", ("\0"):rep(15) .. "\1" } },
      ["six.test A"] = {},
      ["six.test AAAA"] = { { "AAAA", ("\0"):rep(15) .. "\2" } },
      ["none.test A"] = {},
      ["none.test AAAA"] = {},
    })
    local opts = { server = server.address, timeout = PATIENCE }
    assert.equal("192.0.2.1", dns.lookup("both.test", opts)[1])
    assert.same({ "::2" }, dns.lookup("six.test", opts))
    for _, name in ipairs({ "none.test", "no.test" }) do
      local list, err = dns.lookup(name, opts)
      assert.is_nil(list)
      assert.equal("NOT_FOUND", err:kind())
    end
  end)

  it("asks a server by its name, and over IPv6", function()
    serve({ ["a.test A"] = { { "A", ip("192.0.2.1") } } })
    local opts = { server = "localhost:" .. server.port, timeout = PATIENCE }
    assert.equal(1, #assert(dns.resolve("a.test", "A", opts)))
    local ok, six = pcall(dns_server.start, function()
      return { { "A", ip("192.0.2.6") } }
    end, "::1")
    if ok then
      assert.equal("192.0.2.6", dns.resolve("a.test", "A", { server = six.address })[1].address)
      six.stop()
    end
  end)

  it("names addresses backwards", function()
    assert.equal("1.2.0.192.in-addr.arpa", dns.reverse("192.0.2.1"))
    assert.equal("1." .. ("0."):rep(31) .. "ip6.arpa", dns.reverse("::1"))
    local name, err = dns.reverse("x")
    assert.is_nil(name)
    assert.equal("INVALID", err:kind())
  end)

  it("refuses what is no question", function()
    for _, case in ipairs({
      { "", "A" },
      { "a..b", "A" },
      { ("x"):rep(64) .. ".test", "A" },
      { ("x."):rep(130), "A" },
      { "a\0b", "A" },
      { "a.test", "NOPE" },
      { "a.test", "A", { server = "1.2.3.4:port" } },
    }) do
      local list, err = dns.resolve(case[1], case[2], case[3])
      assert.is_nil(list)
      assert.equal("INVALID", err:kind())
    end
    assert.has_error(function() dns.resolve(nil) end)
    assert.has_error(function() dns.resolve("a.test", 1) end)
    assert.has_error(function() dns.resolve("a.test", "A", { timeout = -1 }) end)
  end)
end)
