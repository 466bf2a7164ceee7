/**
 * The fast path against the plain interpreter: a node with arbitrary, but for each flow constant, transpositions is run through the
 * engine, and every frame that comes out is compared with what `apply` makes of the same decision.
 *
 * The node decides by a hash of what is in the flow key, as real layers do, so that a wrong key or a wrong entry shows as
 * wrong bytes. Guards are asked of the packet itself.
 */
import { expect, test } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { Engine } from "../../../src/dataplane/engine.js";
import { type ParsedFrame, parseFrame } from "../../../src/dataplane/packet/parse.js";
import type { FrameAtPort, Node } from "../../../src/dataplane/slowpath/layer.js";
import { apply } from "../../../src/dataplane/transposition/apply.js";
import type {
  Decision,
  Forward,
  NodeIndex,
  NvgrePush,
  PortIndex,
} from "../../../src/dataplane/transposition/transposition.js";
import { ipv4Address, ipv6AddressAt } from "../../../src/dataplane/wire/address.js";
import type { FlowId, Mac, Tci, Vsid } from "../../../src/dataplane/wire/bytes.js";
import { greLengthAt } from "../../../src/dataplane/wire/gre.js";
import { checkNvgre } from "../../../src/dataplane/wire/nvgre.js";
import { tenantFrame, wireFrame } from "../../support/frames.js";
import { kernelModule } from "../../support/kernel.js";
import { Random, seededRandom } from "../../support/random.js";

const NODE = 0 as NodeIndex;
const VM = 0 as PortIndex;
const WIRE = 1 as PortIndex;
const OUT = 2 as PortIndex;
const OTHER = 3 as PortIndex;
const PORTS = [
  { name: "n/vm", node: NODE, tunnel: false, peer: null },
  { name: "n/wire", node: NODE, tunnel: true, peer: null },
  { name: "n/out", node: NODE, tunnel: false, peer: null },
  { name: "n/other", node: NODE, tunnel: false, peer: null },
];

/** A decision that depends on the flow alone, drawn from a seed that is made of the flow's fields. */
function decide({ bytes, start, end, ingress }: FrameAtPort): Decision {
  const frame = parseFrame(bytes, start, end);
  if (!frame) return { verdict: { kind: "drop", reason: Reason.INVALID_PACKET }, cacheable: false, stamps: [] };
  const inner = ingress === WIRE ? innerOf(bytes, frame) : null;
  // The outer source MAC is not in the key of an NVGRE packet; nothing is decided by it.
  const outer = inner ? { ...frame, source: 0 as Mac } : frame;
  const random = new Random(hashOf(bytes, outer) ^ (inner ? hashOf(bytes, inner) : 0) ^ ingress);
  const kind = random.below(10);
  if (kind === 0) return { verdict: { kind: "drop", reason: Reason.TX_NO_RECORD }, cacheable: true, stamps: [] };
  if (kind === 1) return { verdict: { kind: "pass", reason: Reason.NONE }, cacheable: true, stamps: [] };
  const pop = inner !== null && random.chance(0.8);
  const goesOn = pop ? inner : frame;
  const length = goesOn.end - goesOn.networkAt;
  const decrementTtl = goesOn.ip !== null && random.chance(0.4);
  const lengthLimit = random.chance(0.3) ? random.between(40, 200) : null;
  if (lengthLimit !== null && length > lengthLimit) return dropOne(Reason.TX_TOO_BIG);
  if (decrementTtl && goesOn.ip!.ttl <= 1) return dropOne(Reason.TX_TTL_EXCEEDED);
  const outputs: Forward[] = [];
  const count = random.chance(0.1) ? random.between(2, 4) : 1;
  for (let i = 0; i < count; i++) {
    outputs.push({
      output: random.pick([OUT, OTHER]),
      pop,
      dscpInwards: random.chance(0.3),
      ethernet: random.chance(0.6) ? ethernetFields(random) : null,
      decrementTtl,
      push: random.chance(0.6) ? push(random) : null,
      lengthLimit,
    });
  }
  return { verdict: { kind: "forward", outputs }, cacheable: true, stamps: [] };
}

