/*
 * The yardstick of the encap bench: what `hnv encap` does to a classic pcap file with Ethernet frames, in plain C.
 *
 * One large read, one large write, outer Ethernet, IPv4 with checksum, GRE with key, no flow table: nothing is looked up, so
 * it does less than hnv and is a bound rather than a rival. Little-endian microsecond or nanosecond captures only.
 *
 *     cc -O3 -march=native -o wrap wrap.c && ./wrap IN OUT
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 4 << 20, FILE_HEADER = 24, RECORD_HEADER = 16, OUTER = 42, FRAME_MAX = 262144 };

static uint8_t input[CHUNK + FRAME_MAX + RECORD_HEADER];
static uint8_t output[CHUNK + FRAME_MAX + RECORD_HEADER + OUTER];

static const uint8_t template[OUTER] = {
    0x02, 0x00, 0xc0, 0xa8, 0x04, 0x16, 0x02, 0x00, 0xc0, 0xa8, 0x04, 0x0b, 0x08, 0x00,                   /* Ethernet */
    0x45, 0x00, 0, 0, 0, 0, 0x40, 0x00, 0x80, 0x2f, 0, 0, 0xc0, 0xa8, 0x04, 0x0b, 0xc0, 0xa8, 0x04, 0x16, /* IPv4 */
    0x20, 0x00, 0x65, 0x58, 0x00, 0x13, 0x89, 0x00,                                                       /* NVGRE */
};

static void write_all(int file, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t done = write(file, bytes, length);
    if (done <= 0) exit(1);
    bytes += done;
    length -= (size_t)done;
  }
}

static void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

/* Writes the record with its outer headers; returns the bytes written. */
static size_t wrap(const uint8_t *record, uint32_t captured, uint8_t *to, uint32_t identification) {
  uint32_t original, longer = captured + OUTER, total = captured + OUTER - 14;
  memcpy(to, record, 8);
  memcpy(&original, record + 12, 4);
  original += OUTER;
  memcpy(to + 8, &longer, 4);
  memcpy(to + 12, &original, 4);
  uint8_t *outer = to + RECORD_HEADER;
  memcpy(outer, template, OUTER);
  put16(outer + 16, total);
  put16(outer + 18, identification);
  uint32_t sum = 0;
  for (int i = 14; i < 34; i += 2) sum += (uint32_t)(outer[i] << 8 | outer[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  put16(outer + 24, ~((sum & 0xffff) + (sum >> 16)));
  memcpy(outer + OUTER, record + RECORD_HEADER, captured);
  return RECORD_HEADER + longer;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int in = open(argv[1], O_RDONLY), out = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
  uint8_t header[FILE_HEADER];
  if (in < 0 || out < 0 || read(in, header, FILE_HEADER) != FILE_HEADER) return 1;
  write_all(out, header, FILE_HEADER);

  size_t have = 0, filled = 0;
  uint32_t identification = 0;
  for (;;) {
    ssize_t got = read(in, input + have, CHUNK);
    if (got < 0) return 1;
    if (got == 0) break;
    have += (size_t)got;
    size_t at = 0;
    while (have - at >= RECORD_HEADER) {
      uint32_t captured;
      memcpy(&captured, input + at + 8, 4);
      if (captured > FRAME_MAX) return 1;
      if (have - at < RECORD_HEADER + captured) break;
      filled += wrap(input + at, captured, output + filled, identification++);
      at += RECORD_HEADER + captured;
      if (filled >= CHUNK) {
        write_all(out, output, filled);
        filled = 0;
      }
    }
    memmove(input, input + at, have - at);
    have -= at;
  }
  write_all(out, output, filled);
  return 0;
}
