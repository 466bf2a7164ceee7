/**
 * Linux guests as they were recorded (`pcaps/guests-*.pcapng`, made by `live-guests.test.ts`): DHCP, ping and TCP with path MTU discovery, given to the same
 * lab again. No root is needed.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { isTsharkAvailable, tsharkFields } from "../oracles/tshark.js";
import { type Dialogue, readRecording, replayGuests, timed } from "./guests-replay.js";
import { type NgPacket, ROOT, workplace } from "./helpers.js";
import { CLIENT, GUESTS_LAB, PAIRS, PINGS, RECORDED_GUESTS, type RecordedGuest, TRANSFERS } from "./live-guests.js";

const RECORDINGS = join(ROOT, "pcaps");
/** What NVGRE leaves of 1500 octets, over IPv4. */
const PATH_MTU = 1458;
const ETHERNET = 14;

test("every guest gets again what it got, at the same times", async () => {
  const { result, received } = await replayGuests(RECORDINGS, workplace());
  RECORDED_GUESTS.forEach((guest, index) => {
    const recorded = readRecording(RECORDINGS, guest);
    expect(recorded.sent.length).toBeGreaterThan(20);
    expect(timed(received[index]!)).toEqual(timed(recorded.received));
  });
  const sent = RECORDED_GUESTS.reduce((sum, guest) => sum + readRecording(RECORDINGS, guest).sent.length, 0);
  expect(result.totals.in).toBe(sent);
});

/** The files of a replay, what is on the wire between the hosts among them. */
async function filesOf(options: readonly string[], labFile?: string): Promise<{ stderr: string; files: Buffer[] }> {
  const at = workplace();
  const wire = ["--out", `host1/nic1=${at("host1.pcapng")}`, "--out", `host2/nic1=${at("host2.pcapng")}`];
  const { stderr } = await replayGuests(RECORDINGS, at, [...wire, ...options], labFile);
  const names = [...RECORDED_GUESTS.map(({ recording }) => `to-${recording}`), "host1.pcapng", "host2.pcapng"];
  return { stderr, files: names.map((name) => readFileSync(at(name))) };
}

const areSame = (some: readonly Buffer[], others: readonly Buffer[]): boolean =>
  some.every((file, index) => file.equals(others[index]!));

test("once more, and in bursts of 1, 64 and 256: the same bytes, to the guests and on the wire", async () => {
  const { files: once } = await filesOf([]);
  for (const file of once) expect(file.length).toBeGreaterThan(1000);
  for (const options of [[], ["--burst", "1"], ["--burst", "64"], ["--burst", "256"]]) {
    expect(areSame((await filesOf(options)).files, once), options.join(" ")).toBe(true);
  }
});

describe("with two workers", () => {
  test("a lab that learns has one, and gives the same bytes", async () => {
    const { stderr, files } = await filesOf(["--workers", "2"]);
    expect(stderr).toContain("hnv: one worker instead of 2, because");
    expect(areSame(files, (await filesOf([])).files)).toBe(true);
  });

  test("with the client's addresses on record there are two, and every guest gets the same bytes from either", async () => {
    const labFile = workplace()("lab.yaml");
    const text = readFileSync(GUESTS_LAB, "utf8");
    const known = text
      .slice(0, text.indexOf("lookupRecords:"))
      .replace(
        "{ distributeLearnedMs: 10 }",
        "{ sendControlMessages: false, acceptRedirect: false, learnPathMtu: false }",
      )
      .replace("vsid: 5001, dhcpGuard", `vsid: 5001, addresses: [${CLIENT.address}, "${CLIENT.address6}"], dhcpGuard`);
    writeFileSync(labFile, known);
    const one = await filesOf([], labFile);
    const two = await filesOf(["--workers", "2"], labFile);
    expect(two.stderr).toBe("");
    const guests = RECORDED_GUESTS.length; // on the wire, every worker counts identifications for itself
    expect(areSame(two.files.slice(0, guests), one.files.slice(0, guests))).toBe(true);
    expect(one.files[0]!.length).toBeGreaterThan(10_000);
  });
});

