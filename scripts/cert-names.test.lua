--- Tests of cert-names (in tls-cert.lua); run with `runtime test scripts`.
-- SPDX-License-Identifier: MIT
return {
  capability = "tls-cert.lua",
  name = "cert-names",
  cases = {
    {
      name = "each name is a domain",
      asset = {
        class = "certificate",
        value = "abcd",
        metadata = { names = { "example.test", "www.example.test" } },
      },
      expect = {
        { class = "domain", value = "example.test" },
        { class = "domain", value = "www.example.test" },
      },
    },
    {
      name = "a certificate without names",
      asset = { class = "certificate", value = "abcd" },
      expect = {},
    },
  },
}
