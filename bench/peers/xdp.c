/*
 * What a plain C program does with AF_XDP: the peer of src/io/live/xdp.ts, with rings, chunks and wakeups of the same sizes.
 *
 *     xdp send IFACE SECONDS LENGTH      frames as fast as they go; what comes back is taken and dropped
 *     xdp receive IFACE SECONDS          frames are read and given back
 *     xdp forward IFACE SECONDS          MAC addresses are swapped and the frame is sent from its chunk
 *
 * The clock starts WARM_UP seconds after the first frame. Prints: frames received, frames sent, seconds, and seconds of CPU time of
 * the rounds that had frames.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING 2048u
#define CHUNKS (3 * RING)
#define CHUNK 2048u
#define HEADROOM 256u
#define BURST 256u
#define MAX_TX_BUDGET 9
#define WARM_UP 0.3

struct ring {
  uint32_t *producer, *consumer, *flags;
  void *entries;
  uint32_t own;
};

static struct ring fill, completion, receive_ring, transmit;
static uint8_t *umem;
static int sock;
static uint32_t free_chunks[CHUNKS], free_count, sending;

static void check(long result, const char *what) {
  if (result >= 0) return;
  perror(what);
  exit(1);
}

static double seconds_of(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static double now(void) { return seconds_of(CLOCK_MONOTONIC); }

static void map_ring(struct ring *ring, const struct xdp_ring_offset *at, uint64_t offset, size_t entry) {
  uint8_t *base = mmap(NULL, at->desc + RING * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, sock, offset);
  if (base == MAP_FAILED) check(-1, "mmap");
  ring->producer = (uint32_t *)(base + at->producer);
  ring->consumer = (uint32_t *)(base + at->consumer);
  ring->flags = (uint32_t *)(base + at->flags);
  ring->entries = base + at->desc;
}

static void open_socket(unsigned interface) {
  sock = socket(AF_XDP, SOCK_RAW, 0);
  check(sock, "socket");
  umem = mmap(NULL, (size_t)CHUNKS * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  struct xdp_umem_reg registration = {.addr = (uintptr_t)umem, .len = (uint64_t)CHUNKS * CHUNK, .chunk_size = CHUNK};
  check(setsockopt(sock, SOL_XDP, XDP_UMEM_REG, &registration, sizeof registration), "XDP_UMEM_REG");
  const int options[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING};
  const uint32_t size = RING;
  for (int i = 0; i < 4; i++) check(setsockopt(sock, SOL_XDP, options[i], &size, sizeof size), "ring");
  struct xdp_mmap_offsets offsets;
  socklen_t length = sizeof offsets;
  check(getsockopt(sock, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length), "XDP_MMAP_OFFSETS");
  map_ring(&fill, &offsets.fr, XDP_UMEM_PGOFF_FILL_RING, 8);
  map_ring(&completion, &offsets.cr, XDP_UMEM_PGOFF_COMPLETION_RING, 8);
  map_ring(&receive_ring, &offsets.rx, XDP_PGOFF_RX_RING, sizeof(struct xdp_desc));
  map_ring(&transmit, &offsets.tx, XDP_PGOFF_TX_RING, sizeof(struct xdp_desc));
  struct sockaddr_xdp address = {.sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP, .sxdp_ifindex = interface};
  int bound = -1;
  for (int i = 0; i < 50 && bound < 0; i++) { /* the queue of the program before us is busy for some milliseconds */
    bound = bind(sock, (struct sockaddr *)&address, sizeof address);
    if (bound < 0) usleep(10000);
  }
  check(bound, "bind");
  const uint32_t budget = 256;
  setsockopt(sock, SOL_XDP, MAX_TX_BUDGET, &budget, sizeof budget); /* kernels before 6.17 refuse */
  for (uint32_t i = 0; i < CHUNKS; i++) free_chunks[free_count++] = i;
}

static int bpf(int command, union bpf_attr *attributes) { return syscall(SYS_bpf, command, attributes, sizeof *attributes); }

static void attach_program(unsigned interface) {
  union bpf_attr map = {.map_type = BPF_MAP_TYPE_XSKMAP, .key_size = 4, .value_size = 4, .max_entries = 1};
  const int map_fd = bpf(BPF_MAP_CREATE, &map);
  check(map_fd, "BPF_MAP_CREATE");
  const struct bpf_insn code[] = {
      {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = offsetof(struct xdp_md, rx_queue_index)},
      {.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map_fd},
      {0},
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = XDP_PASS},
      {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map},
      {.code = BPF_JMP | BPF_EXIT},
  };
  union bpf_attr program = {
      .prog_type = BPF_PROG_TYPE_XDP, .insn_cnt = sizeof code / sizeof *code, .insns = (uintptr_t)code, .license = (uintptr_t) "GPL"};
  const int program_fd = bpf(BPF_PROG_LOAD, &program);
  check(program_fd, "BPF_PROG_LOAD");
  const uint32_t queue = 0;
  union bpf_attr element = {.map_fd = map_fd, .key = (uintptr_t)&queue, .value = (uintptr_t)&sock};
  check(bpf(BPF_MAP_UPDATE_ELEM, &element), "BPF_MAP_UPDATE_ELEM");
  union bpf_attr link = {.link_create = {
                             .prog_fd = program_fd, .target_ifindex = interface, .attach_type = BPF_XDP, .flags = XDP_FLAGS_DRV_MODE}};
  check(bpf(BPF_LINK_CREATE, &link), "BPF_LINK_CREATE");
}

