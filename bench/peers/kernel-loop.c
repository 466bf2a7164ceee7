/*
 * The yardstick of the peers bench: what our kernel does to a burst of frames in memory, in plain C, written as a DPDK program
 * would be: bursts of 32, all keys made and their buckets prefetched before the first is looked up, a bounded hash table of
 * 64-byte buckets, a template of the outer headers per flow.
 *
 * It knows Ethernet without tags, IPv4 without fragments, UDP and TCP, and one decision for all flows; our kernel knows much
 * more, so this is a bound. Frames come from a classic pcap file (little-endian) that is read once; they leave into a
 * buffer that starts over with each 256 frames, a gap before each, as our kernel's stream does.
 *
 *     cc -O3 -march=native -o kernel-loop kernel-loop.c
 *     kernel-loop encap|decap|copy CAPTURE      copy: the frames alone, nothing else
 *     kernel-loop block                         64 MiB from here to there
 *
 * It answers in lines of JSON. The first, when the program is warm, describes the output: a digest (FNV-1a) of all frames, and the
 * first one. Then each line of input is a number of seconds to run, and each answer tells how many frames went through.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

enum { FILE_HEADER = 24, RECORD_HEADER = 16, ETHERNET = 14, IPV4 = 20, OUTER = 42, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };
enum { BURST = 32, OUTPUT_BURST = 256, GAP = 16, FRAME_MAX = 2048, SLACK = 64, LIMIT = 1600, BLOCK = 64 << 20 };
enum { SLOTS = 8, BUCKET_BITS = 16, BUCKETS = 1 << BUCKET_BITS, ENTRIES = BUCKETS * SLOTS / 2 };

struct frame {
  const uint8_t *at;
  uint32_t length;
};

struct port {
  uint64_t packets, bytes;
};

struct key {
  uint64_t addresses, rest; /* rest: both ports, protocol, VSID */
};

struct entry {
  struct key key;
  uint64_t packets, bytes;
  uint32_t checksum_base; /* of the outer IPv4 header without length and identification, not folded */
  _Alignas(64) uint8_t template[64];
};

struct bucket {
  _Alignas(64) uint32_t tag[SLOTS]; /* the hash; 0: the slot is free */
  uint32_t entry[SLOTS];
};

/* A frame that the parser understood: its key, and which part of it stays. */
struct packet {
  struct key key;
  uint32_t hash;
  uint32_t stay;
  const uint8_t *from;
  struct entry *entry;
};

static struct bucket buckets[BUCKETS];
static _Alignas(64) struct entry entries[ENTRIES];
static uint32_t entry_count;
static uint64_t evictions, refused;
static struct port inside, wire;
static uint32_t identification;

static uint8_t output[OUTPUT_BURST * (GAP + OUTER + FRAME_MAX) + SLACK];
static struct frame sent[OUTPUT_BURST];
static uint32_t sent_count;
static uint8_t *cursor = output;

static struct frame *frames;
static uint32_t frame_count;

static const uint8_t outer_headers[OUTER] = {
    0x02, 0x00, 0xc0, 0xa8, 0x04, 0x16, 0x02, 0x00, 0xc0, 0xa8, 0x04, 0x0b, 0x08, 0x00,                   /* Ethernet */
    0x45, 0x00, 0, 0, 0, 0, 0x40, 0x00, 0x80, 0x2f, 0, 0, 0xc0, 0xa8, 0x04, 0x0b, 0xc0, 0xa8, 0x04, 0x16, /* IPv4 */
    0x20, 0x00, 0x65, 0x58, 0x00, 0x13, 0x89, 0x07,                                                       /* NVGRE */
};

/* ---- bytes ---- */

static inline uint32_t be16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static inline void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static inline uint32_t load32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static inline uint64_t load64(const uint8_t *at) {
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static inline uint32_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (sum & 0xffff) + (sum >> 16);
}

/* Of the 20 bytes of an IPv4 header; any byte order serves. */
static inline bool checksum_holds(const uint8_t *ip) {
  uint64_t sum = 0;
  for (int i = 0; i < IPV4; i += 4) sum += load32(ip + i);
  sum = (sum & 0xffffffff) + (sum >> 32);
  return fold((uint32_t)(sum & 0xffff) + (uint32_t)(sum >> 16 & 0xffff) + (uint32_t)(sum >> 32)) == 0xffff;
}

