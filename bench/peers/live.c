/*
 * What plain C programs do with live interfaces: the peers of `hnv run --bind`, for bench/live.bench.mjs.
 *
 *     live send IFACE LENGTH              UDP frames of 16 flows from Blue1 to Blue2, as fast as they go, by sendmmsg
 *     live afpacket|xdp|tap WORK IN OUT   takes frames at IN and sends them at OUT; WORK is `forward`, as they are, or `encap`, in NVGRE
 *
 *   afpacket   TPACKET_V3 ring in, blocks and time-out as src/io/live/packet-ring.ts has them; sendmmsg out, headers in front of the frame
 *   xdp        AF_XDP in copy mode, one UMEM for both: a frame is sent from the chunk that it came in
 *   tap        read and write, a frame a call
 *
 * Nothing is looked up, no flow table, no checks: a bound rather than a rival. They sleep when nothing comes, and run until they are killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BURST 256u
#define OUTER 42u

static void check(long result, const char *what) {
  if (result >= 0) return;
  perror(what);
  exit(1);
}

static void put16(uint8_t *at, uint32_t value) { at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value; }

static uint16_t ip_checksum(const uint8_t *ip) {
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static int encapsulates;
static uint16_t identification;
static const uint8_t outer_template[OUTER] = {
    0x02, 0x00, 0xc0, 0xa8, 0x04, 0x16, 0x02, 0x00, 0xc0, 0xa8, 0x04, 0x0b, 0x08, 0x00,                   /* Ethernet */
    0x45, 0x00, 0, 0, 0, 0, 0x40, 0x00, 0x80, 0x2f, 0, 0, 0xc0, 0xa8, 0x04, 0x0b, 0xc0, 0xa8, 0x04, 0x16, /* IPv4 */
    0x20, 0x00, 0x65, 0x58, 0x00, 0x13, 0x89, 0x00,                                                       /* NVGRE */
};

/* Puts the outer headers in front of a frame, if that is the work; returns how many bytes that is. */
static uint32_t wrap(uint8_t *frame, uint32_t length) {
  if (!encapsulates) return 0;
  uint8_t *outer = frame - OUTER;
  memcpy(outer, outer_template, OUTER);
  put16(outer + 16, length + OUTER - 14);
  put16(outer + 18, identification++);
  put16(outer + 24, ip_checksum(outer + 14));
  return OUTER;
}

static void wait_for(int fd) {
  struct pollfd descriptor = {.fd = fd, .events = POLLIN};
  poll(&descriptor, 1, 100);
}

/* Packet sockets. */

static struct mmsghdr messages[BURST];
static struct iovec pieces[BURST];

static int packet_sender(const char *name) {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1, buffer = 4 << 20;
  check(fd, "socket");
  check(setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one), "PACKET_QDISC_BYPASS");
  check(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer), "SO_SNDBUFFORCE");
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name)};
  check(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
  for (unsigned i = 0; i < BURST; i++) messages[i].msg_hdr.msg_iov = &pieces[i], messages[i].msg_hdr.msg_iovlen = 1;
  return fd;
}

static void send_pieces(int fd, unsigned count) {
  for (unsigned done = 0; done < count;) {
    const int sent = sendmmsg(fd, messages + done, count - done, MSG_DONTWAIT);
    done += sent > 0 ? (unsigned)sent : 1; /* a frame that is refused is left out */
  }
}

static void send_frames(const char *name, uint32_t length) {
  static uint8_t frames[BURST][1600];
  const int fd = packet_sender(name);
  for (unsigned i = 0; i < BURST; i++) {
    uint8_t *frame = frames[i], *ip = frame + 14;
    memcpy(frame, "\6\6\0\0\0\7\6\6\0\0\0\5\x8\0", 14);
    memcpy(ip, "\x45\0\0\0\0\0\0\0\x40\x11\0\0\xa\0\0\5\xa\0\0\7", 20);
    put16(ip + 2, length - 14);
    put16(ip + 10, ip_checksum(ip));
    put16(ip + 20, 1024 + i % 16);
    put16(ip + 22, 9);
    put16(ip + 24, length - 34);
    pieces[i] = (struct iovec){.iov_base = frame, .iov_len = length};
  }
  for (;;) send_pieces(fd, BURST);
}

