/** Large sends in a capture from inside a VM, and the faults that NICs are known for; tshark judges what arrives. */
import { describe, expect, test } from "vitest";
import { isScapyAvailable } from "../../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../../oracles/tshark.js";
import { hexOf } from "../build.js";
import { deliveredAt, endsOf, type LabOptions, labOf, largeSend } from "./lab.js";

const isAvailable = isScapyAvailable() && isTsharkAvailable();
const lsoLab = (more: LabOptions = {}) => labOf({ mtus: [1500, 1500], adapter: ", lso: true", ...more });
const FIELDS = ["ip.id", "ip.len", "tcp.seq_raw", "tcp.len", "tcp.checksum.status", "ip.checksum.status"] as const;

/** What the peer gets, and what lies on the wire. */
function arrivals(options: LabOptions = {}, family: 4 | 6 = 4) {
  const lab = lsoLab(options);
  const ends = lab.send("host1/Blue1", largeSend(family));
  const frames = deliveredAt(ends, "host2/Blue2");
  return { lab, ends, frames };
}
const fieldsOf = (frames: readonly Uint8Array[]) => tsharkFields(frames, FIELDS);

describe.runIf(isAvailable)("a large send is cut as a NIC would cut it", () => {
  test.each([4, 6] as const)(
    "IPv%i: segments with an MSS that leaves room for the tunnel, right in every checksum",
    (family) => {
      const { lab, ends, frames } = arrivals({}, family);
      const fields = fieldsOf(frames);
      const headers = family === 4 ? 40 : 60;
      const size = 1458 - headers;
      expect(endsOf(ends)[0]).toBe("consumed at host1/Blue1: TX_SEGMENTED");
      const lengths = fields.map((one) => Number(one["tcp.len"][0]));
      expect(lengths).toEqual([...Array(Math.floor(20_000 / size)).fill(size), 20_000 % size]);
      expect(fields.map((one) => Number(one["tcp.seq_raw"][0]))).toEqual(lengths.map((_, n) => 5000 + n * size));
      expect(fields.every((one) => one["tcp.checksum.status"][0] === "1")).toBe(true);
      if (family === 4) expect(fields.map((one) => Number(one["ip.id"][0]))).toEqual(lengths.map((_, n) => 0x1000 + n));
      const data = Buffer.concat(frames.map((one) => one.subarray(14 + headers)));
      expect(hexOf(data)).toBe(hexOf(largeSend(family).subarray(14 + headers)));
      expect(lab.counters().totals).toMatchObject({ in: 1, consumed: 1, injected: frames.length, dropped: 0 });
    },
  );

  test("the first segment is decided, the others go by its flow entry", () => {
    const { lab } = arrivals();
    expect(lab.counters().flows.misses).toBe(1 + 3); // the large send, then one flow at three nodes
  });

  test("the VM's own wish counts where it is smaller: its MSS, or its MTU", () => {
    const first = (options: LabOptions): number => arrivals(options).frames[0]!.length - 54;
    expect(first({ adapter: ", lso: true, mss: 1000" })).toBe(1000);
    expect(first({ adapter: ", lso: true, mtu: 1200" })).toBe(1160);
    expect(first({ mtus: [9000, 9000] })).toBe(1460);
    expect(first({ mtus: [40_000, 40_000] })).toBe(1460); // it would fit whole, and is cut all the same
    expect(first({ adapter: ", lso: true, mss: 9000", mtus: [9000, 9000] })).toBe(1460); // no more than its MTU holds
  });

  test("between VMs of one host it is delivered whole", () => {
    const local = largeSend();
    local.set([6, 6, 0, 0, 0, 4], 0);
    local[33] = 4;
    expect(endsOf(lsoLab().send("host1/Blue1", local))).toEqual(["delivered at host1/Blue4"]);
  });

  test("without offload in the VM it is just a packet that does not fit", () => {
    const [end] = endsOf(labOf({ mtus: [1500, 1500] }).send("host1/Blue1", largeSend()));
    expect(end).toBe("dropped at host1/Blue1: TX_TOO_BIG_ICMP4");
  });

  test("a NIC that cannot leaves it to the host, with the same bytes; trace says which", () => {
    const whole = arrivals().frames.map(hexOf);
    for (const nic of ["lso: false", "maxHeaderSize: 64", "families: [innerIPv6, outerIPv4]"]) {
      const options = { nic: `, encapsulatedTaskOffload: { ${nic}, faults: [badInnerChecksum, constantIpId] }` };
      expect(arrivals(options).frames.map(hexOf)).toEqual(whole);
      const notes = lsoLab(options).explain("host1/Blue1", largeSend())[0]!.layers;
      expect(notes.at(-1)!.decided).toContain("the host cuts it into 15 segments");
    }
    const notes = lsoLab().explain("host1/Blue1", largeSend())[0]!.layers;
    expect(notes.at(-1)!.decided).toContain("the NIC cuts it into 15 segments of up to 1418 octets");
  });
});