/* Short frames in whole vectors, which may write up to SLACK - 1 bytes behind the end and read as far (frames are padded). */
static inline void copy(uint8_t *to, const uint8_t *from, uint32_t length) {
  if (length > 512) {
    memcpy(to, from, length);
    return;
  }
  for (uint32_t i = 0; i < length; i += SLACK) memcpy(to + i, from + i, SLACK);
}

/* ---- the flow table ---- */

/* Never 0. */
static inline uint32_t hash_of(struct key key) {
  unsigned __int128 product = (unsigned __int128)(key.addresses ^ 0x9e3779b97f4a7c15) * (key.rest ^ 0xc2b2ae3d27d4eb4f);
  uint64_t mixed = (uint64_t)product ^ (uint64_t)(product >> 64);
  uint32_t hash = (uint32_t)(mixed ^ mixed >> 32);
  return hash ? hash : 1;
}

static inline struct bucket *first_bucket(uint32_t hash) { return &buckets[hash & (BUCKETS - 1)]; }
static inline struct bucket *second_bucket(uint32_t hash) { return &buckets[hash * 0x9e3779b1u >> (32 - BUCKET_BITS)]; }

/* A bit for each slot with this tag. */
static inline uint32_t slots_with(const struct bucket *bucket, uint32_t tag) {
#ifdef __AVX2__
  __m256i equal = _mm256_cmpeq_epi32(_mm256_load_si256((const __m256i *)bucket->tag), _mm256_set1_epi32((int)tag));
  return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(equal));
#else
  uint32_t mask = 0;
  for (int i = 0; i < SLOTS; i++) mask |= (uint32_t)(bucket->tag[i] == tag) << i;
  return mask;
#endif
}

static inline bool has_key(const struct entry *entry, struct key key) {
  return ((entry->key.addresses ^ key.addresses) | (entry->key.rest ^ key.rest)) == 0;
}

static struct entry *find_in(const struct bucket *bucket, struct key key, uint32_t hash) {
  for (uint32_t mask = slots_with(bucket, hash); mask; mask &= mask - 1) {
    struct entry *entry = &entries[bucket->entry[__builtin_ctz(mask)]];
    if (has_key(entry, key)) return entry;
  }
  return NULL;
}

/* The decision is always the same. A full table gives up the first flow of the bucket. */
static struct entry *install(struct key key, uint32_t hash) {
  struct bucket *bucket = first_bucket(hash);
  uint32_t free = slots_with(bucket, 0);
  if (!free) {
    bucket = second_bucket(hash);
    free = slots_with(bucket, 0);
  }
  uint32_t slot = free ? (uint32_t)__builtin_ctz(free) : 0, index;
  if (free && entry_count < ENTRIES) {
    index = entry_count++;
  } else if (!free) {
    index = bucket->entry[0];
    evictions++;
  } else {
    return NULL;
  }
  bucket->tag[slot] = hash;
  bucket->entry[slot] = index;
  struct entry *entry = &entries[index];
  memset(entry, 0, sizeof *entry);
  entry->key = key;
  memcpy(entry->template, outer_headers, OUTER);
  for (int i = ETHERNET; i < ETHERNET + IPV4; i += 2) entry->checksum_base += be16(outer_headers + i);
  return entry;
}

static struct entry *find_or_install(struct key key, uint32_t hash) {
  struct entry *entry = find_in(first_bucket(hash), key, hash);
  if (!entry) entry = find_in(second_bucket(hash), key, hash);
  return entry ? entry : install(key, hash);
}

/* ---- parse ---- */

/* The five-tuple and the VSID of an Ethernet frame without tag that carries unfragmented UDP or TCP over IPv4. */
static inline bool parse_flow(const uint8_t *frame, uint32_t length, uint32_t vsid, struct key *key) {
  if (length < ETHERNET + IPV4 + 4 || be16(frame + 12) != 0x0800) return false;
  const uint8_t *ip = frame + ETHERNET;
  uint32_t header = (uint32_t)(ip[0] & 15) << 2, total = be16(ip + 2), protocol = ip[9];
  if (ip[0] >> 4 != 4 || header < IPV4 || total < header + 4 || total > length - ETHERNET) return false;
  if ((be16(ip + 6) & 0x3fff) != 0 || (protocol != PROTOCOL_UDP && protocol != PROTOCOL_TCP)) return false;
  key->addresses = load64(ip + 12);
  key->rest = load32(ip + header) | (uint64_t)protocol << 32 | (uint64_t)vsid << 40;
  return true;
}

