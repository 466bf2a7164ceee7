/** The dump of the flow table: what each kind of key says about its flow, in words. */
import { expect, test } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { Engine } from "../../../src/dataplane/engine.js";
import type { FlowEntryView } from "../../../src/dataplane/flow/index.js";
import type { Node } from "../../../src/dataplane/slowpath/layer.js";
import type { AddressRewrite, NodeIndex, PortIndex } from "../../../src/dataplane/transposition/transposition.js";
import { parseAddress } from "../../../src/dataplane/wire/address-text.js";
import { concatenate, frame, ip, nvgre, tagged, udp } from "../../engine/build.js";
import { kernelModule } from "../../support/kernel.js";

const NODE = 0 as NodeIndex;
const [VM, WIRE] = [0 as PortIndex, 1 as PortIndex];
const [MAC_A, MAC_B, MAC_C] = ["06-06-00-00-00-05", "06-06-00-00-00-07", "02-00-C0-A8-04-0B"];

/** What the node makes of addresses and ports. */
let rewritten: AddressRewrite | undefined;

/** Forwards what comes from the VM, drops what comes from the wire. */
const node: Node = {
  name: "n",
  decide({ ingress }) {
    if (ingress === WIRE) return { verdict: { kind: "drop", reason: Reason.RX_MOVED }, cacheable: true, stamps: [] };
    const untouched = { pop: false, dscpInwards: false, ethernet: null, decrementTtl: false, push: null };
    const address = rewritten && { address: rewritten };
    const outputs = [{ ...untouched, ...address, output: WIRE, lengthLimit: null }] as const;
    return { verdict: { kind: "forward", outputs }, cacheable: true, stamps: [] };
  },
};

function viewOf(port: PortIndex, bytes: Uint8Array): FlowEntryView {
  const ports = ["vm", "wire"].map((name, index) => ({
    name,
    node: NODE,
    tunnel: index === 1,
    peer: null,
    echo: index === 1,
  }));
  const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports, stampCount: 2 });
  engine.send([{ port, frame: bytes }], 1_000_000n);
  engine.process(0, 41);
  const entries = [...engine.flows()];
  expect(entries).toHaveLength(1);
  return entries[0]!;
}

const inner4 = frame(MAC_B, MAC_A, udp4(1234, 53));
function udp4(from: number, to: number): Uint8Array {
  const [source, destination] = ["10.0.0.5", "10.0.0.7"];
  return ip({ source, destination, protocol: 17, payload: udp(source, destination, [from, to], new Uint8Array(6)) });
}
function icmp6(source: string, destination: string): Uint8Array {
  return ip({ source, destination, protocol: 58, payload: Uint8Array.of(128, 3, 0, 0, 0, 1, 0, 2) });
}

const COMMON = {
  tci: null,
  tunnel: null,
  etherType: null,
  rewrite: null,
  sourceMac: MAC_A,
  destinationMac: MAC_B,
  state: "new",
  tcpFlags: 0,
  packets: 1,
  idleMs: 40,
} as const;

test("an IPv4 flow of a VM, tagged", () => {
  const bytes = frame(MAC_B, MAC_A, tagged(0xa005, udp4(1234, 53)));
  expect(viewOf(VM, bytes)).toEqual({
    ...COMMON,
    ingress: VM,
    kind: "IPV4",
    tci: 0xa005,
    ip: {
      source: "10.0.0.5",
      destination: "10.0.0.7",
      protocol: 17,
      fragment: null,
      ports: [1234, 53],
      identifier: null,
    },
    verdict: "FORWARD",
    output: WIRE,
    reason: Reason.NONE,
    bytes: bytes.length,
  });
});

test.each([
  ["10.0.0.5", "10.0.0.7", { source: "192.168.4.101", sourcePort: 61000 }, "10.0.0.7", [61000, 53]],
  ["10.0.0.5", "10.0.0.7", { source: "192.168.4.101" }, "10.0.0.7", null],
  ["fd00::5", "fd00::7", { source: "2001:db8::101", destinationPort: 54 }, "fd00::7", [1234, 54]],
] as const)("%s -> %s with other addresses and ports", (source, destination, address, to, ports) => {
  const payload = udp(source, destination, [1234, 53], new Uint8Array(6));
  const bytes = frame(MAC_B, MAC_A, ip({ source, destination, protocol: 17, payload }));
  rewritten = { ...address, source: parseAddress(address.source)! };
  expect(viewOf(VM, bytes)).toMatchObject({
    ip: { source, destination, ports: [1234, 53] },
    rewrite: { source: address.source, destination: to, ports },
  });
  rewritten = undefined;
});

