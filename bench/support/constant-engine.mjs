/** An engine with one node that decides every frame alike, so that only the kernel is measured: port 0 inside, port 1 on the wire. */
import { Engine } from "../../dist/dataplane/index.js";
import { ipv4Address, ipv6AddressAt } from "../../dist/dataplane/wire/index.js";
import { kernelModule } from "../../dist/kernel-file.js";
import { FAR_NIC_MAC, NIC_MAC, PROVIDER4, VSID } from "./frames.mjs";

export const INSIDE = 0;
export const WIRE = 1;

export function constantEngine({ direction, outerFamily, flows }) {
  const forward = direction === "encap" ? encapsulation(outerFamily) : decapsulation;
  const decision = { cacheable: true, stamps: [], verdict: { kind: "forward", outputs: [forward] } };
  return new Engine({
    kernel: kernelModule(),
    nodes: [{ name: "constant", decide: () => decision }],
    ports: [
      { name: "inside", node: 0, tunnel: false, peer: null },
      { name: "wire", node: 0, tunnel: true, peer: null },
    ],
    stampCount: 16,
    flowCapacity: Math.max(131_072, 2 * flows),
  });
}

const decapsulation = {
  output: INSIDE,
  pop: true,
  dscpInwards: false,
  ethernet: null,
  decrementTtl: false,
  lengthLimit: null,
  push: null,
};

const encapsulation = (family) => ({
  output: WIRE,
  pop: false,
  dscpInwards: false,
  ethernet: null,
  decrementTtl: false,
  lengthLimit: 1558,
  push: {
    ethernet: { destination: FAR_NIC_MAC, source: NIC_MAC, tag: null },
    source: family === 4 ? ipv4Address(PROVIDER4.source) : provider6(PROVIDER4.source),
    destination: family === 4 ? ipv4Address(PROVIDER4.destination) : provider6(PROVIDER4.destination),
    ttl: 128,
    ecn: "normal",
    dscp: { model: "pipe", value: 0 },
    dontFragment: true,
    flowLabel: 0,
    identification: 0,
    vsid: VSID,
    flowId: 7,
  },
});

function provider6(address) {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x20010db8);
  view.setUint32(12, address);
  return ipv6AddressAt(bytes, 0);
}
