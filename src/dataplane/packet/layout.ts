/**
 * Where everything lies in a kernel's memory: the single source of offsets for TypeScript and for the kernel.
 *
 * `assembly/layout.generated.ts` is generated from this file (`npm run generate`), and a test fails if they differ.
 * All numbers are little-endian, as WebAssembly has them; packet bytes stay in network order.
 *
 *   control block   where the regions below begin, the generation, the clock
 *   ports           one record per port: flags, link, stream, counters
 *   drops           per port one 64-bit counter per reason
 *   nodes           per node the IPv4 identification counter
 *   stamps          one version number per policy bucket (docs/ARCHITECTURE.md, "Invalidation")
 *   rows            one record per packet of the burst in flight
 *   keys            the flow key of each row
 *   lists           row addresses: this round, the next round; places of unresolved rows
 *   buckets         hash table: 8 tags and 8 entry indexes per 64-byte bucket
 *   entries         flow entries of 256 bytes
 *   arena           slots for frames that need headroom; reset with every burst
 *   then            what `PacketMemory.allocate` hands out: capture buffers, streams
 */

/** The control block: 32-bit words at fixed addresses. */
export const CONTROL = {
  GENERATION: 1024,
  /** Engine time in milliseconds; wraps after 49 days, compared by difference. */
  NOW_MS: 1028,
  PORTS: 1032,
  DROPS: 1036,
  NODES: 1040,
  STAMPS: 1044,
  ROWS: 1048,
  ROW_CAPACITY: 1052,
  /** Rows in use by the burst in flight, copies included. */
  ROW_COUNT: 1056,
  KEYS: 1060,
  LIST_CURRENT: 1064,
  LIST_NEXT: 1068,
  LIST_UNRESOLVED: 1072,
  BUCKETS: 1076,
  /** Number of buckets minus one; the number is a power of two. */
  BUCKET_MASK: 1080,
  ENTRIES: 1084,
  ENTRY_CAPACITY: 1088,
  ENTRY_COUNT: 1092,
  /** First entry of the list of entries given back, 0 if none; linked through ENTRY.NEXT_OUTPUT. */
  ENTRY_FREE: 1096,
  /** The first entry that was never used, and the end of them: memory is touched only as flows come. */
  ENTRY_UNUSED: 1228,
  ENTRIES_END: 1232,
  ARENA: 1100,
  ARENA_END: 1104,
  TRANSIENTS: 1108,
  HITS: 1112,
  MISSES: 1120,
  EVICTIONS: 1128,
  /** Packets that the kernel handed over though a flow entry could not be made for them. */
  UNCACHED: 1136,
  REVALIDATIONS: 1144,
  STALE: 1152,
  IN: 1160,
  DELIVERED: 1168,
  DROPPED: 1176,
  PASSED: 1184,
  CONSUMED: 1192,
  COPIES: 1200,
  /** Packets that skipped the cache because a guard failed (length, TTL). */
  GUARDED: 1208,
  /** Counts emissions into streams; 32 bits. */
  EMITTED: 1216,
  /** Frames that responders made. */
  INJECTED: 1248,
  /** Bytes in use of the arena were not enough for a frame so often. */
  ARENA_FULL: 1240,
  /** Entries that went because they were idle for too long. */
  EXPIRED: 1280,
  /** How long an entry may be idle, in milliseconds: 32 bits for each FLOW_STATE. */
  IDLE_TIMEOUTS: 1288,
  /** Most copies that one packet may become. */
  FAN_OUT: 1320,
  /** Room for copies in one burst: rows, and bytes. */
  COPY_ROWS: 1324,
  COPY_BYTES: 1328,
  /** Where packets are counted by receive queue, 0 if no port has several: per port, one 64-bit counter per queue. */
  QUEUE_COUNTS: 1332,
  /** Not 0: the packets of a burst enter at ports of one node. */
  ONE_NODE_BURSTS: 1336,
} as const;

export const PORT_SIZE = 64;
export const PORT = {
  FLAGS: 0,
  /** Index of the port at the other end of the link, or NO_PORT. */
  PEER: 4,
  /** Address of a stream block that receives every frame leaving here, or 0. */
  TX_STREAM: 8,
  NODE: 12,
  RX_PACKETS: 16,
  RX_BYTES: 24,
  TX_PACKETS: 32,
  TX_BYTES: 40,
  /** Address of a stream block that receives every frame entering here, or 0. */
  RX_STREAM: 48,
  /** Behind a frame longer than this a burst ends (`Node.reentry`). */
  BURST_ENDS_ABOVE: 56,
} as const;
export const NO_PORT = 0xffff;
export const PORT_FLAG = {
  /** Look into GRE: the port faces a provider network and belongs to an NVE, or the outside of a gateway with tunnels. */
  TUNNEL: 1,
  /** Behind a frame that begins a TCP connection a burst ends. */
  BURST_ENDS_AT_SYN: 2,
  /** The identifier of ICMP echo is in the key: the node's decisions depend on it, as those of a NAT do. */
  ECHO: 4,
} as const;

