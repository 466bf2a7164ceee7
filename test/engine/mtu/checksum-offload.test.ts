/** Checksums that a VM leaves to hardware, as in every capture taken inside a VM: finished on the way, whatever carries them. */
import { expect, test } from "vitest";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { hexOf } from "../build.js";
import { deliveredAt, endsOf, labOf } from "./lab.js";

/** What arrives must be Scapy's own packet, though what is sent holds the sum of the pseudo header only. */
const cases = ["TCP(sport=40000,dport=5001,seq=5,flags='PA')", "UDP(sport=4000,dport=5001)"].flatMap((transport) => [
  [transport, "IP(src='10.0.0.5',dst='10.0.0.7')"],
  [transport, "IPv6(src='fd00:10::5',dst='fd00:10::7')"],
]);
const whole = isScapyAvailable()
  ? scapyFrames(
      cases
        .map(([t, ip]) => `emit(Ether(dst='06:06:00:00:00:07',src='06:06:00:00:00:05')/${ip}/${t}/Raw(b'odd length!'))`)
        .join("\n"),
    )
  : [];

function unfinished(frame: Uint8Array): Uint8Array {
  const copy = frame.slice();
  const isV4 = frame[12] === 8;
  const [at, addresses, size, protocol] = isV4 ? [34, 26, 8, frame[23]!] : [54, 22, 32, frame[20]!];
  let sum = protocol + frame.length - at;
  for (let i = 0; i < size; i += 2) sum += frame[addresses + i]! * 256 + frame[addresses + i + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  const field = at + (protocol === 6 ? 16 : 6);
  copy[field] = sum >>> 8;
  copy[field + 1] = sum & 0xff;
  return copy;
}
const offloading = (nic = "") => labOf({ adapter: ", checksumOffload: true", nic });

test.runIf(isScapyAvailable())("TCP and UDP over IPv4 and IPv6 arrive as if the VM had finished them", () => {
  for (const frame of whole) {
    const ends = offloading().send("host1/Blue1", unfinished(frame));
    expect(endsOf(ends)).toEqual(["consumed at host1/Blue1: TX_CHECKSUM_FINISHED", "delivered at host2/Blue2"]);
    expect(hexOf(ends[1]!.frame)).toBe(hexOf(frame));
  }
});

test.runIf(isScapyAvailable())("what is finished, or wrong, or of a VM without offload, stays as it is", () => {
  const wrong = whole[0]!.slice();
  wrong[50] = wrong[50]! ^ 0xff;
  for (const frame of [...whole, wrong]) {
    expect(deliveredAt(offloading().send("host1/Blue1", frame), "host2/Blue2").map(hexOf)).toEqual([hexOf(frame)]);
  }
  const left = unfinished(whole[0]!);
  expect(deliveredAt(labOf().send("host1/Blue1", left), "host2/Blue2").map(hexOf)).toEqual([hexOf(left)]);
});

test.runIf(isScapyAvailable())(
  "a NIC with badInnerChecksum leaves it unfinished; one that has no such offload leaves it to the host",
  () => {
    const left = unfinished(whole[0]!);
    const through = (nic: string) =>
      deliveredAt(offloading(`, encapsulatedTaskOffload: { ${nic} }`).send("host1/Blue1", left), "host2/Blue2").map(
        hexOf,
      );
    expect(through("faults: [badInnerChecksum]")).toEqual([hexOf(left)]);
    expect(through("checksum: false, faults: [badInnerChecksum]")).toEqual([hexOf(whole[0]!)]);
  },
);
