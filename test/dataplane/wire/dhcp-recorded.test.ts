/** DHCP as a real server and a real client speak it: what we read in the recording is what tshark reads. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseFrame } from "../../../src/dataplane/packet/parse.js";
import {
  checkDhcp,
  checkDhcpv6,
  dhcpClientMacAt,
  dhcpMessageType,
  dhcpv6ClientMac,
  dhcpv6LeasedAddresses,
  dhcpv6TypeAt,
  dhcpYourAddressAt,
  dissect,
  formatAddress,
  formatMac,
  UDP_LENGTH,
} from "../../../src/dataplane/wire/index.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";

const RECORDING = join(fileURLToPath(new URL("../../..", import.meta.url)), "pcaps", "blue1-dhcp.pcap");

/** Frames of a little-endian capture file, with the place of their UDP payload if it is DHCP. */
function messages() {
  const file = readFileSync(RECORDING);
  const found: { frame: Uint8Array; family: 4 | 6; at: number; end: number }[] = [];
  for (let at = 24; at < file.length; ) {
    const length = file.readUInt32LE(at + 8);
    const frame = Uint8Array.from(file.subarray(at + 16, at + 16 + length));
    at += 16 + length;
    const ip = parseFrame(frame, 0, length)?.ip;
    const ports = [ip?.ports?.source, ip?.ports?.destination];
    const isDhcp = ip?.protocol === 17 && [67, 547].some((port) => ports.includes(port));
    if (ip && isDhcp) found.push({ frame, family: ip.family, at: ip.transportAt + UDP_LENGTH, end: ip.end });
  }
  return found;
}

const withColons = (mac: number): string =>
  formatMac(mac as never)
    .toLowerCase()
    .replaceAll("-", ":");

describe("recorded DHCP", () => {
  const all = messages();
  const V4 = ["dhcp.type", "dhcp.option.dhcp", "dhcp.ip.your", "dhcp.hw.mac_addr"] as const;
  const V6 = [
    "dhcpv6.msgtype",
    "dhcpv6.iaaddr.ip",
    "dhcpv6.iaaddr.valid_lifetime",
    "dhcpv6.duidllt.link_layer_addr",
  ] as const;
  it("is a whole dialogue in both families", () => {
    const v4 = all.flatMap(({ family, frame, at, end }) => (family === 4 ? [dhcpMessageType(frame, at, end)] : []));
    const v6 = all.flatMap(({ family, frame, at }) => (family === 6 ? [dhcpv6TypeAt(frame, at)] : []));
    expect(v4.slice(0, 4)).toEqual([1, 2, 3, 5]);
    expect(v6.slice(0, 4)).toEqual([1, 2, 3, 7]);
  });

  it.skipIf(!isTsharkAvailable())("says the same to us and to tshark", () => {
    const frames = all.map(({ frame }) => frame);
    const seen = tsharkFields(frames, [...V4, ...V6]);
    all.forEach(({ family, frame, at, end }, index) => {
      const fields = seen[index]!;
      if (family === 4) {
        expect(checkDhcp(frame, at, end)).toBe(0);
        expect(fields["dhcp.option.dhcp"]).toEqual([String(dhcpMessageType(frame, at, end))]);
        expect(fields["dhcp.ip.your"]).toEqual([formatAddress(dhcpYourAddressAt(frame, at))]);
        expect(fields["dhcp.hw.mac_addr"][0]).toBe(withColons(dhcpClientMacAt(frame, at)));
      } else {
        expect(checkDhcpv6(frame, at, end)).toBe(0);
        expect(fields["dhcpv6.msgtype"]).toEqual([String(dhcpv6TypeAt(frame, at))]);
        const lifetimes = fields["dhcpv6.iaaddr.valid_lifetime"];
        const leased = fields["dhcpv6.iaaddr.ip"].filter((_address, place) => Number(lifetimes[place]) !== 0);
        expect(dhcpv6LeasedAddresses(frame, at, end).map(formatAddress)).toEqual(leased);
        const client = dhcpv6ClientMac(frame, at, end);
        if (client !== undefined) expect(fields["dhcpv6.duidllt.link_layer_addr"]).toContain(withColons(client));
      }
    });
  });

  it("is dissected in words", () => {
    const lines = all.map(({ frame }) => dissect(frame).at(-1)!);
    expect(lines[0]).toBe("DHCP discover, client 06-06-00-00-00-05");
    expect(lines[3]).toBe("DHCP ack, client 06-06-00-00-00-05, address 10.0.0.5");
    expect(lines.filter((line) => line.startsWith("DHCPv6 reply, client ")).length).toBeGreaterThan(0);
  });
});