const dropOne = (reason: Reason): Decision => ({ verdict: { kind: "drop", reason }, cacheable: false, stamps: [] });

function innerOf(bytes: Uint8Array, frame: ParsedFrame): ParsedFrame | null {
  const { ip } = frame;
  if (ip?.protocol !== 47 || ip.fragment !== "none" || checkNvgre(bytes, ip.transportAt, ip.end, "lenient"))
    return null;
  const inner = parseFrame(bytes, ip.transportAt + greLengthAt(bytes, ip.transportAt), ip.end);
  // What the receive checklist refuses: these have no flow key, and no two of them need be decided alike.
  return inner && inner.tag === null ? inner : null;
}

/** Of the fields that every flow key holds. */
function hashOf(bytes: Uint8Array, frame: ParsedFrame): number {
  const fields = [frame.destination, frame.source, frame.tag ?? -1, frame.etherType];
  const { ip } = frame;
  if (ip) {
    for (const address of [ip.source, ip.destination]) fields.push(address.w0, address.w1, address.w2, address.w3);
    fields.push(ip.protocol, ip.fragment.length);
    if (ip.ports) fields.push(ip.ports.source, ip.ports.destination);
  } else if (frame.etherType === 0x0800 || frame.etherType === 0x86dd) {
    for (let at = frame.start; at < frame.end; at++) fields.push(bytes[at]!); // malformed: no key, every one for itself
  }
  return fields.reduce(
    (h, field) => Math.imul(h ^ (field % 0x1_0000_0000) ^ (field >>> 3), 0x0100_0193) >>> 0,
    0x811c_9dc5,
  );
}

const ethernetFields = (random: Random) => ({
  destination: (0x0200_0000_0000 + random.below(256)) as Mac,
  source: (0x0200_0000_1000 + random.below(256)) as Mac,
  tag: random.chance(0.3) ? (random.below(65536) as Tci) : null,
});

function push(random: Random): NvgrePush {
  const isIpv4 = random.chance(0.5);
  return {
    ethernet: ethernetFields(random),
    source: isIpv4 ? ipv4Address(random.bits()) : ipv6AddressAt(random.bytes(16), 0),
    destination: isIpv4 ? ipv4Address(random.bits()) : ipv6AddressAt(random.bytes(16), 0),
    ttl: random.between(1, 255),
    ecn: random.pick(["normal", "compat", "linux"]),
    dscp: random.chance(0.5) ? { model: "uniform" } : { model: "pipe", value: random.below(64) },
    dontFragment: random.chance(0.5),
    flowLabel: random.below(1 << 20),
    identification: NODE,
    vsid: (4096 + random.below(1 << 23)) as Vsid,
    flowId: random.below(256) as FlowId,
  };
}

interface Run {
  readonly ends: readonly { verdict: string; port: number; reason: number; hex: string }[];
  readonly engine: Engine;
}

function runEngine(frames: readonly { port: PortIndex; frame: Uint8Array }[], burst: number, flowCapacity = 4096): Run {
  const node: Node = { name: "n", decide };
  const engine = new Engine({ kernel: kernelModule(), nodes: [node], ports: PORTS, stampCount: 4, flowCapacity });
  const ends = [];
  for (let first = 0; first < frames.length; first += burst) {
    const part = engine.send(frames.slice(first, first + burst));
    // Copies follow the originals of their burst; the order of sequence numbers is the same for every burst size.
    part.sort((a, b) => a.sequence - b.sequence);
    for (const end of part)
      ends.push({
        verdict: end.verdict,
        port: end.port,
        reason: end.reason,
        hex: Buffer.from(end.frame).toString("hex"),
      });
  }
  return { ends, engine };
}

