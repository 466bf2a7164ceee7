/**
 * The system calls of Linux that live interfaces need and Node.js does not have, by the npm package `koffi`.
 *
 * Addresses are plain numbers (user space ends below 2^53). Calls on the way of packets give −errno when they fail, as
 * the kernel itself does; all others throw a `SystemError`. Nothing here waits, `poll` aside.
 */
import { createRequire } from "node:module";
import { LiveError, SystemError } from "./errors.js";

export const ERRNO = {
  EPERM: 1,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  EBUSY: 16,
  ENODEV: 19,
  EINVAL: 22,
  EOPNOTSUPP: 95,
  ENETDOWN: 100,
  ENOBUFS: 105,
} as const;

export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const AF_INET = 2;
export const AF_PACKET = 17;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
/** In the type of a socket. */
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
export const SOL_PACKET = 263;
export const MSG_DONTWAIT = 0x40;
export const POLLIN = 1;
/** Numbers of system calls that the C library has no function for, the same on x64 and arm64. */
const RING_SETUP = 425;
const RING_ENTER = 426;
/** IORING_ENTER_GETEVENTS */
const RING_ENTER_WAITS = 1;

/** struct pollfd: descriptor (32 bits), events, revents (16 bits each). */
export const POLLFD = { SIZE: 8, EVENTS: 4, REVENTS: 6 } as const;
/** struct iovec: address, length. */
export const IOVEC = { SIZE: 16, LENGTH: 8 } as const;
/** struct mmsghdr on 64-bit systems; fields left out stay zero. */
export const MMSGHDR = { SIZE: 64, IOV: 16, IOV_COUNT: 24 } as const;

export interface System {
  open(path: string, flags: number): number;
  close(descriptor: number): void;
  /** `argument` is read and written. `name` says in the error what was asked. */
  ioctl(descriptor: number, request: number, argument: Uint8Array, name: string): number;
  /** For requests whose argument is a number. */
  ioctlNumber(descriptor: number, request: number, argument: number, name: string): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(descriptor: number, address: Uint8Array): void;
  /** Writes the address that the socket is bound to. */
  getSocketName(descriptor: number, address: Uint8Array): void;
  setSocketOption(descriptor: number, level: number, option: number, value: Uint8Array, name: string): void;
  getSocketOption(descriptor: number, level: number, option: number, value: Uint8Array, name: string): void;
  /** The mapping's address, and its bytes; nobody may touch these after `unmap`. */
  map(length: number, protection: number, flags: number, descriptor: number, offset: number): Mapping;
  unmap(mapping: Mapping): void;
  /** Where the first byte lies that this array or buffer shows. It does not move as long as the buffer lives. */
  addressOf(buffer: ArrayBufferLike | Uint8Array): number;

  read(descriptor: number, to: number, length: number): number;
  writev(descriptor: number, iovecs: number, count: number): number;
  sendmmsg(descriptor: number, messages: number, count: number, flags: number): number;
  /** io_uring_setup(2): the ring's descriptor. `params` is read and written. */
  ringSetup(entries: number, params: Uint8Array): number;
  /** io_uring_enter(2), and waits until `complete` calls are completed: how many were submitted. */
  ringEnter(descriptor: number, submit: number, complete: number): number;
  /** eventfd(2): a counter's descriptor, which is readable unless it is 0. */
  eventCounter(): number;
  /** Adds one to it. */
  countEvent(descriptor: number): void;
  /** Sets it to 0. */
  takeEvents(descriptor: number): void;
  /** `descriptors`: struct pollfd each. */
  poll(descriptors: Uint8Array, count: number, timeoutMs: number): number;
  /** The same in a thread of the pool; nobody may touch the bytes meanwhile. */
  pollAside(descriptors: Uint8Array, count: number, timeoutMs: number): Promise<number>;
}

export interface Mapping {
  readonly address: number;
  readonly bytes: ArrayBuffer;
}

interface KoffiFunction {
  (...values: unknown[]): number;
  /** Beside this thread; the last value is called with the result. */
  async(...values: unknown[]): void;
}

/** The part of koffi that is used here. */
interface Koffi {
  load(path: string | null): { func(definition: string): KoffiFunction };
  errno(): number;
  address(value: ArrayBufferLike | Uint8Array): bigint;
  view(address: bigint, length: number): ArrayBuffer;
}

let loaded: System | undefined;

/** Loaded when it is first asked for. Throws a LiveError where live interfaces cannot work at all. */
export function system(): System {
  loaded ??= bindCalls(loadKoffi());
  return loaded;
}

function loadKoffi(): Koffi {
  if (process.platform !== "linux" || !["x64", "arm64"].includes(process.arch)) {
    const here = `${process.platform} on ${process.arch}`;
    throw new LiveError("LIVE_UNSUPPORTED", `live interfaces need Linux on x64 or arm64; this is ${here}`);
  }
  try {
    return createRequire(import.meta.url)("koffi") as Koffi;
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "MODULE_NOT_FOUND";
    const why = isMissing || !(error instanceof Error) ? "" : ` (${error.message.split("\n")[0]})`;
    throw new LiveError("LIVE_UNSUPPORTED", `live interfaces need the npm package koffi${why}`);
  }
}

