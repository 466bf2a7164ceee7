/**
 * A recorded dialogue of dhclient and dnsmasq, given to the two emulated hosts between them: the same records at the same times, and the same bytes
 * whatever the size of bursts.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { TimedEvent } from "../../src/dataplane/index.js";
import { BURST_MAX, FRAME_LENGTH_MAX } from "../../src/dataplane/packet/index.js";
import type { CustomerAddressEvent } from "../../src/dataplane/slowpath/index.js";
import { dissect } from "../../src/dataplane/wire/index.js";
import { kernelModule } from "../../src/kernel-file.js";
import { Lab } from "../../src/vswitch/index.js";
import { load } from "../control/labs.js";

const file = (name: string): Buffer => readFileSync(fileURLToPath(new URL(`../../${name}`, import.meta.url)));
const LAB = file("examples/own-dhcp-server.yaml").toString();
const BLUE1 = "060600000005";

interface Recorded {
  readonly timeUs: number;
  readonly frame: Uint8Array;
  /** Its sender's port. */
  readonly port: "host1/Blue1" | "host2/Blue2";
}

/** Both directions of the recording, each frame at the port of its sender. */
function recording(): Recorded[] {
  const bytes = file("pcaps/blue1-dhcp.pcap");
  const all: Recorded[] = [];
  for (let at = 24; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at + 8);
    const frame = Uint8Array.from(bytes.subarray(at + 16, at + 16 + length));
    const timeUs = bytes.readUInt32LE(at) * 1_000_000 + bytes.readUInt32LE(at + 4);
    const isBlue1 = Buffer.from(frame.subarray(6, 12)).toString("hex") === BLUE1;
    all.push({ timeUs, frame, port: isBlue1 ? "host1/Blue1" : "host2/Blue2" });
    at += 16 + length;
  }
  const start = all[0]!.timeUs;
  return all.map((one) => ({ ...one, timeUs: one.timeUs - start }));
}

interface Played {
  /** What left the lab, in the order of capture files: time in microseconds, port, frame. */
  readonly left: readonly string[];
  readonly lines: readonly string[];
  readonly events: readonly string[];
  readonly reasons: readonly unknown[];
}

function play(burst: number): Played {
  const events: string[] = [];
  const onEvent = ({ timeMs, event }: TimedEvent): void => {
    if (event.kind !== "customerAddressChanged") return;
    const { change, customerAddress } = event as CustomerAddressEvent;
    events.push(`${timeMs} ${change} ${customerAddress}`);
  };
  const lab = new Lab(load(LAB).lab, { kernel: kernelModule(), onEvent });
  const { engine } = lab;
  const { memory } = engine;
  const buffer = memory.allocate(BURST_MAX * FRAME_LENGTH_MAX);
  const left: { sequence: number; text: string; line: string }[] = [];
  const collect = (): void => {
    for (const { verdict, port, sequence, timestampNs, frame } of engine.lastBurst()) {
      if (verdict !== "delivered") continue;
      const name = engine.ports[port]!.name;
      const text = `${timestampNs / 1000n} ${name} ${Buffer.from(frame).toString("hex")}`;
      left.push({ sequence, text, line: `${name}: ${dissect(frame.slice()).at(-1)}` });
    }
  };
  const input = recording();
  for (let first = 0; first < input.length; first += burst) {
    const frames = input.slice(first, first + burst);
    frames.forEach(({ frame, port, timeUs }, index) => {
      const place = buffer + index * FRAME_LENGTH_MAX;
      memory.bytes.set(frame, place);
      engine.setRow(index, place, frame.length, lab.port(port)!, BigInt(timeUs) * 1000n, first + index);
    });
    for (const _ of engine.run(frames.length)) collect();
  }
  for (const _ of engine.passTime(engine.nowMs + 10_000)) collect();
  left.sort((a, b) => a.sequence - b.sequence);
  return {
    left: left.map(({ text }) => text),
    lines: left.map(({ line }) => line),
    events,
    reasons: engine.reasonCounts(),
  };
}

describe("recorded DHCP between two hosts", () => {
  const once = play(1);

  test("every message arrives where it was going", () => {
    const dhcp = once.lines.filter((line) => line.includes("DHCP"));
    expect(dhcp).toEqual([
      "host2/Blue2: DHCP discover, client 06-06-00-00-00-05",
      "host1/Blue1: DHCP offer, client 06-06-00-00-00-05, address 10.0.0.5",
      "host2/Blue2: DHCP request, client 06-06-00-00-00-05",
      "host1/Blue1: DHCP ack, client 06-06-00-00-00-05, address 10.0.0.5",
      "host2/Blue2: DHCP release, client 06-06-00-00-00-05",
      expect.stringMatching(/^host2\/Blue2: DHCPv6 solicit, client 06-06-00-00-00-05/),
      expect.stringMatching(/^host1\/Blue1: DHCPv6 advertise, .*address fd00:10::5$/),
      expect.stringMatching(/^host2\/Blue2: DHCPv6 request, /),
      expect.stringMatching(/^host1\/Blue1: DHCPv6 reply, .*address fd00:10::5$/),
      expect.stringMatching(/^host2\/Blue2: DHCPv6 release, /),
      expect.stringMatching(/^host1\/Blue1: DHCPv6 reply, /),
    ]);
  });

  test("what the server grants is on record a tick later, and what the client releases is not any more", () => {
    // Two seconds after its RELEASE the guest still answered ARP for its address.
    expect(once.events).toEqual([
      "2 Added 10.0.0.5",
      "3997 Deleted 10.0.0.5",
      "4145 Added fd00:10::5",
      "5204 Added 10.0.0.5",
      "8025 Deleted fd00:10::5",
    ]);
  });

  test("bursts of any size give the same bytes, records and counters", () => {
    for (const burst of [2, 7, BURST_MAX]) expect(play(burst)).toEqual(once);
  });
});