static void fill_chunks(void) {
  const uint32_t taken = __atomic_load_n(fill.consumer, __ATOMIC_ACQUIRE);
  uint32_t room = RING - (fill.own - taken);
  uint64_t *entries = fill.entries;
  for (; room > 0 && free_count + sending > RING; room--)
    entries[fill.own++ & (RING - 1)] = (uint64_t)free_chunks[--free_count] * CHUNK;
  __atomic_store_n(fill.producer, fill.own, __ATOMIC_RELEASE);
}

static void take_completed(void) {
  const uint32_t end = __atomic_load_n(completion.producer, __ATOMIC_ACQUIRE);
  const uint64_t *entries = completion.entries;
  for (; completion.own != end; completion.own++, sending--)
    free_chunks[free_count++] = entries[completion.own & (RING - 1)] / CHUNK;
  __atomic_store_n(completion.consumer, completion.own, __ATOMIC_RELEASE);
}

static void push(uint64_t address, uint32_t length) {
  struct xdp_desc *entries = transmit.entries;
  entries[transmit.own++ & (RING - 1)] = (struct xdp_desc){.addr = address, .len = length};
  sending++;
}

static void flush(void) {
  __atomic_store_n(transmit.producer, transmit.own, __ATOMIC_RELEASE);
  for (int i = 0; i < 128; i++) {
    if (__atomic_load_n(transmit.consumer, __ATOMIC_ACQUIRE) == transmit.own) return;
    if (!(__atomic_load_n(transmit.flags, __ATOMIC_ACQUIRE) & XDP_RING_NEED_WAKEUP)) return;
    if (sendto(sock, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN) return;
  }
}

static void swap_addresses(uint8_t *frame) {
  uint8_t destination[6];
  memcpy(destination, frame, 6);
  memcpy(frame, frame + 6, 6);
  memcpy(frame + 6, destination, 6);
}

int main(int argc, char **argv) {
  if (argc < 4) return fprintf(stderr, "usage: xdp send|receive|forward IFACE SECONDS [LENGTH]\n"), 2;
  const int sends = strcmp(argv[1], "send") == 0, forwards = strcmp(argv[1], "forward") == 0;
  const unsigned interface = if_nametoindex(argv[2]);
  const double seconds = atof(argv[3]);
  const uint32_t length = argc > 4 ? (uint32_t)atoi(argv[4]) : 60;
  open_socket(interface);
  if (sends)
    for (uint32_t i = 0; i < CHUNKS; i++) memcpy(umem + (size_t)i * CHUNK + HEADROOM, "\2\0\0\0\0\1\2\0\0\0\0\2\x88\xb5", 14);
  fill_chunks();
  attach_program(interface);
  uint64_t received = 0, sent = 0;
  double first = 0, start = 0, busy = 0;
  for (;;) {
    const double began = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    const uint32_t producer = __atomic_load_n(receive_ring.producer, __ATOMIC_ACQUIRE);
    uint32_t count = producer - receive_ring.own;
    if (count > BURST) count = BURST;
    const struct xdp_desc *entries = receive_ring.entries;
    for (uint32_t i = 0; i < count; i++) {
      const struct xdp_desc *frame = &entries[receive_ring.own++ & (RING - 1)];
      if (forwards && sending < RING) {
        swap_addresses(umem + frame->addr);
        push(frame->addr, frame->len);
        sent++;
      } else {
        free_chunks[free_count++] = frame->addr / CHUNK;
      }
    }
    __atomic_store_n(receive_ring.consumer, receive_ring.own, __ATOMIC_RELEASE);
    received += count;
    for (uint32_t i = 0; sends && i < BURST / 4 && sending < RING; i++, sent++)
      push((uint64_t)free_chunks[--free_count] * CHUNK + HEADROOM, length);
    if (sends || (forwards && count > 0)) flush(), take_completed();
    fill_chunks();
    if (count == 0 && !sends && (start == 0 || now() < start + seconds)) continue;
    if (count > 0) busy += seconds_of(CLOCK_THREAD_CPUTIME_ID) - began;
    if (first == 0) first = now();
    if (start == 0 && now() >= first + WARM_UP) start = now(), busy = 0, received = sent = 0;
    if (start != 0 && now() >= start + seconds) break;
  }
  printf("%lu %lu %.6f %.6f\n", received, sent, now() - start, busy);
  return 0;
}