describe.skipIf(!isTsharkAvailable())("what tshark sees at the guests", () => {
  const dialogues = new Map<RecordedGuest, Dialogue>();
  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), "hnv-guests-"));
    const { received } = await replayGuests(RECORDINGS, (name) => join(folder, name));
    rmSync(folder, { recursive: true });
    RECORDED_GUESTS.forEach((guest, index) => {
      dialogues.set(guest, { sent: readRecording(RECORDINGS, guest).sent, received: received[index]! });
    });
  });

  const bytesOf = (packets: readonly NgPacket[]): Uint8Array[] => packets.map(({ data }) => Buffer.from(data, "hex"));
  const ask = <Name extends string>(packets: readonly NgPacket[], ...names: Name[]) =>
    tsharkFields(bytesOf(packets), names);
  const sentBy = (guest: RecordedGuest) => dialogues.get(guest)!.sent;
  const receivedBy = (guest: RecordedGuest) => dialogues.get(guest)!.received;
  /** Both directions. What a guest is told because of a frame comes behind it, at the same time. */
  const allAt = (guest: RecordedGuest): NgPacket[] =>
    [...sentBy(guest), ...receivedBy(guest)].sort((a, b) => Number(a.time - b.time));

  test("leases: discover, offer, request, ack; solicit, advertise, request, reply", () => {
    const messages = ask(allAt(CLIENT), "dhcp.option.dhcp", "dhcp.ip.your", "dhcpv6.msgtype", "dhcpv6.iaaddr.ip");
    const v4 = messages.filter((message) => message["dhcp.option.dhcp"].length > 0);
    expect(v4.map((message) => message["dhcp.option.dhcp"][0])).toEqual(["1", "2", "3", "5"]);
    expect(v4.at(-1)!["dhcp.ip.your"]).toEqual([CLIENT.address]);
    const v6 = messages.filter((message) => message["dhcpv6.msgtype"].length > 0);
    expect(v6.map((message) => message["dhcpv6.msgtype"][0])).toEqual(["1", "2", "3", "7"]);
    expect(v6.at(-1)!["dhcpv6.iaaddr.ip"]).toEqual([CLIENT.address6]);
  });

  test("no router advertises itself: addresses come from nobody but the server", () => {
    for (const guest of RECORDED_GUESTS) {
      const types = ask(allAt(guest), "icmpv6.type").flatMap((message) => message["icmpv6.type"]);
      expect(types).not.toContain("134");
    }
  });

  test("every echo has its reply", () => {
    for (const guest of RECORDED_GUESTS) {
      const asked = PINGS * PAIRS.filter(([from]) => from === guest).length;
      const messages = ask(receivedBy(guest), "icmp.type", "icmpv6.type");
      expect(messages.filter((message) => message["icmp.type"][0] === "0")).toHaveLength(asked);
      expect(messages.filter((message) => message["icmpv6.type"][0] === "129")).toHaveLength(asked);
    }
  });

  test.each(TRANSFERS.map((transfer) => [transfer.from.port, transfer.to.port, transfer.family, transfer] as const))(
    "%s to %s, TCP over IPv%i: told what the path carries, sends no longer packets from then on, and loses nothing",
    (_, __, family, { from, to, bytes }) => {
      const addressOf = (guest: RecordedGuest): string => (family === 4 ? guest.address : guest.address6);
      const names = [
        "frame.len",
        family === 4 ? "ip.src" : "ipv6.src",
        family === 4 ? "ip.dst" : "ipv6.dst",
        "icmp.type",
        "icmp.code",
        "icmp.mtu",
        "icmpv6.type",
        "icmpv6.mtu",
        "tcp.dstport",
        "tcp.seq",
        "tcp.payload",
        "tcp.analysis.lost_segment",
        "tcp.analysis.ack_lost_segment",
        "tcp.completeness",
      ] as const;
      const [source, target] = [names[1], names[2]];
      type Row = ReturnType<typeof tsharkFields<(typeof names)[number]>>[number];
      const isSegment = (row: Row): boolean =>
        row["icmp.type"].length + row["icmpv6.type"].length === 0 &&
        row["tcp.dstport"][0] === "5000" &&
        row[source][0] === addressOf(from) &&
        row[target][0] === addressOf(to);
      const isTooBig = (row: Row): boolean =>
        family === 4 ? row["icmp.type"][0] === "3" && row["icmp.code"][0] === "4" : row["icmpv6.type"][0] === "2";
      /** The octets that segments bear. */
      const streamIn = (rows: readonly Row[]): Buffer => {
        const stream = Buffer.alloc(bytes);
        for (const row of rows.filter(isSegment)) {
          const [payload] = row["tcp.payload"];
          if (payload) stream.set(Buffer.from(payload, "hex"), Number(row["tcp.seq"][0]) - 1);
        }
        return stream;
      };

      // 1. The sender.
      const atSender = ask(allAt(from), ...names);
      const told = atSender.filter((row) => isTooBig(row) && row[target].includes(addressOf(to))); // quoted
      expect(told.length).toBeGreaterThan(0);
      for (const row of told) expect([...row["icmp.mtu"], ...row["icmpv6.mtu"]]).toEqual([String(PATH_MTU)]);
      const lengths = (rows: readonly Row[]): number[] =>
        rows.filter(isSegment).map((row) => Number(row["frame.len"][0]));
      const last = atSender.indexOf(told.at(-1)!);
      expect(Math.max(...lengths(atSender.slice(0, last)))).toBe(ETHERNET + 1500);
      expect(Math.max(...lengths(atSender.slice(last)))).toBe(ETHERNET + PATH_MTU);

      // 2. The receiver: tshark's analysis finds no hole, and the whole connection, from SYN (1) to FIN (16).
      const atReceiver = ask(allAt(to), ...names);
      const arrived = atReceiver.filter(isSegment);
      expect(Math.max(...lengths(arrived))).toBe(ETHERNET + PATH_MTU);
      for (const row of arrived) {
        expect(row["tcp.analysis.lost_segment"]).toEqual([]);
        expect(row["tcp.analysis.ack_lost_segment"]).toEqual([]);
      }
      expect(Number(arrived.at(-1)!["tcp.completeness"][0])).toBe(31);
      expect(streamIn(atReceiver).equals(streamIn(atSender))).toBe(true);
    },
  );
});