describe.runIf(isAvailable)("faults of NICs", () => {
  const faulty = (fault: string) => arrivals({ nic: `, encapsulatedTaskOffload: { faults: [${fault}] }` });

  test("badInnerChecksum: every segment arrives with a TCP checksum that is wrong", () => {
    const fields = fieldsOf(faulty("badInnerChecksum").frames);
    expect(fields.every((one) => one["tcp.checksum.status"][0] === "0")).toBe(true);
    expect(fields.every((one) => one["ip.checksum.status"][0] === "1")).toBe(true);
  });

  test("constantIpId: all segments of a large send have its identification", () => {
    const fields = fieldsOf(faulty("constantIpId").frames);
    expect(new Set(fields.map((one) => one["ip.id"][0]))).toEqual(new Set(["0x1000"]));
    expect(fields.every((one) => one["ip.checksum.status"][0] === "1")).toBe(true);
  });

  test("mssNotLowered: segments of the VM's own MTU leave, too long for the provider network, which drops them", () => {
    const { ends, frames } = arrivals({
      adapter: ", lso: true, mtu: 1500",
      nic: ", encapsulatedTaskOffload: { faults: [mssNotLowered] }",
    });
    expect(frames.length).toBe(1); // the last one is short
    expect(endsOf(ends).filter((end) => end === "dropped at provider/host1.nic1: PROVIDER_MTU")).toHaveLength(13);
  });
});

describe.runIf(isAvailable)(
  "a large send whose length the VM has left to hardware, as captures taken inside it show",
  () => {
    /** With an IPv4 total length, or IPv6 payload length, of zero. */
    const lengthless = (frame: Uint8Array): Uint8Array => {
      const at = frame[14]! >>> 4 === 6 ? 18 : 16;
      frame.fill(0, at, at + 2);
      return frame;
    };
    const contents = (frames: readonly Uint8Array[]) => frames.map(hexOf);

    test.each([4, 6] as const)("IPv%i: the same segments as of one with its length", (family) => {
      const ends = lsoLab().send("host1/Blue1", lengthless(largeSend(family)));
      expect(endsOf(ends).slice(0, 2)).toEqual([
        "consumed at host1/Blue1: TX_LENGTH_FILLED",
        "consumed at host1/Blue1: TX_SEGMENTED",
      ]);
      expect(contents(deliveredAt(ends, "host2/Blue2"))).toEqual(contents(arrivals({}, family).frames));
    });

    test("between VMs of one host it is delivered whole, with length and checksums", () => {
      const local = lengthless(largeSend());
      local.set([6, 6, 0, 0, 0, 4], 0);
      local[33] = 4;
      const ends = lsoLab().send("host1/Blue1", local);
      expect(endsOf(ends)).toEqual(["consumed at host1/Blue1: TX_LENGTH_FILLED", "delivered at host1/Blue4"]);
      expect(fieldsOf(deliveredAt(ends, "host1/Blue4"))).toMatchObject([
        { "ip.len": ["20040"], "tcp.len": ["20000"], "tcp.checksum.status": ["1"], "ip.checksum.status": ["1"] },
      ]);
    });

    test("without large sends, within the MTU, and where there is no TCP header, a length of zero is what it was", () => {
      const invalid = ["dropped at host1/Blue1: INVALID_PACKET"];
      expect(endsOf(labOf({ mtus: [1500, 1500] }).send("host1/Blue1", lengthless(largeSend())))).toEqual(invalid);
      const endOf = (frame: Uint8Array): string[] => endsOf(lsoLab().send("host1/Blue1", lengthless(frame)));
      expect(endOf(largeSend().subarray(0, 14 + 1458))).toEqual(invalid); // MTU after boot
      expect(endOf(largeSend().subarray(0, 14 + 1459))[0]).toBe("consumed at host1/Blue1: TX_LENGTH_FILLED");
      expect(endOf(largeSend().fill(17, 23, 24))).toEqual(invalid); // UDP
      expect(endOf(largeSend().fill(0x40, 46, 47))).toEqual(invalid); // a TCP header of 16 octets
      const jumbogram = largeSend(6).fill(0, 20, 21); // hop-by-hop options (RFC 2675)
      expect(endOf(jumbogram)).toEqual(invalid);
    });

    test("IPv6 without payload decides nothing for a large send without length", () => {
      const lab = lsoLab();
      const empty = lengthless(largeSend(6).subarray(0, 14 + 40 + 6)); // padding
      const large = lengthless(largeSend(6));
      const [first, second] = [lab.send("host1/Blue1", empty), lab.send("host1/Blue1", large)];
      expect(endsOf(first)).toEqual(["delivered at host2/Blue2"]);
      expect(endsOf(second)[0]).toBe("consumed at host1/Blue1: TX_LENGTH_FILLED");
      expect(endsOf(lab.send("host1/Blue1", empty))).toEqual(endsOf(first));
    });
  },
);