function bindCalls(koffi: Koffi): System {
  const libc = koffi.load(null);
  const open = libc.func("int open(const char *path, int flags, int mode)");
  const close = libc.func("int close(int fd)");
  const ioctl = libc.func("int ioctl(int fd, unsigned long request, void *argument)");
  const ioctlNumber = libc.func("int ioctl(int fd, unsigned long request, unsigned long argument)");
  const socket = libc.func("int socket(int domain, int type, int protocol)");
  const bind = libc.func("int bind(int fd, void *address, unsigned int length)");
  const getsockname = libc.func("int getsockname(int fd, void *address, void *length)");
  const setsockopt = libc.func("int setsockopt(int fd, int level, int option, void *value, unsigned int length)");
  const getsockopt = libc.func("int getsockopt(int fd, int level, int option, void *value, void *length)");
  const mmap = libc.func("intptr_t mmap(void *at, size_t length, int protection, int flags, int fd, int64_t offset)");
  const munmap = libc.func("int munmap(uintptr_t at, size_t length)");
  const read = libc.func("int64_t read(int fd, uintptr_t to, size_t length)");
  const writev = libc.func("int64_t writev(int fd, uintptr_t iovecs, int count)");
  const sendmmsg = libc.func("int sendmmsg(int fd, uintptr_t messages, unsigned int count, int flags)");
  const ringSetup = libc.func("int64_t syscall(int64_t number, unsigned int entries, void *params)");
  const ringEnter = libc.func(
    "int64_t syscall(int64_t number, int fd, unsigned int submit, unsigned int complete, unsigned int flags, intptr_t none, size_t size)",
  );
  const eventfd = libc.func("int eventfd(unsigned int value, int flags)");
  const eventfdRead = libc.func("int eventfd_read(int fd, void *value)");
  const eventfdWrite = libc.func("int eventfd_write(int fd, uint64_t value)");
  const taken = new Uint8Array(new ArrayBuffer(8));
  const poll = libc.func("int poll(void *descriptors, unsigned long count, int timeout)");

  const checked = (result: number, call: string): number => {
    if (result === -1) throw new SystemError(call, koffi.errno());
    return result;
  };
  const orErrno = (result: number): number => (result < 0 ? -koffi.errno() : result);
  return {
    open: (path, flags) => checked(open(path, flags | O_CLOEXEC, 0), `open ${path}`),
    close: (descriptor) => {
      close(descriptor);
    },
    ioctl: (descriptor, request, argument, name) => checked(ioctl(descriptor, request, argument), name),
    ioctlNumber: (descriptor, request, argument, name) => checked(ioctlNumber(descriptor, request, argument), name),
    socket: (domain, type, protocol) => checked(socket(domain, type | SOCK_CLOEXEC, protocol), "socket"),
    bind: (descriptor, address) => {
      checked(bind(descriptor, address, address.length), "bind");
    },
    getSocketName: (descriptor, address) => {
      checked(getsockname(descriptor, address, new Uint32Array([address.length])), "getsockname");
    },
    setSocketOption: (descriptor, level, option, value, name) => {
      checked(setsockopt(descriptor, level, option, value, value.length), name);
    },
    getSocketOption: (descriptor, level, option, value, name) => {
      checked(getsockopt(descriptor, level, option, value, new Uint32Array([value.length])), name);
    },
    map: (length, protection, flags, descriptor, offset) => {
      const address = checked(mmap(null, length, protection, flags, descriptor, offset), "mmap");
      return { address, bytes: koffi.view(BigInt(address), length) };
    },
    unmap: ({ address, bytes }) => {
      checked(munmap(address, bytes.byteLength), "munmap");
    },
    addressOf: (buffer) => Number(koffi.address(buffer)),
    read: (descriptor, to, length) => orErrno(read(descriptor, to, length)),
    writev: (descriptor, iovecs, count) => orErrno(writev(descriptor, iovecs, count)),
    sendmmsg: (descriptor, messages, count, flags) => orErrno(sendmmsg(descriptor, messages, count, flags)),
    ringSetup: (entries, params) => orErrno(ringSetup(RING_SETUP, entries, params)),
    ringEnter: (descriptor, submit, complete) =>
      orErrno(ringEnter(RING_ENTER, descriptor, submit, complete, RING_ENTER_WAITS, 0, 0)),
    eventCounter: () => checked(eventfd(0, O_NONBLOCK | O_CLOEXEC), "eventfd"),
    countEvent: (descriptor) => {
      eventfdWrite(descriptor, 1);
    },
    takeEvents: (descriptor) => {
      eventfdRead(descriptor, taken);
    },
    poll: (descriptors, count, timeoutMs) => orErrno(poll(descriptors, count, timeoutMs)),
    pollAside: (descriptors, count, timeoutMs) =>
      new Promise((resolve) => {
        poll.async(descriptors, count, timeoutMs, (_: Error | null, result: number) => resolve(result));
      }),
  };
}

/** A 32-bit number as the options of sockets take it. */
export const int32 = (value: number): Uint8Array => new Uint8Array(new Int32Array([value]).buffer);

/** Zeroed bytes for structures that the kernel is told the address of: they stay where they are, as small typed arrays may not. */
export function block(length: number): { readonly bytes: Uint8Array; readonly view: DataView } {
  const buffer = new ArrayBuffer(length);
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer) };
}
