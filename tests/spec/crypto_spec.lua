--- crypto: known answers, encodings there and back, and what is refused.
-- SPDX-License-Identifier: MIT
local crypto = require("crypto")

describe("digests", function()
  local known = {
    md5 = "900150983cd24fb0d6963f7d28e17f72",
    sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d",
    sha224 = "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    sha384 = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
      .. "8086072ba1e7cc2358baeca134c825a7",
    sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
      .. "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
  }
  for name, expected in pairs(known) do
    it(name .. " of abc", function()
      assert.equal(expected, crypto[name]("abc"))
      assert.equal(#expected / 2, #crypto[name]("abc", "raw"))
    end)
  end

  it("take bytes of any value and give other forms", function()
    assert.equal("qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", crypto.sha1("abc", "base64"))
    assert.equal("qZk-NkcGgWq6PiVxeFDCbJzQ2J0", crypto.sha1("abc", "base64url"))
    assert.equal(64, #crypto.sha256("\0\1\255"))
  end)

  it("authenticate", function()
    assert.equal("f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
      crypto.hmac("sha256", "key", "The quick brown fox jumps over the lazy dog"))
  end)

  it("authenticate much", function()
    local much = ("x"):rep(1000000)
    assert.equal("b735e90d5e7b5296eab7699ac3340b68307c1843c92a46e678bff181e9f39e14",
      crypto.hmac("sha256", "key", much))
    assert.matches("^2df5602c3a270aaf4bef673071a5beb672f850feca80428c97af5a450223d170",
      crypto.hmac("sha512", "", much))
  end)

  it("refuse wrong arguments", function()
    assert.error_matches(crypto.sha256, "bad argument #1 to 'sha256'")
    assert.has_error(function()
      crypto.sha256("x", "octal")
    end)
    assert.has_error(function()
      crypto.hmac("crc32", "k", "d")
    end)
  end)
end)

describe("random bytes", function()
  it("come in the number asked for, and differ", function()
    assert.equal(0, #crypto.random(0))
    assert.equal(1000, #crypto.random(1000))
    assert.equal(32, #crypto.random(16, "hex"))
    assert.are_not.equal(crypto.random(16), crypto.random(16))
    assert.has_error(function()
      crypto.random(-1)
    end)
  end)

  it("make UUIDs", function()
    local seen = {}
    for _ = 1, 200 do
      local id = crypto.uuid()
      assert.matches("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$", id)
      assert.equal(36, #id)
      assert.is_nil(seen[id])
      seen[id] = true
    end
  end)
end)

describe("encodings", function()
  local known = {
    [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=",
    foobar = "Zm9vYmFy",
  }
  for text, coded in pairs(known) do
    it("base64 of '" .. text .. "'", function()
      assert.equal(coded, crypto.base64_encode(text))
      assert.equal(text, crypto.base64_decode(coded))
      assert.equal(text, crypto.base64_decode((coded:gsub("=", ""))))
    end)
  end

  it("go there and back", function()
    for size = 0, 200 do
      local bytes = crypto.random(size)
      assert.equal(bytes, crypto.base64_decode(crypto.base64_encode(bytes)))
      assert.equal(bytes, crypto.base64_decode(crypto.base64_encode(bytes, { url = true })))
      assert.equal(bytes, crypto.hex_decode(crypto.hex_encode(bytes)))
    end
  end)

  it("take what is done in several parts", function()
    for _, size in ipairs({ 196607, 196608, 196609, 400001 }) do
      local bytes = crypto.random(size)
      assert.is_true(bytes == crypto.base64_decode(crypto.base64_encode(bytes)))
      assert.is_true(bytes == crypto.hex_decode(crypto.hex_encode(bytes)))
    end
    -- FIPS 180-2, a million times "a"
    assert.equal("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
      crypto.sha256(("a"):rep(1e6)))
  end)

  it("answer text that is none with INVALID", function()
    for _, text in ipairs({ "Z", "Zg=", "Zg==x", "Z!==", "=" }) do
      local bytes, err = crypto.base64_decode(text)
      assert.is_nil(bytes, text)
      assert.equal("INVALID", err:kind())
    end
    for _, text in ipairs({ "f", "0g", "0x" }) do
      local bytes, err = crypto.hex_decode(text)
      assert.is_nil(bytes, text)
      assert.equal("INVALID", err:kind())
    end
    assert.equal("foo", crypto.base64_decode("Zm 9\nv"))
    assert.equal("\255", crypto.hex_decode("Ff"))
  end)

  it("compares", function()
    assert.is_true(crypto.equal("abc", "abc"))
    assert.is_false(crypto.equal("abc", "abd"))
    assert.is_false(crypto.equal("abc", "abcd"))
  end)
end)