static void run_packets(const char *in, const char *out) {
  enum { BLOCK = 512 * 1024, BLOCKS = 32 };
  const int fd = socket(AF_PACKET, SOCK_RAW, 0), version = TPACKET_V3, one = 1;
  check(fd, "socket");
  check(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version), "PACKET_VERSION");
  check(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one), "PACKET_VNET_HDR");
  check(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one), "PACKET_IGNORE_OUTGOING");
  struct tpacket_req3 request = {.tp_block_size = BLOCK,
                                 .tp_block_nr = BLOCKS,
                                 .tp_frame_size = 2048,
                                 .tp_frame_nr = BLOCK / 2048 * BLOCKS,
                                 .tp_retire_blk_tov = 1};
  check(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request), "PACKET_RX_RING");
  uint8_t *ring = mmap(NULL, (size_t)BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (ring == MAP_FAILED) check(-1, "mmap");
  const int interface = (int)if_nametoindex(in);
  struct packet_mreq promiscuous = {.mr_ifindex = interface, .mr_type = PACKET_MR_PROMISC};
  check(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous), "PACKET_ADD_MEMBERSHIP");
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = interface};
  check(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
  const int sender = packet_sender(out);
  for (unsigned next = 0;; next = (next + 1) % BLOCKS) {
    struct tpacket_block_desc *block = (struct tpacket_block_desc *)(ring + (size_t)next * BLOCK);
    while (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) wait_for(fd);
    uint8_t *at = (uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
    unsigned filled = 0;
    for (uint32_t left = block->hdr.bh1.num_pkts; left > 0; left--) {
      const struct tpacket3_hdr *header = (struct tpacket3_hdr *)at;
      uint8_t *frame = at + header->tp_mac;
      const uint32_t length = header->tp_snaplen, step = header->tp_next_offset; /* the outer headers take the place of these */
      const uint32_t pushed = wrap(frame, length);
      pieces[filled++] = (struct iovec){.iov_base = frame - pushed, .iov_len = length + pushed};
      if (filled == BURST) send_pieces(sender, filled), filled = 0;
      at += step;
    }
    send_pieces(sender, filled);
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
  }
}

/* TAP devices. */

static int open_tap(const char *name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  check(fd, "/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  check(ioctl(fd, TUNSETIFF, &request), "TUNSETIFF");
  const int any = socket(AF_INET, SOCK_DGRAM, 0);
  check(ioctl(any, SIOCGIFFLAGS, &request), "SIOCGIFFLAGS");
  request.ifr_flags |= IFF_UP;
  check(ioctl(any, SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
  close(any);
  return fd;
}

static void run_taps(const char *in, const char *out) {
  static uint8_t room[256 + 65536];
  const int from = open_tap(in), to = open_tap(out);
  for (;;) {
    const ssize_t length = read(from, room + 256, 65536);
    if (length <= 0) {
      wait_for(from);
      continue;
    }
    const uint32_t pushed = wrap(room + 256, (uint32_t)length);
    if (write(to, room + 256 - pushed, (size_t)length + pushed) < 0 && errno != EAGAIN) check(-1, "write");
  }
}

/* AF_XDP. */

#define RING 2048u
#define CHUNKS (4 * RING)
#define CHUNK 2048u

struct ring {
  uint32_t *producer, *consumer, *flags;
  void *entries;
  uint32_t own;
};
struct socket {
  int fd;
  struct ring fill, completion, receive, transmit;
};

static uint8_t *umem;
static uint32_t free_chunks[CHUNKS], free_count, sending;

static void map_ring(int fd, struct ring *ring, const struct xdp_ring_offset *at, uint64_t offset, size_t entry) {
  uint8_t *base = mmap(NULL, at->desc + RING * entry, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
  if (base == MAP_FAILED) check(-1, "mmap");
  ring->producer = (uint32_t *)(base + at->producer);
  ring->consumer = (uint32_t *)(base + at->consumer);
  ring->flags = (uint32_t *)(base + at->flags);
  ring->entries = base + at->desc;
}

/* `first`: the socket whose UMEM is used, or -1 for the first. */
static void open_xdp(struct socket *xsk, const char *name, int first) {
  const int fd = xsk->fd = socket(AF_XDP, SOCK_RAW, 0);
  check(fd, "socket");
  if (first < 0) {
    umem = mmap(NULL, (size_t)CHUNKS * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    struct xdp_umem_reg registration = {.addr = (uintptr_t)umem, .len = (uint64_t)CHUNKS * CHUNK, .chunk_size = CHUNK};
    check(setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &registration, sizeof registration), "XDP_UMEM_REG");
    for (uint32_t i = 0; i < CHUNKS; i++) free_chunks[free_count++] = i;
  }
  const int options[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING};
  const uint32_t size = RING;
  for (int i = 0; i < 4; i++) check(setsockopt(fd, SOL_XDP, options[i], &size, sizeof size), "ring");
  struct xdp_mmap_offsets offsets;
  socklen_t length = sizeof offsets;
  check(getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length), "XDP_MMAP_OFFSETS");
  map_ring(fd, &xsk->fill, &offsets.fr, XDP_UMEM_PGOFF_FILL_RING, 8);
  map_ring(fd, &xsk->completion, &offsets.cr, XDP_UMEM_PGOFF_COMPLETION_RING, 8);
  map_ring(fd, &xsk->receive, &offsets.rx, XDP_PGOFF_RX_RING, sizeof(struct xdp_desc));
  map_ring(fd, &xsk->transmit, &offsets.tx, XDP_PGOFF_TX_RING, sizeof(struct xdp_desc));
  struct sockaddr_xdp address = {.sxdp_family = AF_XDP, .sxdp_ifindex = if_nametoindex(name)};
  address.sxdp_flags = first < 0 ? XDP_COPY | XDP_USE_NEED_WAKEUP : XDP_SHARED_UMEM;
  address.sxdp_shared_umem_fd = first < 0 ? 0 : (uint32_t)first;
  int bound = -1;
  for (int i = 0; i < 50 && bound < 0; i++) { /* the queue of the program before us is busy for some milliseconds */
    bound = bind(fd, (struct sockaddr *)&address, sizeof address);
    if (bound < 0) usleep(10000);
  }
  check(bound, "bind");
}

static int bpf(int command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

static void attach_program(const struct socket *xsk, const char *name) {
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
  union bpf_attr program = {.prog_type = BPF_PROG_TYPE_XDP,
                            .insn_cnt = sizeof code / sizeof *code,
                            .insns = (uintptr_t)code,
                            .license = (uintptr_t) "GPL"};
  const int program_fd = bpf(BPF_PROG_LOAD, &program);
  check(program_fd, "BPF_PROG_LOAD");
  const uint32_t queue = 0;
  union bpf_attr element = {.map_fd = (uint32_t)map_fd, .key = (uintptr_t)&queue, .value = (uintptr_t)&xsk->fd};
  check(bpf(BPF_MAP_UPDATE_ELEM, &element), "BPF_MAP_UPDATE_ELEM");
  union bpf_attr link = {.link_create = {.prog_fd = (uint32_t)program_fd,
                                         .target_ifindex = if_nametoindex(name),
                                         .attach_type = BPF_XDP,
                                         .flags = XDP_FLAGS_DRV_MODE}};
  check(bpf(BPF_LINK_CREATE, &link), "BPF_LINK_CREATE");
}

/* Chunks for the kernel to receive into, beyond those that are kept for what waits to be sent. */
static void fill_chunks(struct ring *fill) {
  uint32_t room = RING - (fill->own - __atomic_load_n(fill->consumer, __ATOMIC_ACQUIRE));
  for (; room > 0 && free_count > RING; room--)
    ((uint64_t *)fill->entries)[fill->own++ & (RING - 1)] = (uint64_t)free_chunks[--free_count] * CHUNK;
  __atomic_store_n(fill->producer, fill->own, __ATOMIC_RELEASE);
}

static void take_completed(struct ring *completion) {
  const uint32_t end = __atomic_load_n(completion->producer, __ATOMIC_ACQUIRE);
  for (; completion->own != end; completion->own++, sending--)
    free_chunks[free_count++] = (uint32_t)(((uint64_t *)completion->entries)[completion->own & (RING - 1)] / CHUNK);
  __atomic_store_n(completion->consumer, completion->own, __ATOMIC_RELEASE);
}

static void flush(struct socket *xsk) {
  struct ring *transmit = &xsk->transmit;
  __atomic_store_n(transmit->producer, transmit->own, __ATOMIC_RELEASE);
  for (int i = 0; i < 128; i++) {
    if (__atomic_load_n(transmit->consumer, __ATOMIC_ACQUIRE) == transmit->own) return;
    if (!(__atomic_load_n(transmit->flags, __ATOMIC_ACQUIRE) & XDP_RING_NEED_WAKEUP)) return;
    if (sendto(xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN) return;
  }
}

static void run_xdp(const char *in, const char *out) {
  struct socket from = {0}, to = {0};
  open_xdp(&from, in, -1);
  open_xdp(&to, out, from.fd);
  fill_chunks(&from.fill);
  attach_program(&from, in);
  for (;;) {
    uint32_t count = __atomic_load_n(from.receive.producer, __ATOMIC_ACQUIRE) - from.receive.own;
    if (count == 0) {
      flush(&to);
      wait_for(from.fd);
      continue;
    }
    if (count > BURST) count = BURST;
    for (uint32_t i = 0; i < count; i++) {
      const struct xdp_desc *frame = &((struct xdp_desc *)from.receive.entries)[from.receive.own++ & (RING - 1)];
      if (sending == RING) {
        free_chunks[free_count++] = (uint32_t)(frame->addr / CHUNK);
        continue;
      }
      const uint32_t pushed = wrap(umem + frame->addr, frame->len);
      ((struct xdp_desc *)to.transmit.entries)[to.transmit.own++ & (RING - 1)] =
          (struct xdp_desc){.addr = frame->addr - pushed, .len = frame->len + pushed};
      sending++;
    }
    __atomic_store_n(from.receive.consumer, from.receive.own, __ATOMIC_RELEASE);
    flush(&to);
    take_completed(&to.completion);
    fill_chunks(&from.fill);
  }
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "send") == 0) return send_frames(argv[2], (uint32_t)atoi(argv[3])), 0;
  if (argc != 5) return fprintf(stderr, "usage: live send IFACE LENGTH | live afpacket|xdp|tap forward|encap IN OUT\n"), 2;
  encapsulates = strcmp(argv[2], "encap") == 0;
  if (strcmp(argv[1], "afpacket") == 0) run_packets(argv[3], argv[4]);
  if (strcmp(argv[1], "xdp") == 0) run_xdp(argv[3], argv[4]);
  if (strcmp(argv[1], "tap") == 0) run_taps(argv[3], argv[4]);
  return 2;
}