/** What must come out, by the interpreter: the copies first get their identifications, the original the last. */
function runPlain(frames: readonly { port: PortIndex; frame: Uint8Array }[]): Run["ends"] {
  let identification = 0;
  const ends: { verdict: string; port: number; reason: number; hex: string }[] = [];
  for (const { port, frame } of frames) {
    const { verdict } = decide({ bytes: frame, start: 0, end: frame.length, ingress: port });
    const hex = Buffer.from(frame).toString("hex");
    if (verdict.kind === "drop") ends.push({ verdict: "dropped", port, reason: verdict.reason, hex });
    else if (verdict.kind === "pass") ends.push({ verdict: "passed", port, reason: verdict.reason, hex });
    else if (verdict.kind === "consume") ends.push({ verdict: "consumed", port, reason: Reason.NONE, hex });
    else {
      const [original, ...copies] = verdict.outputs;
      const made = copies.map((forward) => end(forward, frame, port));
      ends.push(end(original!, frame, port), ...made);
    }
  }
  return ends;

  function end(forward: Forward, frame: Uint8Array, port: PortIndex) {
    const result = apply(forward, frame, () => identification++);
    return typeof result === "number"
      ? { verdict: "dropped", port: port as number, reason: result as number, hex: Buffer.from(frame).toString("hex") }
      : { verdict: "delivered", port: forward.output as number, reason: 0, hex: Buffer.from(result).toString("hex") };
  }
}

function randomTraffic(random: Random, count: number): { port: PortIndex; frame: Uint8Array }[] {
  return Array.from({ length: count }, () => {
    const port = random.pick([VM, WIRE]);
    const mix = { hosts: 2, ports: 2, maxPayload: random.chance(0.02) ? 3000 : 200 };
    return { port, frame: port === WIRE && random.chance(0.9) ? wireFrame(random, mix) : tenantFrame(random, mix) };
  });
}

const PACKETS = 200_000;
const BATCH = 10_000;

test(`the kernel makes the same bytes as the plain interpreter, ${PACKETS} packets`, { timeout: 120_000 }, () => {
  const random = seededRandom();
  for (let done = 0; done < PACKETS; done += BATCH) {
    const frames = randomTraffic(random, BATCH);
    const { ends, engine } = runEngine(frames, 256);
    compare(ends, runPlain(frames), `seed ${random.seed}, batch from ${done}`);
    const { hits } = engine.flowCounters();
    expect(hits, "most packets repeat a flow, so a table that never hits is broken").toBeGreaterThan(BATCH / 5);
    const totals = engine.totals();
    expect(totals.in + totals.copies).toBe(totals.delivered + totals.dropped + totals.passed + totals.consumed);
  }
});

test("bursts of any size give the same bytes, counters included", () => {
  const random = seededRandom();
  const frames = randomTraffic(random, 3000);
  const whole = runEngine(frames, 256);
  for (const burst of [1, 7, 32, 33]) {
    const other = runEngine(frames, burst);
    compare(other.ends, whole.ends, `seed ${random.seed}, burst ${burst}`);
    expect(other.engine.totals()).toEqual(whole.engine.totals());
    expect(other.engine.flowCounters()).toEqual(whole.engine.flowCounters());
    expect(other.engine.reasonCounts()).toEqual(whole.engine.reasonCounts());
  }
});

test("a table that is far too small costs speed, never a wrong byte", () => {
  const random = seededRandom();
  const frames = randomTraffic(random, 5000);
  const { ends, engine } = runEngine(frames, 256, 8);
  compare(ends, runPlain(frames), `seed ${random.seed}`);
  const flows = engine.flowCounters();
  expect(flows.evictions).toBeGreaterThan(100);
  expect(flows.entries).toBeLessThanOrEqual(8);
});

function compare(got: Run["ends"], wanted: Run["ends"], what: string): void {
  expect(got.length, what).toBe(wanted.length);
  for (let i = 0; i < got.length; i++) {
    const [a, b] = [got[i]!, wanted[i]!];
    if (a.hex !== b.hex || a.verdict !== b.verdict || a.port !== b.port || a.reason !== b.reason) {
      expect(a, `${what}, packet ${i}`).toEqual(b);
    }
  }
}
