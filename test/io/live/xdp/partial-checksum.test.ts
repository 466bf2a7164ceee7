import { expect, it } from "vitest";
import { foldSum, pseudoHeaderSum, setU16, u16 } from "../../../../src/dataplane/wire/index.js";
import { completePartialChecksum } from "../../../../src/io/live/xdp/partial-checksum.js";

/** Frames with right checksums, as tshark 4 judges them: Ethernet, IP (10.0.0.1 to 10.0.0.2, fd00::1 to fd00::2), ports 1234 and 80. */
const FRAMES = {
  "TCP over IPv4":
    "02000000000202000000000108004500003600014000400626bf0a0000010a00000204d20050010203040506070850182000a1fa0000" +
    "474554202f20485454502f312e30",
  "UDP over IPv4":
    "02000000000202000000000108004500002500014000401126c50a0000010a00000204d200500011c4556f6464206c656e6774",
  "TCP over IPv6":
    "02000000000202000000000186dd6000000000140640fd000000000000000000000000000001fd000000000000000000000000000002" +
    "04d2005001020304050607085018200080920000",
  "UDP over IPv6, tagged":
    "0200000000020200000000018100000586dd60000000000d1140fd000000000000000000000000000001fd0000000000000000000000" +
    "0000000204d20050000dbcdb68656c6c6f",
} as const;

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
const FIELDS: Readonly<Record<string, { ip: number; transport: number; field: number; protocol: number }>> = {
  "TCP over IPv4": { ip: 14, transport: 34, field: 50, protocol: 6 },
  "UDP over IPv4": { ip: 14, transport: 34, field: 40, protocol: 17 },
  "TCP over IPv6": { ip: 14, transport: 54, field: 70, protocol: 6 },
  "UDP over IPv6, tagged": { ip: 18, transport: 58, field: 64, protocol: 17 },
};

it.each(Object.entries(FRAMES))("%s: completed if partial, else left alone", (name, hex) => {
  const { ip, transport, field, protocol } = FIELDS[name]!;
  const whole = bytesOf(hex);
  const frame = bytesOf(hex);
  completePartialChecksum(frame, 0, frame.length);
  expect(frame).toEqual(whole);

  setU16(frame, field, foldSum(pseudoHeaderSum(frame, ip, protocol, frame.length - transport)));
  const partial = frame.slice();
  completePartialChecksum(frame, 0, frame.length);
  expect(Buffer.from(frame).toString("hex")).toBe(hex);

  setU16(frame, field, u16(whole, field) ^ 0x0100);
  const wrong = frame.slice();
  completePartialChecksum(frame, 0, frame.length);
  expect(frame).toEqual(wrong); // wrong for another reason: not ours to hide

  for (let length = 0; length < partial.length; length++) {
    const cut = partial.slice(0, length);
    completePartialChecksum(cut, 0, length);
    expect(cut).toEqual(partial.slice(0, length));
  }
});

it("a right checksum that happens to equal the pseudo header's sum stays", () => {
  // UDP whose words add up to nothing but the pseudo header: the payload makes it so.
  const frame = bytesOf(FRAMES["UDP over IPv4"]);
  const pseudo = foldSum(pseudoHeaderSum(frame, 14, 17, frame.length - 34));
  setU16(frame, 40, pseudo);
  const rest = foldSum(u16(frame, 34) + u16(frame, 36) + u16(frame, 38) + 2 * pseudo);
  frame.fill(0, 42);
  setU16(frame, 42, 0xffff - rest);
  const before = frame.slice();
  completePartialChecksum(frame, 0, frame.length);
  expect(frame).toEqual(before);
});
