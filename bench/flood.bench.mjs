/**
 * A flood: nine packets in ten are the first and last of their flow. How much of their rate do 1,000 established flows keep, with
 * and without a budget for the slow path?
 *
 * "offered" is the load at which the established flows send, on a port that holds no queue: what the engine does not
 * take in time is lost, established or not. So they keep all of their rate as long as the engine takes packets of the mix as fast as
 * they come. A burst brings 256 packets; whole host, 64-byte frames, table at its default size and full of the scan's leavings.
 */
import { Reason } from "../dist/dataplane/index.js";
import { BURST_MAX } from "../dist/dataplane/packet/index.js";
import { Bursts } from "./support/bursts.mjs";
import { writeFrame } from "./support/frames.mjs";
import { FIRST_CUSTOMER, hostLab } from "./support/host-lab.mjs";
import { digestOf, hex, quick, seconds, spreadText, summary } from "./support/measure.mjs";

const ESTABLISHED = 1_000;
const PACKETS = quick ? 2_560 : 65_280;
const ROUNDS = quick ? 1 : 7;
/** Rounds that fill the table before the clock runs. */
const WARM_ROUNDS = quick ? 1 : 3;
const OFFERED_MPPS = 1;
const BUDGETS = [undefined, 128, 32, 16, 8];

const quiet = measure({ scanShare: 0, budget: undefined });
console.log(`established flows alone      ${quiet.text}`);
console.log(
  `\n90 % scan, budget/burst      engine takes          per burst  decided   kept of ${OFFERED_MPPS} Mpps   digest`,
);
for (const budget of BUDGETS) {
  const { text, mpps, microseconds, decided, digest } = measure({ scanShare: 0.9, budget });
  const kept = Math.min(1, mpps / OFFERED_MPPS);
  console.log(
    `${String(budget ?? "none").padStart(23)}      ${text} ${microseconds.toFixed(0).padStart(7)} µs ${(100 * decided).toFixed(1).padStart(7)} % ` +
      `${(100 * kept).toFixed(0).padStart(11)} %    ${hex(digest)}`,
  );
}

function measure({ scanShare, budget }) {
  const lab = hostLab(ESTABLISHED, budget === undefined ? {} : { decisionsPerBurst: budget });
  const { engine } = lab;
  const isScan = (index) => index % 10 < scanShare * 10;
  let scanned = ESTABLISHED;
  const frameOf = (index) =>
    isScan(index)
      ? { family: 4, length: 64, flow: scanned++, destination: FIRST_CUSTOMER + (index % ESTABLISHED) }
      : { family: 4, length: 64, flow: ((index / 10) | 0) % ESTABLISHED, destination: FIRST_CUSTOMER };
  const port = lab.port("host1/Blue1");
  establish(engine, port);
  const bursts = new Bursts(engine, {
    count: PACKETS,
    lengthMax: 64,
    port,
    write: (view, at, index) => writeFrame(view, at, frameOf(index)),
  });
  const next = () => {
    for (let index = 0; index < PACKETS; index++)
      if (isScan(index)) writeFrame(bursts.view, bursts.addressOf(index), frameOf(index));
  };
  for (let round = 0; round < WARM_ROUNDS; round++, next()) bursts.send();
  let digest;
  for (const { frame } of engine.lastBurst()) digest = digestOf(frame, digest);
  const before = { ...engine.flowCounters(), drops: overloadDrops(engine), ...engine.totals() };
  const times = [];
  for (let round = 0; round < ROUNDS; round++, next()) times.push(seconds(() => bursts.send()));
  const after = { ...engine.flowCounters(), drops: overloadDrops(engine), ...engine.totals() };

  const sent = PACKETS * ROUNDS;
  const drops = after.drops - before.drops;
  const decided = after.misses - before.misses - drops;
  const known = sent * (1 - scanShare);
  // Every packet that was not turned away is delivered; of established flows none is turned away.
  if (after.delivered - before.delivered !== sent - drops || Math.abs(after.hits - before.hits - known) > 0.5)
    throw new Error(`${sent} sent, ${drops} turned away, ${after.hits - before.hits} hits, ${known} expected`);
  const { median, spread } = summary(times);
  const mpps = PACKETS / median / 1e6;
  return {
    text: `${mpps.toFixed(2).padStart(5)} Mpps ${spreadText({ spread }).padEnd(8)}`,
    mpps,
    microseconds: (median * 1e6 * BURST_MAX) / PACKETS,
    decided: decided / sent,
    digest,
  };
}

/** Each established flow has shown two packets before the scan begins. */
function establish(engine, port) {
  const bursts = new Bursts(engine, {
    count: ESTABLISHED,
    lengthMax: 64,
    port,
    write: (view, at, flow) => writeFrame(view, at, { family: 4, length: 64, flow, destination: FIRST_CUSTOMER }),
  });
  while (engine.flowCounters().entries < ESTABLISHED) bursts.send();
  bursts.send();
}

function overloadDrops(engine) {
  return engine
    .reasonCounts()
    .filter(({ reason }) => reason === Reason.SLOWPATH_OVERLOAD)
    .reduce((sum, { count }) => sum + count, 0);
}
