--- Tests of tls-cert; run with `runtime test scripts`.
-- SPDX-License-Identifier: MIT
local certificate = {
  subject = "CN=www.example.test",
  issuer = "CN=Test CA",
  sans = { "*.example.test", "www.example.test", "192.0.2.7" },
  not_before = 1767225600,
  not_after = 1798761600,
  sha256 = ("ab"):rep(32),
}

local function port(metadata)
  return { class = "port", value = "192.0.2.7:443", metadata = metadata }
end

return {
  capability = "tls-cert.lua",
  name = "tls-cert",
  cases = {
    {
      name = "the certificate that a port shows, and its names",
      asset = port({ address = "192.0.2.7", port = 443, name = "www.example.test" }),
      fakes = { tls = { ["192.0.2.7:443"] = { certificates = { certificate } } } },
      expect = {
        {
          class = "certificate",
          value = certificate.sha256,
          metadata = {
            subject = "CN=www.example.test",
            issuer = "CN=Test CA",
            not_after = 1798761600,
            names = { "example.test", "www.example.test" },
          },
        },
      },
    },
    {
      name = "a port that does not speak TLS",
      asset = port(),
      fakes = { tls = { ["*"] = { error = "UNAVAILABLE", message = "wrong version number" } } },
      expect = {},
    },
    {
      name = "a handshake that is too slow is tried again",
      asset = port(),
      fakes = { tls = { ["*"] = "timeout" } },
      state = "retrying",
      error = { kind = "TIMEOUT" },
    },
    {
      name = "what is no port",
      asset = { class = "port", value = "192.0.2.7" },
      reason = "not ADDRESS:PORT",
    },
  },
}