test("TCP with its flags", () => {
  const segment = concatenate([0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x12, 16, 0, 0, 0, 0, 0]);
  const bytes = frame(MAC_B, MAC_A, ip({ source: "fd00::5", destination: "fd00::7", protocol: 6, payload: segment }));
  expect(viewOf(VM, bytes)).toMatchObject({
    kind: "IPV6",
    tcpFlags: 0x12,
    ip: { source: "fd00::5", destination: "fd00::7", protocol: 6, ports: [12345, 80] },
  });
});

test("ports behind extension headers", () => {
  const options = [17, 0, 1, 4, 0, 0, 0, 0]; // destination options before UDP
  const payload = concatenate(options, udp("fd00::5", "fd00::7", [1234, 53], new Uint8Array(6)));
  const bytes = frame(MAC_B, MAC_A, ip({ source: "fd00::5", destination: "fd00::7", protocol: 60, payload }));
  expect(viewOf(VM, bytes).ip).toMatchObject({ protocol: 17, fragment: null, ports: [1234, 53] });
});

test("a later fragment has no ports", () => {
  const bytes = frame(MAC_B, MAC_A, udp4(1234, 53));
  bytes[21] = 5;
  expect(viewOf(VM, bytes).ip).toMatchObject({ protocol: 17, fragment: "later", ports: null });
});

test("what is not IP shows its EtherType", () => {
  const bytes = frame(MAC_B, MAC_A, concatenate([0x88, 0xcc], new Uint8Array(46)));
  expect(viewOf(VM, bytes)).toMatchObject({ kind: "LINK", etherType: 0x88cc, ip: null, tunnel: null });
});

test.each([
  ["NVGRE4_IPV4", "192.168.4.11", "192.168.4.22"],
  ["NVGRE6_IPV4", "2001:db8::11", "2001:db8::22"],
])("%s shows the provider addresses, the VSID, and the inner flow", (kind, source, destination) => {
  const payload = nvgre(0xab_cdef, 7, inner4);
  const bytes = frame(MAC_C, MAC_C, tagged(103, ip({ source, destination, protocol: 47, payload })));
  expect(viewOf(WIRE, bytes)).toEqual({
    ...COMMON,
    ingress: WIRE,
    kind,
    tci: 103,
    tunnel: { vsid: 0xab_cdef, key: null, source, destination },
    ip: {
      source: "10.0.0.5",
      destination: "10.0.0.7",
      protocol: 17,
      fragment: null,
      ports: [1234, 53],
      identifier: null,
    },
    verdict: "DROPPED",
    output: null,
    reason: Reason.RX_MOVED,
    bytes: bytes.length,
  });
});

test.each([
  ["NVGRE4_IPV6", "192.168.4.11", "192.168.4.22"],
  ["NVGRE6_IPV6", "2001:db8::11", "2001:db8::22"],
])("%s shows ICMP's type and code, and the identifier of echo", (kind, source, destination) => {
  const payload = nvgre(5001, 7, frame(MAC_B, MAC_A, icmp6("fd00::5", "fd00::7")));
  expect(viewOf(WIRE, frame(MAC_C, MAC_C, ip({ source, destination, protocol: 47, payload })))).toMatchObject({
    kind,
    tunnel: { vsid: 5001, source, destination },
    ip: { source: "fd00::5", destination: "fd00::7", protocol: 58, ports: [128, 3], identifier: 1 },
  });
});

test.each([
  ["NVGRE4_LINK", "192.168.4.11", "192.168.4.22"],
  ["NVGRE6_LINK", "2001:db8::11", "2001:db8::22"],
])("%s shows the inner EtherType", (kind, source, destination) => {
  const payload = nvgre(5001, 7, frame(MAC_B, MAC_A, concatenate([0x08, 0x06], new Uint8Array(46))));
  expect(viewOf(WIRE, frame(MAC_C, MAC_C, ip({ source, destination, protocol: 47, payload })))).toMatchObject({
    kind,
    tunnel: { vsid: 5001, source, destination },
    etherType: 0x0806,
    ip: null,
  });
});
