#!/bin/sh
# Makes the certificates of the specs again: a CA, a server's certificate signed by it (names:
# good.test, *.wild.test, localhost, 127.0.0.1, ::1) and a self-signed one. Valid 2020 to 2120.
# SPDX-License-Identifier: MIT
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

: >"$work/index"
cat >"$work/ca.cnf" <<EOF
[ca]
default_ca = test
[test]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
string_mask = utf8only
[any]
organizationName = optional
commonName = supplied
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[server]
basicConstraints = CA:FALSE
subjectAltName = DNS:good.test,DNS:*.wild.test,DNS:localhost,IP:127.0.0.1,IP:::1
[self]
subjectAltName = DNS:self.test,DNS:hidden.self.test
EOF

# issue NAME SUBJECT SECTION KEY OPTION...: a certificate in $work/NAME.pem
issue() {
  name=$1 subject=$2 section=$3 key=$4
  shift 4
  openssl req -new -utf8 -key "$key" -subj "$subject" -out "$work/$name.csr"
  openssl ca -batch -notext -utf8 -config "$work/ca.cnf" -in "$work/$name.csr" -out "$work/$name.pem" \
    -startdate 20200101000000Z -enddate 21200101000000Z -extensions "$section" "$@"
}

key "$work/ca.key"
key server.key
key self.key
issue ca "/O=Test/CN=Test CA" root "$work/ca.key" -selfsign -keyfile "$work/ca.key"
issue leaf "/O=Test/CN=good.test" server server.key -cert "$work/ca.pem" -keyfile "$work/ca.key"
issue self "/O=Zeichen äöü/CN=self.test" self self.key -selfsign -keyfile self.key
cp "$work/ca.pem" ca.pem
cat "$work/leaf.pem" "$work/ca.pem" >server.pem
cp "$work/self.pem" self.pem
