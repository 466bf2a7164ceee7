/**
 * Frames of a made-up tenant, written in place: UDP from Blue1 (10.0.0.5 or fd00:10::5) to Blue2, told apart by their ports.
 * They fit the host of `examples/one-host-records.yaml`. By hand and apart from `src`, so that a bench cannot err with what it measures.
 */
const ETHERNET = 14;
const NVGRE = 8;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const UDP = 17;
const GRE = 47;

export const BLUE1_MAC = 0x060600000005;
export const BLUE2_MAC = 0x060600000007;
export const NIC_MAC = 0x0200c0a8040b;
export const FAR_NIC_MAC = 0x0200c0a80416;
export const VSID = 5001;
export const PROVIDER4 = { source: 0xc0a8040b, destination: 0xc0a80416 };

/** How much longer a frame gets when it is wrapped. */
export const overheadOf = (outerFamily) => ETHERNET + ipLength(outerFamily) + NVGRE;

/** One frame of a flow. A number below 2^32 tells flows apart; `customer` changes the far address (IPv4). Returns its length. */
export function writeFrame(view, at, { family, length, flow, source, destination }) {
  writeEthernet(view, at, BLUE2_MAC, BLUE1_MAC, family);
  const ip = at + ETHERNET;
  const transport = ip + ipLength(family);
  writeIp(view, ip, family, length - ETHERNET, UDP, source ?? 0x0a000005, destination ?? 0x0a000007, 64);
  view.setUint16(transport, flow & 0xffff);
  view.setUint16(transport + 2, 4096 + (flow >>> 16));
  view.setUint16(transport + 4, at + length - transport);
  return length;
}

/** The same frame as it lies on the wire, coming to NIC_MAC. Returns its length. */
export function writeWrapped(view, at, outerFamily, frame, provider = PROVIDER4) {
  const overhead = overheadOf(outerFamily);
  writeEthernet(view, at, NIC_MAC, FAR_NIC_MAC, outerFamily);
  const ip = at + ETHERNET;
  const ipBytes = overhead - ETHERNET + frame.length;
  writeIp(view, ip, outerFamily, ipBytes, GRE, provider.destination, provider.source, 128);
  const gre = ip + ipLength(outerFamily);
  view.setUint32(gre, 0x20006558);
  view.setUint32(gre + 4, ((VSID << 8) | 7) >>> 0);
  return overhead + writeFrame(view, at + overhead, frame);
}

const ipLength = (family) => (family === 4 ? 20 : 40);

function writeEthernet(view, at, destination, source, family) {
  writeMac(view, at, destination);
  writeMac(view, at + 6, source);
  view.setUint16(at + 12, family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
}

function writeMac(view, at, mac) {
  view.setUint16(at, Math.floor(mac / 2 ** 32));
  view.setUint32(at + 2, mac % 2 ** 32);
}

/** IPv6 addresses are fd00:10:: with the IPv4 address as their last 32 bits. */
function writeIp(view, at, family, length, protocol, source, destination, ttl) {
  if (family === 6) {
    view.setUint32(at, 0x60000000);
    view.setUint16(at + 4, length - 40);
    view.setUint8(at + 6, protocol);
    view.setUint8(at + 7, ttl);
    for (const [place, address] of [
      [at + 8, source],
      [at + 24, destination],
    ]) {
      view.setUint32(place, 0xfd000010);
      view.setUint32(place + 12, address);
    }
    return;
  }
  view.setUint16(at, 0x4500);
  view.setUint16(at + 2, length);
  view.setUint32(at + 4, 0x00004000);
  view.setUint8(at + 8, ttl);
  view.setUint8(at + 9, protocol);
  view.setUint16(at + 10, 0);
  view.setUint32(at + 12, source);
  view.setUint32(at + 16, destination);
  let sum = 0;
  for (let word = 0; word < 20; word += 2) sum += view.getUint16(at + word);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(at + 10, ~sum & 0xffff);
}
