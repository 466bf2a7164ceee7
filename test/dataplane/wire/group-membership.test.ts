/** IGMP and MLD: messages as Scapy writes them (`scapy.contrib.igmp`, `igmpv3`, and its MLD), whole frames as its IP layers do. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  GROUP_RECORD,
  type GroupRecord,
  hasRouterAlert,
  IGMP_LEAVE,
  IGMP_V2_REPORT,
  MLD_DONE,
  MLD_V1_REPORT,
  membershipReportLength,
  parseAddress,
  readMembershipQuery,
  reportedGroupAt,
  setIcmpChecksum,
  writeMembershipMessage,
  writeMembershipReport,
} from "../../../src/dataplane/wire/index.js";
import { bytesOf, hexOf } from "../../vectors/worked-packets.js";
import { patched, written } from "./classics.js";

const ip = (text: string) => parseAddress(text)!;
const V4_GROUP = ip("239.9.9.9");
const V6_GROUP = ip("ff18::99");

const IGMP = {
  query1: bytesOf("1100 eeff 0000 0000"),
  query2: bytesOf("1164 f688 ef09 0909"),
  query3: bytesOf("119f cdb9 ef09 0909 027d 0002 0a09 0901 0a09 0902"),
  report2: bytesOf("1600 f1ec ef09 0909"),
  leave: bytesOf("1700 f0ec ef09 0909"),
  report3: bytesOf("2200 d5d4 0000 0002 0400 0000 ef09 0909 0100 0001 ef09 0901 0a09 0901"),
};
const MLD = {
  query1: bytesOf("8200 5950 2710 0000 ff18 0000 0000 0000 0000 0000 0000 0099"),
  query2: bytesOf(
    "8200 b291 9fff 0000 ff18 0000 0000 0000 0000 0000 0000 0099 0000 0001 2001 0db8 0000 0000 0000 0000 0000 0001",
  ),
  report1: bytesOf("8300 7f60 0000 0000 ff18 0000 0000 0000 0000 0000 0000 0099"),
  done: bytesOf("8400 7e60 0000 0000 ff18 0000 0000 0000 0000 0000 0000 0099"),
  report2: bytesOf("8f00 6f5b 0000 0001 0400 0000 ff18 0000 0000 0000 0000 0000 0000 0099"),
};
const query = (family: 4 | 6, bytes: Uint8Array) => readMembershipQuery(bytes, family, 0, bytes.length);

describe("queries", () => {
  it("tell their version by length and first code, and give the time, the group and its sources", () => {
    expect(query(4, IGMP.query1)).toEqual({ version: 1, maxResponseMs: 10_000, group: null, sources: [] });
    expect(query(4, IGMP.query2)).toEqual({ version: 2, maxResponseMs: 10_000, group: V4_GROUP, sources: [] });
    expect(query(4, IGMP.query3)).toEqual({
      version: 3,
      maxResponseMs: (0x1f << 4) * 100,
      group: V4_GROUP,
      sources: [ip("10.9.9.1"), ip("10.9.9.2")],
    });
    expect(query(6, MLD.query1)).toEqual({ version: 2, maxResponseMs: 10_000, group: V6_GROUP, sources: [] });
    expect(query(6, MLD.query2)).toEqual({
      version: 3,
      maxResponseMs: 0x1fff << 4,
      group: V6_GROUP,
      sources: [ip("2001:db8::1")],
    });
  });

  it.each([
    [0x00, 0],
    [0x7f, 12_700],
    [0x80, 12_800],
    [0xff, 3_174_400],
  ])("RFC 3376 §4.1.1: code %i is %i ms", (code, ms) => {
    expect(query(4, patched(IGMP.query3, { 1: code }))?.maxResponseMs).toBe(ms);
  });

  it.each([
    [0x7fff, 32_767],
    [0x8000, 32_768],
    [0xffff, 8_387_584],
  ])("RFC 3810 §5.1.3: code %i is %i ms", (code, ms) => {
    expect(query(6, patched(MLD.query2, { 4: code >>> 8, 5: code & 255 }))?.maxResponseMs).toBe(ms);
  });

  it.each([
    [4, IGMP.query3, 8],
    [6, MLD.query2, 24],
  ] as const)("IPv%i: every truncation is one of an older version, or none", (family, whole, older) => {
    for (let length = 0; length < whole.length; length++) {
      const read = readMembershipQuery(whole, family, 0, length);
      if (length === older) expect(read?.version).toBe(2);
      else expect(read, `${length} octets`).toBeNull();
    }
  });

  it("more sources than there is room for make it none, and so does another type", () => {
    expect(query(4, patched(IGMP.query3, { 11: 3 }))).toBeNull();
    expect(query(4, patched(IGMP.query3, { 10: 0xff, 11: 0xff }))).toBeNull();
    for (const bytes of [IGMP.report2, IGMP.leave, IGMP.report3]) expect(query(4, bytes)).toBeNull();
    for (const bytes of [MLD.report1, MLD.done, MLD.report2]) expect(query(6, bytes)).toBeNull();
  });

  it("any octets at all are read without harm", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(4 as const, 6 as const), (bytes, family) => {
        const read = query(family, patched(bytes, bytes.length > 0 ? { 0: family === 4 ? 0x11 : 130 } : {}));
        expect((read?.sources.length ?? 0) * (family === 4 ? 4 : 16)).toBeLessThanOrEqual(bytes.length);
      }),
    );
  });
});

describe("reports and leaves", () => {
  const message = (length: number, type: number, group: typeof V4_GROUP): string =>
    written(length, (frame, at) => writeMembershipMessage(frame, at, type, group));

  it("of versions 1 and 2 are written and read", () => {
    const unsummed = (bytes: Uint8Array): string => hexOf(patched(bytes, { 2: 0, 3: 0 }));
    expect(message(8, IGMP_V2_REPORT, V4_GROUP)).toBe(unsummed(IGMP.report2));
    expect(message(8, IGMP_LEAVE, V4_GROUP)).toBe(unsummed(IGMP.leave));
    expect(message(24, MLD_V1_REPORT, V6_GROUP)).toBe(unsummed(MLD.report1));
    expect(message(24, MLD_DONE, V6_GROUP)).toBe(unsummed(MLD.done));
    expect(reportedGroupAt(IGMP.report2, 4, 0, 8)).toEqual(V4_GROUP);
    expect(reportedGroupAt(MLD.report1, 6, 0, 24)).toEqual(V6_GROUP);
    expect(reportedGroupAt(IGMP.leave, 4, 0, 8)).toBeNull();
    expect(reportedGroupAt(IGMP.report2, 4, 0, 7)).toBeNull();
  });

  it("of version 3 are written, with sources, and with the checksum that Scapy computed", () => {
    const records: GroupRecord[] = [
      { type: GROUP_RECORD.toExclude, group: V4_GROUP, sources: [] },
      { type: GROUP_RECORD.isInclude, group: ip("239.9.9.1"), sources: [ip("10.9.9.1")] },
    ];
    const length = membershipReportLength(records);
    const text = written(length, (frame, at) => {
      writeMembershipReport(frame, at, 4, records);
      setIcmpChecksum(frame, at, at + length);
    });
    expect(text).toBe(hexOf(IGMP.report3));
    const v6: GroupRecord[] = [{ type: GROUP_RECORD.toExclude, group: V6_GROUP, sources: [] }];
    const expected = hexOf(patched(MLD.report2, { 2: 0, 3: 0 }));
    expect(written(membershipReportLength(v6), (frame, at) => writeMembershipReport(frame, at, 6, v6))).toBe(expected);
  });
});

describe("the router alert option", () => {
  const V4 = bytesOf("4600 0020 0001 0000 0102 82d3 c000 0202 e000 0001 9404 0000");
  const V6_HEAD = "6000 0000 0008 0001 fe80 0000 0000 0000 0000 0000 0000 0001 ff02 0000 0000 0000 0000 0000 0000 0001";

  it("is found among the options of IPv4", () => {
    expect(hasRouterAlert(V4, 4, 0)).toBe(true);
    expect(hasRouterAlert(patched(V4, { 20: 0x44 }), 4, 0)).toBe(false);
    expect(hasRouterAlert(patched(V4, { 0: 0x45 }), 4, 0)).toBe(false);
  });

  it.each([
    ["first", "3a00 0502 0000 0100", true],
    ["behind padding of one octet", "3a00 0005 0200 0000", true],
    ["behind padding of several", "3a00 0100 0502 0000", true],
    ["not there", "3a00 0104 0000 0000", false],
    ["an option that runs over the end", "3a00 1eff 0502 0000", false],
  ])("is looked for in a hop-by-hop header of IPv6: %s", (_where, header, isThere) => {
    expect(hasRouterAlert(bytesOf(`${V6_HEAD} ${header}`), 6, 0)).toBe(isThere);
  });

  it("is not looked for behind other headers", () => {
    expect(hasRouterAlert(bytesOf(`${V6_HEAD.replace("0008 0001", "0008 3c01")} 3a00 0502 0000 0100`), 6, 0)).toBe(
      false,
    );
  });
});