/** Distance between the drop counters of two ports; a power of two not below REASON_COUNT. */
export const DROPS_PER_PORT = 128;

/** Distance between the queue counters of two ports; no port has more receive queues. */
export const QUEUES_PER_PORT = 128;

export const NODE_SIZE = 16;
export const NODE = {
  /** The identification of the next outer IPv4 header; 16 bits are used. */
  IP_IDENTIFICATION: 0,
} as const;

/** Where frames that leave a port are collected, back to back with a gap before each, for capture files. */
export const STREAM_SIZE = 64;
export const STREAM = {
  BASE: 0,
  CURSOR: 4,
  END: 8,
  /** Bytes left free before each frame, for a record header. */
  GAP: 12,
  /** Address of the list of emitted frames, STREAM_ITEM_SIZE each. */
  LIST: 16,
  LIST_COUNT: 20,
  LIST_CAPACITY: 24,
  LAST_SEQUENCE: 28,
  /** 1 once frames of one burst were emitted out of the order of their sequence numbers. */
  DISORDERED: 32,
  /** Frames that did not fit; whoever owns the stream must empty it in time, so anything but 0 is a defect. */
  OVERFLOW: 36,
} as const;
export const STREAM_ITEM_SIZE = 40;
export const STREAM_ITEM = {
  OFFSET: 0,
  LENGTH: 4,
  ROW: 8,
  SEQUENCE: 12,
  TIMESTAMP: 16,
  /** Bytes by which the frame was longer on the wire than in its capture; 0 for whole frames. */
  MISSING: 24,
  /** ROW.SOURCE and ROW.TAG of the packet. */
  SOURCE: 28,
  TAG: 32,
  /** Counts all emissions of the engine, so that several streams can be put in one order. */
  ORDER: 36,
} as const;

export const ROW_SIZE = 64;
export const ROW = {
  /** Address of the frame's first byte. */
  OFFSET: 0,
  LENGTH: 4,
  /** Bytes before the frame that may be overwritten; READ_ONLY: neither those nor the frame itself. */
  HEADROOM: 8,
  /** The port at which the frame stands (16 bits): where it entered the node, in the end where it left. */
  PORT: 12,
  /** Nodes passed (8 bits). */
  HOPS: 14,
  /** VERDICT (8 bits). */
  VERDICT: 15,
  /** Nanoseconds since the epoch, 64 bits. */
  TIMESTAMP: 16,
  /** Place in the order of arrival; copies keep that of their original. */
  SEQUENCE: 24,
  MISSING: 28,
  /** Address of the flow entry that decides, 0 while unresolved. */
  ENTRY: 32,
  /** From the frame's start to its network header (16 bits). */
  NETWORK: 36,
  /** From the frame's start to the inner frame's network header; 0 when not NVGRE (16 bits). */
  INNER_NETWORK: 38,
  /** The flags octet of the (inner) TCP header, RFC 9293 §3.1; 0 for everything else and for cut headers. */
  TCP_FLAGS: 40,
  /** From the frame's start to the end of the inner frame (NVGRE) or of the frame. */
  KEEP_END: 44,
  HASH: 48,
  REASON: 52,
  KIND: 53,
  /** CAUSE: why the slow path was asked. */
  CAUSE: 54,
  /** Receive queue of the NIC, if the last node forwarded the packet from one. */
  QUEUE: 55,
  /** Free for whoever fills the rows (the capture reader: where the record lies). */
  SOURCE: 56,
  TAG: 60,
} as const;

/** In ROW.HEADROOM: others look at the frame where it lies, a capture stream or further copies of the packet. */
export const READ_ONLY = 0x8000_0000;

export const VERDICT = { PENDING: 0, DELIVERED: 1, DROPPED: 2, PASSED: 3, CONSUMED: 4 } as const;
export const CAUSE = {
  /** No entry for the key: the decision may be cached. */
  MISS: 0,
  /** The parser did not make a key (malformed, unusual, or for a responder): never cached. */
  UNKEYED: 1,
  /** An entry exists, but a guard sends this packet to the slow path: not cached. */
  GUARD: 2,
  /** An entry exists, but policy has changed since: decided again and cached. */
  STALE: 3,
} as const;