/* RFC 7637 section 3.2: K alone is set, Ethernet inside; behind an outer IPv4 header without options or fragments. */
static inline bool parse_nvgre(const uint8_t *frame, uint32_t length, struct packet *packet) {
  if (length < OUTER + ETHERNET || be16(frame + 12) != 0x0800) return false;
  const uint8_t *ip = frame + ETHERNET, *gre = ip + IPV4;
  uint32_t total = be16(ip + 2);
  if (ip[0] != 0x45 || total > length - ETHERNET || total < OUTER || (be16(ip + 6) & 0x3fff) != 0) return false;
  if (ip[9] != 47 || !checksum_holds(ip) || be16(gre) != 0x2000 || be16(gre + 2) != 0x6558) return false;
  packet->from = frame + OUTER;
  packet->stay = ETHERNET + total - OUTER;
  return parse_flow(packet->from, packet->stay, be16(gre + 4) << 8 | gre[6], &packet->key);
}

/* ---- one burst ---- */

static inline void send(uint8_t *at, uint32_t length, struct port *port) {
  port->packets++;
  port->bytes += length;
  sent[sent_count++] = (struct frame){at, length};
  cursor = at + length;
}

static inline void push(const struct packet *packet) {
  uint8_t *at = cursor + GAP, *ip = at + ETHERNET;
  uint32_t total = packet->stay + OUTER - ETHERNET;
  copy(at + OUTER, packet->from, packet->stay);
  memcpy(at, packet->entry->template, OUTER);
  put16(ip + 2, total);
  put16(ip + 4, identification);
  put16(ip + 10, ~fold(packet->entry->checksum_base + total + (identification & 0xffff)));
  identification++;
  send(at, OUTER + packet->stay, &wire);
}

static inline void pop(const struct packet *packet) {
  uint8_t *at = cursor + GAP;
  copy(at, packet->from, packet->stay);
  send(at, packet->stay, &inside);
}

static inline __attribute__((always_inline)) void run_burst(const struct frame *burst, uint32_t count, bool decap) {
  struct packet packets[BURST];
  struct port *from = decap ? &wire : &inside;
  uint32_t known = 0;

  /* 1. Keys, and a first touch of each bucket. */
  for (uint32_t i = 0; i < count; i++) {
    struct packet *packet = &packets[known];
    from->packets++;
    from->bytes += burst[i].length;
    packet->from = burst[i].at;
    packet->stay = burst[i].length;
    bool good = decap ? parse_nvgre(burst[i].at, burst[i].length, packet)
                      : parse_flow(burst[i].at, burst[i].length, 0, &packet->key) && burst[i].length <= LIMIT;
    if (!good) {
      refused++;
      continue;
    }
    packet->hash = hash_of(packet->key);
    __builtin_prefetch(first_bucket(packet->hash));
    known++;
  }

  /* 2. The entries that the tags point to. */
  for (uint32_t i = 0; i < known; i++) {
    const struct bucket *bucket = first_bucket(packets[i].hash);
    uint32_t mask = slots_with(bucket, packets[i].hash);
    packets[i].entry = mask ? &entries[bucket->entry[__builtin_ctz(mask)]] : NULL;
    if (mask) __builtin_prefetch(packets[i].entry, 1);
    if (mask && !decap) __builtin_prefetch(packets[i].entry->template);
  }

  /* 3. Compare, count, rewrite. */
  for (uint32_t i = 0; i < known; i++) {
    struct packet *packet = &packets[i];
    if (!packet->entry || !has_key(packet->entry, packet->key)) {
      packet->entry = find_or_install(packet->key, packet->hash);
      if (!packet->entry) {
        refused++;
        continue;
      }
    }
    packet->entry->packets++;
    packet->entry->bytes += packet->stay;
    if (decap) pop(packet);
    else push(packet);
  }
}

static void copy_burst(const struct frame *burst, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    uint8_t *at = cursor + GAP;
    copy(at, burst[i].at, burst[i].length);
    send(at, burst[i].length, &wire);
  }
}

static void encap_burst(const struct frame *burst, uint32_t count) { run_burst(burst, count, false); }
static void decap_burst(const struct frame *burst, uint32_t count) { run_burst(burst, count, true); }

/* ---- input, rounds, answers ---- */

