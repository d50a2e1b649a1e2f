#!/usr/bin/env bash
# A small network on loopback, of real servers: dnsmasq serving the zone lab.test, two Apache
# instances with plain and TLS virtual hosts, and one host that never answers.
#
#   lab.sh start DIR   generate everything under DIR and start it; DIR/env says where it is
#   lab.sh stop DIR    end what was started from DIR, and nothing else
#
# Runs as root or not; only unprivileged ports on 127.77.0.0/16 and 127.0.0.1 are used. See
# tests/lab/README.md for the map.
# SPDX-License-Identifier: MIT
set -u
here=$(cd "$(dirname "$0")" && pwd)
net=127.77.0
PATH=$PATH:/usr/sbin:/sbin

die() { echo "lab: $*" >&2; exit 1; }

# --- processes ---------------------------------------------------------------

# launch NAME COMMAND...: in the background, a group of its own, its pid in DIR/run/NAME.pid
launch() {
  local name=$1 pid
  shift
  setsid -- "$@" >"$dir/log/$name.out" 2>&1 </dev/null &
  pid=$!
  echo $pid >"$dir/run/$name.pid"
  # Until it is the program itself, or has ended already.
  for _ in $(seq 1200); do
    ours $pid && return 0
    grep -qs '^State:[[:space:]]*[^Z]' "/proc/$pid/status" || return 0
    sleep 0.05
  done
}