/** What the parser recognised; part of the key. The order is known to the kernel. */
export const KIND = {
  UNKEYED: 0,
  LINK: 1,
  IPV4: 2,
  IPV6: 3,
  NVGRE4_LINK: 4,
  NVGRE4_IPV4: 5,
  NVGRE4_IPV6: 6,
  NVGRE6_LINK: 7,
  NVGRE6_IPV4: 8,
  NVGRE6_IPV6: 9,
  /** GRE with a key that carries an IP packet. */
  GRE4_IPV4: 10,
  GRE4_IPV6: 11,
  GRE6_IPV4: 12,
  GRE6_IPV6: 13,
} as const;

/** Each row's key has this much room; what is in use depends on the kind. Unused bytes are zero. */
export const KEY_SIZE = 96;
/**
 *            0        6        12   14     15      16    17     18    20
 *  all       dst MAC  src MAC  TCI  flags  VSID-h  kind  proto  port  …
 *  LINK      …20 EtherType                                                          32 bytes
 *  IPV4      …20 source, destination  28 ports                                      32
 *  IPV6      …20 source, destination  52 ports                                      64
 *  NVGRE4    inner as above up to 32 (LINK, IPV4) or 56 (IPV6), then outer source and destination,
 *  NVGRE6    outer destination MAC, low 16 bits of the VSID                         48, 80, 80, 96
 *  GRE4      as NVGRE, but with the GRE key and four octets of zero at the end          48, 80
 *  GRE6                                                                                 80, 96
 *
 * MAC addresses are the inner frame's when it is NVGRE, "proto" is the inner packet's; the TCI is the outer frame's. ICMP type and
 * code stand in the place of the ports, and at ports with PORT_FLAG.ECHO the identifier of echo. The order is that of an
 * untagged IPv4 frame, of which two vectors make the key: octets 0 to 15 and 22 to 37, with four octets replaced in each.
 */
export const KEY = { MACS: 0, TCI: 12, FLAGS: 14, VSID_HIGH: 15, KIND: 16, PROTOCOL: 17, PORT: 18, BODY: 20 } as const;
export const KEY_FLAG = {
  TAGGED: 1,
  FIRST_FRAGMENT: 2,
  LATER_FRAGMENT: 4,
  /** TCP, UDP or ICMP whose first four octets are not in the frame, or of whose echo header not all that the key needs. */
  TRANSPORT_CUT: 8,
  /** IPv6 with extension headers. */
  EXTENSIONS: 16,
} as const;
/** Length of the key by KIND, in bytes; multiples of 16. */
export const KEY_LENGTH = [0, 32, 32, 64, 48, 48, 80, 80, 80, 96, 48, 80, 80, 96] as const;

export const BUCKET_SIZE = 64;
export const BUCKET_SLOTS = 8;

export const ENTRY_SIZE = 256;
/**
 * What every hit reads and writes comes first and in one piece, so that a packet touches as few cache lines as its key and
 * template allow: two of 64 bytes for IPv4 in IPv4 without tags. What only misses need comes last.
 */
export const ENTRY = {
  GENERATION: 0,
  /** ACTION bits. */
  ACTION: 4,
  /** Longest network-layer part (network header to the end of what stays) that passes; 0xffff: any. */
  LIMIT: 8,
  OUTPUT: 10,
  /** One's complement sum of the outer IPv4 header as it lies in the template, in the order of bytes in memory. */
  CHECKSUM_BASE: 12,
  /** Whose identification counter the outer IPv4 header takes. */
  NODE: 14,
  TEMPLATE_LENGTH: 16,
  /** Receive queue in which the NIC had the packets. */
  QUEUE: 17,
  REASON: 18,
  /** All TCP flags that packets of the flow have shown. */
  TCP_FLAGS: 19,
  LAST_USED_MS: 20,
  PACKETS: 24,
  BYTES: 32,
  /** The key, and behind it (ACTION.KEY_CHUNKS) up to 88 bytes that replace everything before what stays. */
  KEY: 40,
  /**
   * With ACTION.ADDRESS: source and destination as they shall be, in network order; 8 or 32 octets. Key and template then end before.
   */
  NEW_ADDRESSES: 188,
  /** IPv4 only: what the new addresses add to the one's complement sum of the IP header, in the order of bytes in memory. */
  HEADER_DELTA: 196,
  /** Both ports as they shall be, or in the first two octets ICMP's identifier. */
  NEW_PORTS: 220,
  /** 1 if the entry counts among the established ones (8 bits; `assembly/ageing.ts`). */
  ESTABLISHED: 224,
  /** With ACTION.ADDRESS: TRANSPORT bits (8); 0 if nothing behind the IP header changes. */
  TRANSPORT: 225,
  /** What new addresses and ports add to the sum under the transport's checksum, as HEADER_DELTA. */
  TRANSPORT_DELTA: 226,
  /** Address of the entry with the next output of the same packet, 0 if none; free list link. */
  NEXT_OUTPUT: 228,
  /** Sum of the versions of the stamps when the decision was made. */
  STAMP_SUM: 232,
  /** The hash of the key, to find the bucket again on removal; 0 while the entry is not in the table. */
  HASH: 236,
  /** Stamp indexes that the decision rests on, 4 of 32 bits; unused ones are 0, whose version never moves. */
  STAMPS: 240,
} as const;
/** IPv6 and both frames tagged: 14 + 4 + 40 + 8 + 14 + 4 is 84. */
export const TEMPLATE_SIZE = 88;
export const STAMPS_PER_ENTRY = 4;

