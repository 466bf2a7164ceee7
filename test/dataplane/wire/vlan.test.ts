import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import {
  checkTaggedEthernet,
  deiOf,
  isTpid,
  makeTci,
  pcpOf,
  TPID_CTAG,
  TPID_STAG,
  tciAt,
  tpidAt,
  VLAN_TAG_LENGTH,
  VLAN_TAG_OFFSET,
  vidOf,
  writeVlanTag,
} from "../../../src/dataplane/wire/vlan.js";
import { bytesOf, workedPacket } from "../../vectors/worked-packets.js";
import { expectEveryTruncation, written } from "./classics.js";

/** Scapy: Dot1AD(prio=3, DEI set, vlan=4094) / Dot1Q(prio=7, vlan=103). */
const DOUBLE_TAGGED = bytesOf("0606 0000 0007 0606 0000 0005 88a8 7ffe 8100 e067 0800");

describe("VLAN tag", () => {
  it("reads packet A-vlan's tag: VID 103, PCP 5", () => {
    const frame = workedPacket("aVlan");
    const tci = tciAt(frame, VLAN_TAG_OFFSET);
    expect(tpidAt(frame, VLAN_TAG_OFFSET)).toBe(TPID_CTAG);
    expect([vidOf(tci), pcpOf(tci), deiOf(tci)]).toEqual([103, 5, false]);
  });

  it("reads both tags of an 802.1ad frame", () => {
    const outer = tciAt(DOUBLE_TAGGED, 12);
    const inner = tciAt(DOUBLE_TAGGED, 16);
    expect([tpidAt(DOUBLE_TAGGED, 12), tpidAt(DOUBLE_TAGGED, 16)]).toEqual([TPID_STAG, TPID_CTAG]);
    expect([vidOf(outer), pcpOf(outer), deiOf(outer)]).toEqual([4094, 3, true]);
    expect([vidOf(inner), pcpOf(inner), deiOf(inner)]).toEqual([103, 7, false]);
  });

  it("writes the tags of both frames, and nothing else", () => {
    const tag = (tpid: number, tci: ReturnType<typeof makeTci>) =>
      written(VLAN_TAG_LENGTH, (frame, at) => writeVlanTag(frame, at, tpid, tci));
    expect(tag(TPID_CTAG, makeTci(5, false, 103))).toBe("8100a067");
    expect(tag(TPID_STAG, makeTci(3, true, 4094))).toBe("88a87ffe");
  });

  it("refuses every truncation", () => {
    expectEveryTruncation(checkTaggedEthernet, workedPacket("aVlan").slice(0, 30), 18, Reason.RX_ETH_SHORT);
  });

  it("knows tags by their TPID only", () => {
    expect([0x8100, 0x88a8, 0x9100].map(isTpid)).toEqual([true, true, true]);
    expect([0x0800, 0x86dd, 0x8101, 0x0081, 0].map(isTpid)).toEqual([false, false, false, false, false]);
  });

  it("cuts values that do not fit their field instead of spilling them into the next", () => {
    const tci = makeTci(8 + 1, false, 0x1000 + 7);
    expect([vidOf(tci), pcpOf(tci), deiOf(tci)]).toEqual([7, 1, false]);
  });

  it("reads back what it wrote", () => {
    fc.assert(
      fc.property(fc.nat(7), fc.boolean(), fc.nat(4095), (pcp, dei, vid) => {
        const frame = new Uint8Array(8);
        writeVlanTag(frame, 2, TPID_CTAG, makeTci(pcp, dei, vid));
        const tci = tciAt(frame, 2);
        expect([pcpOf(tci), deiOf(tci), vidOf(tci)]).toEqual([pcp, dei, vid]);
      }),
    );
  });
});
