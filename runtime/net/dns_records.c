/* dns_records.c - reading the answer section of a DNS packet (net/dns.h).
 *
 * Everything comes from a stranger: each length is checked against the packet,
 * names are expanded by c-ares, which refuses loops. Any thread.
 * SPDX-License-Identifier: MIT */
#include <ares.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/dns.h"

static const struct {
  const char *name;
  unsigned type;
} types[] = {
    {"A", RT__DNS_A},     {"AAAA", RT__DNS_AAAA}, {"CNAME", RT__DNS_CNAME},
    {"NS", RT__DNS_NS},   {"PTR", RT__DNS_PTR},   {"MX", RT__DNS_MX},
    {"TXT", RT__DNS_TXT}, {"SOA", RT__DNS_SOA},   {"SRV", RT__DNS_SRV},
    {"CAA", RT__DNS_CAA}, {"ANY", RT__DNS_ANY},
};

enum { TYPE_COUNT = sizeof(types) / sizeof(*types), HEADER_SIZE = 12 };

unsigned rt__dns_type(const char *name) {
  for (size_t i = 0; i < TYPE_COUNT; i++)
    if (strcasecmp(types[i].name, name) == 0) return types[i].type;
  return 0;
}

const char *rt__dns_type_name(unsigned type) {
  for (size_t i = 0; i < TYPE_COUNT; i++)
    if (types[i].type == type) return types[i].name;
  return NULL;
}

static unsigned u16(const unsigned char *at) {
  return (unsigned)at[0] << 8 | at[1];
}

static uint32_t u32(const unsigned char *at) {
  return (uint32_t)u16(at) << 16 | u16(at + 2);
}

static size_t left_of(const rt__dns_reader *reader) {
  return (size_t)(reader->packet + reader->size - reader->at);
}

/* Expand the name at `at`; its length in the packet, or 0 when malformed. */
static size_t expand(const rt__dns_reader *reader, const unsigned char *at,
                     char out[RT__DNS_NAME]) {
  char *name = NULL;
  long size = 0;
  bool fits;
  if (at >= reader->packet + reader->size) return 0;
  if (ares_expand_name(at, reader->packet, (int)reader->size, &name, &size) !=
      ARES_SUCCESS)
    return 0;
  fits = strlen(name) < RT__DNS_NAME;
  if (fits) strcpy(out, *name ? name : ".");
  ares_free_string(name);
  return fits && size > 0 ? (size_t)size : 0;
}

bool rt__dns_read(rt__dns_reader *reader, const unsigned char *packet,
                  size_t size) {
  char name[RT__DNS_NAME];
  unsigned questions;
  if (size < HEADER_SIZE || size > 65535) return false;
  *reader =
      (rt__dns_reader){packet, packet + HEADER_SIZE, size, u16(packet + 6)};
  for (questions = u16(packet + 4); questions > 0; questions--) {
    size_t length = expand(reader, reader->at, name);
    if (length == 0 || left_of(reader) < length + 4) return false;
    reader->at += length + 4;
  }
  return true;
}

static bool read_soa(const rt__dns_reader *reader, rt__dns_record *record) {
  size_t first = expand(reader, record->data, record->target), second;
  if (first == 0 || first >= record->size) return false;
  second = expand(reader, record->data + first, record->admin);
  if (second == 0 || first + second + 20 > record->size) return false;
  for (size_t i = 0; i < 5; i++)
    record->soa[i] = u32(record->data + first + second + 4 * i);
  return true;
}

/* A name behind `skip` bytes of numbers. */
static bool read_target(const rt__dns_reader *reader, rt__dns_record *record,
                        size_t skip) {
  size_t length;
  if (record->size <= skip) return false;
  length = expand(reader, record->data + skip, record->target);
  return length > 0 && skip + length <= record->size;
}

static bool read_address(rt__dns_record *record) {
  bool v6 = record->type == RT__DNS_AAAA;
  memset(&record->address, 0, sizeof(record->address));
  if (record->size != (v6 ? 16u : 4u)) return false;
  record->address.sa.sa_family = v6 ? AF_INET6 : AF_INET;
  memcpy(v6 ? (void *)&record->address.v6.sin6_addr
            : (void *)&record->address.v4.sin_addr,
         record->data, record->size);
  return true;
}

static bool read_srv(const rt__dns_reader *reader, rt__dns_record *record) {
  if (!read_target(reader, record, 6)) return false;
  record->preference = u16(record->data);
  record->weight = u16(record->data + 2);
  record->port = u16(record->data + 4);
  return true;
}

static bool read_text(const rt__dns_record *record) {
  size_t at = 0;
  while (at < record->size) at += 1u + record->data[at];
  return at == record->size;
}

static bool read_data(const rt__dns_reader *reader, rt__dns_record *record) {
  switch (record->type) {
  case RT__DNS_A:
  case RT__DNS_AAAA:
    return read_address(record);
  case RT__DNS_CNAME:
  case RT__DNS_NS:
  case RT__DNS_PTR:
    return read_target(reader, record, 0);
  case RT__DNS_MX:
    if (!read_target(reader, record, 2)) return false;
    record->preference = u16(record->data);
    return true;
  case RT__DNS_SRV:
    return read_srv(reader, record);
  case RT__DNS_SOA:
    return read_soa(reader, record);
  case RT__DNS_TXT:
    return read_text(record);
  case RT__DNS_CAA:
    if (record->size < 2 || record->data[1] > record->size - 2) return false;
    record->preference = record->data[0];
    return true;
  default:
    return true;
  }
}

int rt__dns_next(rt__dns_reader *reader, rt__dns_record *record) {
  size_t length;
  if (reader->left == 0) return 0;
  length = expand(reader, reader->at, record->name);
  if (length == 0 || left_of(reader) < length + 10) return -1;
  reader->at += length;
  record->type = u16(reader->at);
  record->ttl = u32(reader->at + 4);
  record->size = u16(reader->at + 8);
  record->data = reader->at + 10;
  if (left_of(reader) < 10 + record->size) return -1;
  reader->at += 10 + record->size;
  reader->left--;
  if (record->ttl > 0x7fffffff) record->ttl = 0;
  return read_data(reader, record) ? 1 : -1;
}

bool rt__dns_text(const rt__dns_record *record, size_t *offset,
                  const char **text, size_t *size) {
  if (*offset >= record->size) return false;
  *size = record->data[*offset];
  *text = (const char *)record->data + *offset + 1;
  *offset += 1 + *size;
  return *offset <= record->size;
}
