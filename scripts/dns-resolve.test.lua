--- Tests of dns-resolve; run with `runtime test scripts`.
-- SPDX-License-Identifier: MIT
local function domain(name)
  return { class = "domain", value = name }
end

return {
  capability = "dns-resolve.lua",
  cases = {
    {
      name = "addresses, and the name at each of them",
      asset = domain("www.example.test"),
      fakes = {
        dns = { ["www.example.test"] = { A = { "192.0.2.7" }, AAAA = { "2001:db8::7" } } },
      },
      expect = {
        { class = "ipv4", value = "192.0.2.7" },
        { class = "ipv6", value = "2001:db8::7" },
        {
          class = "host",
          value = "www.example.test@192.0.2.7",
          metadata = { name = "www.example.test", address = "192.0.2.7" },
        },
        { class = "host", value = "www.example.test@2001:db8::7" },
      },
    },
    {
      name = "names that records point to, in lower case and without the last dot",
      asset = domain("Example.TEST."),
      fakes = {
        dns = {
          ["example.test"] = {
            CNAME = { "WWW.example.test." },
            MX = { { preference = 5, exchange = "mail.example.test" } },
            NS = { "ns1.example.test" },
            TXT = { "v=spf1 include:spf.example.test a:out.example.test -all", "hello" },
          },
        },
      },
      expect = {
        { class = "domain", value = "www.example.test", metadata = { record = "CNAME" } },
        { class = "domain", value = "mail.example.test", metadata = { record = "MX" } },
        { class = "domain", value = "ns1.example.test", metadata = { record = "NS" } },
        { class = "domain", value = "spf.example.test", metadata = { record = "TXT" } },
        { class = "domain", value = "out.example.test", metadata = { record = "TXT" } },
      },
    },
    {
      name = "a name that does not exist has nothing",
      asset = domain("no.example.test"),
      fakes = { dns = { ["*"] = "NOT_FOUND" } },
      expect = {},
    },
    {
      name = "no answer is worth another try",
      asset = domain("slow.example.test"),
      fakes = { dns = { ["*"] = "timeout" } },
      state = "retrying",
      error = { kind = "TIMEOUT" },
      expect = {},
    },
    {
      name = "after the last try it has failed",
      asset = domain("slow.example.test"),
      attempt = 3,
      fakes = { dns = { ["*"] = "timeout" } },
      state = "failed",
      error = { kind = "TIMEOUT" },
    },
    { name = "what is no host name", asset = domain("a b"), reason = "not a host name" },
  },
}