static void fail(const char *why) {
  fprintf(stderr, "kernel-loop: %s\n", why);
  exit(1);
}

/* Every frame at the start of a cache line, with room to read beyond its end. */
static void read_frames(const char *path) {
  FILE *file = fopen(path, "rb");
  uint8_t header[FILE_HEADER], record[RECORD_HEADER];
  if (!file || fread(header, FILE_HEADER, 1, file) != 1 || load32(header) != 0xa1b2c3d4) fail("no little-endian pcap file");
  fseek(file, 0, SEEK_END);
  size_t size = (size_t)ftell(file), most = size / RECORD_HEADER, room = size + 64 * most + FRAME_MAX;
  fseek(file, FILE_HEADER, SEEK_SET);
  uint8_t *at = aligned_alloc(64, (room + 63) & ~(size_t)63);
  frames = malloc(most * sizeof *frames);
  if (!at || !frames) fail("no memory");
  while (fread(record, RECORD_HEADER, 1, file) == 1) {
    uint32_t length = load32(record + 8);
    if (length > FRAME_MAX || fread(at, length, 1, file) != 1) fail("a frame is cut or too long");
    frames[frame_count++] = (struct frame){at, length};
    at += (length + 63) & ~(uint32_t)63;
  }
  fclose(file);
}

static void start_output(void) {
  cursor = output;
  sent_count = 0;
}

static uint32_t digest = 0x811c9dc5;

static void digest_output(void) {
  for (uint32_t i = 0; i < sent_count; i++)
    for (uint32_t at = 0; at < sent[i].length; at++) digest = (digest ^ sent[i].at[at]) * 0x01000193;
}

static void pass(void (*run)(const struct frame *, uint32_t), bool digested) {
  for (uint32_t first = 0; first < frame_count; first += BURST) {
    if (first % OUTPUT_BURST == 0) {
      if (digested) digest_output();
      start_output();
    }
    run(frames + first, frame_count - first < BURST ? frame_count - first : BURST);
  }
  if (digested) digest_output();
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The first pass, in which every flow becomes known, is the one described. */
static void describe(void (*run)(const struct frame *, uint32_t)) {
  pass(run, true);
  pass(run, false);
  start_output();
  identification = 0;
  run(frames, 1);
  printf("{\"digest\":\"%08x\",\"frame\":\"", digest);
  for (uint32_t at = 0; at < sent[0].length; at++) printf("%02x", sent[0].at[at]);
  printf("\"}\n");
}

static uint64_t run_for(double duration, void (*run)(const struct frame *, uint32_t)) {
  uint64_t count = 0;
  double end = now() + duration;
  do {
    for (uint32_t some = 0; some < 10000; some += frame_count) {
      pass(run, false);
      count += frame_count;
    }
  } while (now() < end);
  return count;
}

static uint64_t copy_blocks_for(double duration, uint8_t *to, const uint8_t *from) {
  uint64_t count = 0;
  double end = now() + duration;
  do {
    memcpy(to, from, BLOCK);
    __asm__ volatile("" : : "r"(to) : "memory");
    count++;
  } while (now() < end);
  return count;
}

int main(int argc, char **argv) {
  char line[64];
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc == 2 && strcmp(argv[1], "block") == 0) {
    uint8_t *to = malloc(BLOCK), *from = malloc(BLOCK);
    if (!to || !from) fail("no memory");
    memset(from, 1, BLOCK);
    memcpy(to, from, BLOCK);
    printf("{\"bytes\":%d}\n", BLOCK);
    while (fgets(line, sizeof line, stdin)) {
      printf("{\"count\":%llu}\n", (unsigned long long)copy_blocks_for(atof(line), to, from));
    }
    return 0;
  }
  if (argc != 3) fail("usage: kernel-loop encap|decap|copy CAPTURE, or kernel-loop block");
  read_frames(argv[2]);
  if (frame_count == 0) fail("the capture is empty");
  void (*run)(const struct frame *, uint32_t) =
      strcmp(argv[1], "encap") == 0 ? encap_burst : strcmp(argv[1], "decap") == 0 ? decap_burst : copy_burst;
  describe(run);
  while (fgets(line, sizeof line, stdin)) {
    printf("{\"count\":%llu}\n", (unsigned long long)run_for(atof(line), run));
  }
  if (refused > 0 || evictions > 0) fail("frames were refused, or the flow table was too small");
  return 0;
}
