/** The system calls that only AF_XDP needs, beside `../system.ts` and in its manner. */
import { createRequire } from "node:module";
import { SystemError } from "../errors.js";
import { MSG_DONTWAIT, type System, system } from "../system.js";

const BPF_SYSTEM_CALL = { x64: 321, arm64: 280 } as const;

export interface XdpSystem extends System {
  /** bpf(2): gives what the command gives, most often a descriptor. */
  bpf(command: number, attributes: Uint8Array, name: string): number;
  /** Asks the kernel to look at the transmit ring; −errno if it could not send all. */
  wakeTransmit(socket: number): number;
  /** Asks the kernel to look at the fill ring. */
  wakeReceive(socket: number): void;
}

interface Koffi {
  load(path: string | null): { func(definition: string): (...values: unknown[]) => number };
  errno(): number;
}

let bound: XdpSystem | undefined;

/** Throws a LiveError where live interfaces cannot work at all. */
export function xdpSystem(): XdpSystem {
  bound ??= bindCalls(system(), createRequire(import.meta.url)("koffi") as Koffi);
  return bound;
}

function bindCalls(base: System, koffi: Koffi): XdpSystem {
  const libc = koffi.load(null);
  const syscall = libc.func("int64_t syscall(int64_t number, int command, void *attributes, unsigned int size)");
  const sendto = libc.func("int64_t sendto(int fd, void *data, size_t size, int flags, void *to, unsigned int length)");
  const recvfrom = libc.func("int64_t recvfrom(int fd, void *data, size_t size, int flags, void *from, void *length)");
  const number = process.arch === "arm64" ? BPF_SYSTEM_CALL.arm64 : BPF_SYSTEM_CALL.x64;
  return {
    ...base,
    bpf: (command, attributes, name) => {
      const result = syscall(number, command, attributes, attributes.length);
      if (result < 0) throw new SystemError(name, koffi.errno());
      return result;
    },
    wakeTransmit: (socket) => (sendto(socket, null, 0, MSG_DONTWAIT, null, 0) < 0 ? -koffi.errno() : 0),
    wakeReceive: (socket) => {
      recvfrom(socket, null, 0, MSG_DONTWAIT, null, null);
    },
  };
}