/** Bits of ENTRY.TRANSPORT. */
export const TRANSPORT = {
  /** Where the checksum lies in the transport header. */
  CHECKSUM_MASK: 0x1f,
  /** UDP: a checksum of zero is none. */
  ZERO_IS_NONE: 0x20,
  NEW_PORTS: 0x40,
  NEW_IDENTIFIER: 0x80,
} as const;

/** What is known about a flow from its packets: how long it may be idle, and whether a new one may take its place. */
export const FLOW_STATE = {
  /** One packet so far, or TCP without an acknowledgment. */
  NEW: 0,
  TCP_ESTABLISHED: 1,
  /** TCP that has shown FIN or RST. */
  TCP_CLOSING: 2,
  UDP: 3,
  ICMP: 4,
  OTHER: 5,
} as const;

/** Bits of ENTRY.ACTION. */
export const ACTION = {
  /** Two bits, KEEP: which part of the frame stays. */
  KEEP_MASK: 3,
  DECREMENT_TTL: 4,
  /** Combine the outer ECN into the inner header by RFC 6040. */
  ECN_DECAP: 8,
  /** New IP addresses, and what follows from them (ENTRY.NEW_ADDRESSES, ENTRY.TRANSPORT). */
  ADDRESS: 128,
  /** Outer length, identification and checksum of IPv4 are patched. */
  PATCH_IPV4: 16,
  PATCH_IPV6: 32,
  /** CE inside becomes ECT(0) outside, as Linux does it (RFC 3168 §9.1.1, full functionality). */
  ECN_LINUX: 64,
  /** TCP packets with SYN go to the slow path. */
  GUARD_SYN: 256,
  /** On decapsulation the outer DSCP is copied inwards. */
  DSCP_DECAP: 512,
  /** Four bits, VERDICT: what happens; PENDING means: forward to OUTPUT. */
  VERDICT_SHIFT: 12,
  VERDICT_MASK: 0xf000,
  /** The outer IP header of the template stands behind a tag. */
  OUTER_TAGGED: 0x400,
  /** One of several outputs, which share the frame; the first leads to the others by NEXT_OUTPUT. */
  REPLICATE: 0x800,
  /** With ADDRESS: TCP segments with FIN or RST are not decided here. */
  TCP_END_GUARD: 0x40000,
  /** With DECREMENT_TTL: frames with padding behind their packet go to the slow path. */
  GUARD_PADDING: 0x80000,
  /** What stays begins with an IPv4 (else IPv6) header; needed by TTL, ECN and DSCP. */
  INNER_IPV4: 0x10000,
  INNER_IPV6: 0x20000,
  /** Three bits: how many units of 16 bytes the key has, so where the template begins. Set when the entry is taken. */
  KEY_CHUNKS_SHIFT: 20,
  KEY_CHUNKS_MASK: 0x700000,
  /** Eight bits: what the outer header copies of the inner DSCP (RFC 2983 §4.1) and ECN (RFC 6040 §4.1). */
  CLASS_SHIFT: 24,
} as const;
export const KEEP = { FRAME: 0, NETWORK: 1, INNER_NETWORK: 2 } as const;

/** Free bytes before a frame in the arena; more than any template adds. */
export const SLOT_HEADROOM = 128;
/** Longest frame that enters the engine, without FCS. */
export const FRAME_LENGTH_MAX = 65_535 + 14;
/** A frame that passed more nodes than this is caught in a loop. */
export const HOPS_MAX = 16;
/** Packets whose keys are made, and whose buckets are touched, before the first is looked up. */
export const GROUP_SIZE = 32;
/** Packets that one burst may bring; copies come on top. */
export const BURST_MAX = 256;
/** Bytes of frames that one burst may bring. */
export const BURST_BYTES_MAX = 512 * 1024;
/** Entries for decisions that are used once: one for each packet of a group, the rest for further outputs. */
export const TRANSIENT_COUNT = 4096;