# Is this still the process that we started? Its arguments name our folder.
ours() { [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -- "$dir/"; }

alive() { ours "$(cat "$dir/run/$1.pid" 2>/dev/null || echo 0)"; }

stop_one() {
  local pid
  pid=$(cat "$1") || return 0
  ours "$pid" || { rm -f "$1"; return 0; }
  kill -TERM "$pid" 2>/dev/null
  for _ in $(seq 100); do
    ours "$pid" || break
    sleep 0.05
  done
  ours "$pid" && kill -KILL -- "-$pid" 2>/dev/null
  rm -f "$1"
}

stop_all() {
  local file
  for file in "$dir"/run/*.pid; do
    [ -e "$file" ] && stop_one "$file"
  done
  if [ -s "$dir/run/www" ]; then rm -rf "$(cat "$dir/run/www")"; fi
  rm -f "$dir/run/www"
  return 0
}

# --- ports -------------------------------------------------------------------

# Does anybody listen there? (A refused connection: nobody.)
taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

free_port() {
  local port i
  for i in $(seq 200); do
    port=$((18000 + (RANDOM * 32768 + RANDOM) % 12000))
    [[ " $used " == *" $port "* ]] && continue
    taken 127.0.0.1 "$port" && continue
    used="$used $port"
    picked=$port
    return 0
  done
  die "no free port"
}

pick_ports() {
  used=""
  free_port; dns=$picked
  free_port; http=$picked
  free_port; tls=$picked
  free_port; alt=$picked
  free_port; closed=$picked
}

# --- dnsmasq -----------------------------------------------------------------

# A name in the wire form of DNS, as hex: what dnsmasq wants for an NS record.
wire_name() {
  local label
  for label in ${1//./ }; do
    printf '%02x' ${#label}
    printf '%s' "$label" | od -An -tx1 | tr -d ' \n'
  done
  printf '00'
}

write_dns() {
  cat <<END
port=$dns
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
no-poll
no-ping
local=/test/
host-record=lab.test,$net.1
host-record=ns1.lab.test,$net.2
host-record=web.lab.test,$net.3,::1
host-record=edge.lab.test,$net.4
host-record=portal.lab.test,$net.4
host-record=vault.lab.test,$net.5
host-record=mail.lab.test,$net.6
host-record=relay.lab.test,$net.7
host-record=deep.lab.test,$net.8
host-record=core.lab.test,$net.8
host-record=silent.lab.test,$net.9
host-record=intranet.lab.test,$net.1
cname=www.lab.test,web.lab.test
mx-host=lab.test,mail.lab.test,10
mx-host=lab.test,silent.lab.test,20
txt-record=lab.test,"v=spf1 a:relay.lab.test -all"
dns-rr=lab.test,2,$(wire_name ns1.lab.test)
END
  if [ "$(id -u)" = 0 ]; then echo "user=nobody"; echo "group=nogroup"; fi
}

# A query for the A record of lab.test; is there any answer?
dns_answers() {
  local query='\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03lab\x04test\x00\x00\x01\x00\x01'
  exec 3<>"/dev/udp/127.0.0.1/$dns" || return 1
  printf "$query" >&3
  local size
  size=$(timeout 1 dd bs=512 count=1 <&3 2>/dev/null | wc -c)
  exec 3>&-
  [ "${size:-0}" -gt 12 ]
}

# --- Apache ------------------------------------------------------------------

# cert NAME SAN...: DIR/tls/NAME.{crt,key}, and a line "NAME sha256" in DIR/certs
cert() {
  local name=$1 sans san
  shift
  sans=""
  for san in "$@"; do sans="$sans${sans:+,}DNS:$san"; done
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
    -subj "/O=Lab/CN=$name" -addext "subjectAltName=$sans" \
    -keyout "$dir/tls/$name.key" -out "$dir/tls/$name.crt" 2>>"$dir/log/openssl" ||
    die "openssl failed, see $dir/log/openssl"
  printf '%s %s\n' "$name" "$(openssl x509 -in "$dir/tls/$name.crt" -noout -fingerprint -sha256 |
    sed 's/.*=//; s/://g' | tr 'A-F' 'a-f')" >>"$dir/certs"
}

# site NAME TITLE: what a virtual host serves
site() {
  mkdir -p "$www/$1"
  printf '<html><head><title>%s</title></head><body>%s</body></html>\n' "$2" "$1" \
    >"$www/$1/index.html"
}

apache_base() {
  local name=$1 modules=/usr/lib/apache2/modules module
  cat <<END
ServerRoot "$dir"
DefaultRuntimeDir "$dir/run/$name"
PidFile "$dir/run/$name/httpd"
Mutex pthread
ErrorLog "$dir/log/$name"
ServerName localhost
ServerTokens Prod
ServerSignature Off
KeepAlive On
StartServers 1
ServerLimit 2
ThreadsPerChild 16
MinSpareThreads 4
MaxSpareThreads 32
MaxRequestWorkers 32
END
  for module in mpm_event authz_core dir headers ssl; do
    echo "LoadModule ${module}_module $modules/mod_$module.so"
  done
  if [ "$(id -u)" = 0 ]; then echo "User nobody"; echo "Group nogroup"; fi
  cat <<END
SSLSessionCache none
DirectoryIndex index.html
<Directory "$www">
  Require all granted
  ForceType text/html
</Directory>
END
}

# vhost ADDRESS PORT NAME [DIRECTIVE...]
vhost() {
  echo "<VirtualHost $1:$2>"
  echo "  ServerName $3"
  echo "  DocumentRoot \"$www/$3\""
  if [ "$2" = "$tls" ]; then
    echo "  SSLEngine on"
    echo "  SSLCertificateFile \"$dir/tls/$3.crt\""
    echo "  SSLCertificateKeyFile \"$dir/tls/$3.key\""
  fi
  shift 3
  local line
  for line in "$@"; do echo "  $line"; done
  echo "</VirtualHost>"
}

write_front() {
  apache_base front
  echo "Listen $net.1:$http"
  echo "Listen $net.1:$tls"
  echo "Listen $net.3:$http"
  vhost $net.1 "$http" lab.test
  vhost $net.1 "$http" intranet.lab.test
  vhost $net.1 "$tls" lab.test
  vhost $net.3 "$http" web.lab.test
}

write_back() {
  apache_base back
  echo "Listen $net.4:$tls"
  echo "Listen $net.5:$tls"
  echo "Listen $net.6:$alt"
  echo "Listen $net.7:$http"
  echo "Listen $net.8:$http"
  echo "Listen $net.8:$tls"
  vhost $net.4 "$tls" edge.lab.test
  vhost $net.4 "$tls" portal.lab.test
  vhost $net.5 "$tls" vault.lab.test
  vhost $net.6 "$alt" mail.lab.test
  vhost $net.7 "$http" relay.lab.test 'Header always set X-Powered-By "Relay/3"'
  vhost $net.8 "$http" deep.lab.test
  vhost $net.8 "$http" core.lab.test
  vhost $net.8 "$tls" deep.lab.test
}

# --- start -------------------------------------------------------------------

generate() {
  rm -rf "$dir/tls" "$dir/log" "$dir/run" "$dir/certs" "$dir/env"
  mkdir -p "$dir/tls" "$dir/log" "$dir/run/front" "$dir/run/back"
  # Apache of root serves as nobody, who may not enter our folder: a public one for the pages.
  www=$(mktemp -d -p /tmp) && chmod 755 "$www" && echo "$www" >"$dir/run/www" || die "no folder for pages"
  cert lab.test lab.test www.lab.test intranet.lab.test portal.lab.test
  cert edge.lab.test edge.lab.test
  cert portal.lab.test portal.lab.test vault.lab.test
  cert vault.lab.test vault.lab.test deep.lab.test
  cert deep.lab.test deep.lab.test core.lab.test
  site lab.test "Laboratory"
  site intranet.lab.test "Intranet"
  site web.lab.test "Web"
  site edge.lab.test "Edge"
  site portal.lab.test "Portal"
  site vault.lab.test "Vault"
  site mail.lab.test "Webmail"
  site relay.lab.test "Relay"
  site deep.lab.test "Deep"
  site core.lab.test "Core"
  chmod -R a+rX "$www"
  cc -O1 -o "$dir/silent" "$here/silent.c" || die "cannot compile silent.c"
}

write_env() {
  cat >"$dir/env" <<END
LAB_NET=$net
LAB_RESOLVER=127.0.0.1:$dns
LAB_HTTP=$http
LAB_TLS=$tls
LAB_ALT=$alt
LAB_CLOSED=$closed
LAB_PORTS=$http,$tls,$alt,$closed
END
}

up() {
  alive dnsmasq && alive front && alive back && alive silent || return 2
  dns_answers && grep -q ready "$dir/log/silent.out" && taken $net.1 "$http" && taken $net.1 "$tls" &&
    taken $net.3 "$http" && taken $net.4 "$tls" && taken $net.5 "$tls" && taken $net.6 "$alt" &&
    taken $net.7 "$http" && taken $net.8 "$http" && taken $net.8 "$tls"
}

# 0: all is up; 1: something ended (a port was taken meanwhile) or never came
launch_all() {
  write_dns >"$dir/dnsmasq.conf"
  write_front >"$dir/front.conf"
  write_back >"$dir/back.conf"
  launch dnsmasq dnsmasq --keep-in-foreground --conf-file="$dir/dnsmasq.conf" \
    --pid-file="$dir/run/dnsmasq" --log-facility="$dir/log/dnsmasq"
  launch front apache2 -DFOREGROUND -f "$dir/front.conf"
  launch back apache2 -DFOREGROUND -f "$dir/back.conf"
  launch silent "$dir/silent" $net.9:"$http" $net.9:"$tls" $net.9:"$alt" $net.9:"$closed"
  for _ in $(seq 300); do
    up
    case $? in
      0) return 0 ;;
      2) return 1 ;;
    esac
    sleep 0.1
  done
  return 1
}

start() {
  local program try
  for program in dnsmasq apache2 openssl cc setsid; do
    command -v $program >/dev/null || die "$program is missing; 'make deps' installs it"
  done
  mkdir -p "$dir" || die "cannot make $dir"
  dir=$(cd "$dir" && pwd)
  stop_all
  generate
  for try in 1 2 3 4 5; do
    pick_ports
    if launch_all; then
      write_env
      return 0
    fi
    stop_all
  done
  tail -n 5 "$dir"/log/* >&2
  die "the servers do not start, see above"
}

dir=${2:-}
[ -n "$dir" ] || die "usage: lab.sh start|stop DIR"
case ${1:-} in
  start) start ;;
  stop) [ -d "$dir/run" ] && dir=$(cd "$dir" && pwd) && stop_all ;;
  *) die "usage: lab.sh start|stop DIR" ;;
esac
exit 0
