/**
 * The slow path: how many new flows a second does a whole host decide, with 1,000 and with 1,000,000 lookup records? Every
 * packet is the first of its flow. Afterwards a CPU profile of one more round names what costs most.
 */
import { Session } from "node:inspector";
import { Bursts } from "./support/bursts.mjs";
import { writeFrame } from "./support/frames.mjs";
import { FIRST_CUSTOMER, hostLab } from "./support/host-lab.mjs";
import { digestOf, hex, makeRandom, quick, seconds, spreadText, summary } from "./support/measure.mjs";

const PACKETS = quick ? 2_000 : 65_536;
const ROUNDS = quick ? 2 : 5;

for (const records of quick ? [1_000] : [1_000, 1_000_000]) measure(records);

function measure(records) {
  const lab = hostLab(records);
  const { engine } = lab;
  const random = makeRandom(1);
  const destinations = Array.from({ length: PACKETS }, () => FIRST_CUSTOMER + random(records));
  const frameOf = (index, round) => ({
    family: 4,
    length: 64,
    flow: round * PACKETS + index,
    destination: destinations[index],
  });
  const bursts = new Bursts(engine, {
    count: PACKETS,
    lengthMax: 64,
    port: lab.port("host1/Blue1"),
    write: (view, at, index) => writeFrame(view, at, frameOf(index, 0)),
  });
  let round = 0;
  const next = () => {
    round++;
    for (let index = 0; index < PACKETS; index++)
      writeFrame(bursts.view, bursts.addressOf(index), frameOf(index, round));
  };
  bursts.send();
  let digest;
  for (const { frame } of engine.lastBurst()) digest = digestOf(frame, digest);
  const rates = [];
  for (let k = 0; k < ROUNDS; k++) {
    next();
    rates.push(PACKETS / seconds(() => bursts.send()));
  }
  next();
  const top = profile(() => bursts.send());
  const { misses } = engine.flowCounters();
  const { delivered } = engine.totals();
  const sent = PACKETS * (ROUNDS + 2);
  if (misses !== sent || delivered !== sent) throw new Error(`${sent} sent, ${misses} misses, ${delivered} delivered`);
  const result = summary(rates);
  console.log(
    `${String(records).padStart(7)} records: ${Math.round(result.median)} new flows/s ${spreadText(result)}   digest ${hex(digest)}`,
  );
  console.log(`        ${top.join(", ")}`);
}

/** The functions with most time of their own. */
function profile(work) {
  const session = new Session();
  session.connect();
  for (const method of ["Profiler.enable", "Profiler.start"]) session.post(method);
  work();
  const own = new Map();
  session.post("Profiler.stop", (error, { profile: { nodes, samples } }) => {
    if (error) throw new Error(error.message);
    const names = new Map(nodes.map(({ id, callFrame }) => [id, callFrame.functionName || "(anonymous)"]));
    for (const id of samples) own.set(names.get(id), (own.get(names.get(id)) ?? 0) + 100 / samples.length);
  });
  session.disconnect();
  return [...own]
    .sort((a, b) => b[1] - a[1])
    .slice(0, 10)
    .map(([name, share]) => `${name} ${share.toFixed(0)} %`);
}
