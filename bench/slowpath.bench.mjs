/**
 * The slow path: how many new flows a second does a whole host decide, with 1,000 and with 1,000,000 lookup records? Every
 * packet is the first of its flow. Afterwards a CPU profile of one more round names what costs most.
 */
import { Session } from "node:inspector";
import { LookupRecordsBuilder } from "../dist/dataplane/policy/index.js";
import { ipv4Address } from "../dist/dataplane/wire/index.js";
import { kernelModule } from "../dist/kernel-file.js";
import { Lab } from "../dist/vswitch/index.js";
import { Bursts } from "./support/bursts.mjs";
import { BLUE1_MAC, FAR_NIC_MAC, NIC_MAC, PROVIDER4, VSID, writeFrame } from "./support/frames.mjs";
import { digestOf, hex, makeRandom, quick, seconds, spreadText, summary } from "./support/measure.mjs";

const PACKETS = quick ? 2_000 : 65_536;
const ROUNDS = quick ? 2 : 5;
const FIRST_CUSTOMER = 0x0a000100;

for (const records of quick ? [1_000] : [1_000, 1_000_000]) measure(records);

function measure(records) {
  const lab = makeLab(records);
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

function makeLab(records) {
  const builder = new LookupRecordsBuilder();
  const far = ipv4Address(PROVIDER4.destination);
  builder.add(VSID, ipv4Address(0x0a000005), BLUE1_MAC, ipv4Address(PROVIDER4.source));
  for (let n = 0; n < records; n++) builder.add(VSID, ipv4Address(FIRST_CUSTOMER + n), 0x060700000000 + n, far);
  const host = {
    name: "host1",
    nve: { mode: "2012R2", flowId: "hash", ecn: "normal", dscp: { model: "pipe", value: 0 }, receive: "strict" },
    nics: [{ name: "nic1", mac: NIC_MAC, mtu: 1600 }],
    adapters: [
      {
        portName: "Blue1",
        vmName: "Blue1",
        mac: BLUE1_MAC,
        vsid: VSID,
        macAddressSpoofing: false,
        ieeePriorityTag: false,
      },
    ],
    providerAddresses: [
      { address: ipv4Address(PROVIDER4.source), prefixLength: 24, vlan: 0, mac: null, interfaceIndex: 1 },
    ],
    providerRoutes: [],
    neighbors: [{ address: far, mac: FAR_NIC_MAC }],
    customerRoutes: [
      {
        routingDomainID: "{11111111-2222-3333-4444-000000005001}",
        virtualSubnetID: VSID,
        destinationPrefix: { address: ipv4Address(0x0a000000), length: 8 },
        nextHop: ipv4Address(0),
        metric: 0,
      },
    ],
    lookupRecords: builder.build(),
  };
  return new Lab({ hosts: [host], provider: null }, { kernel: kernelModule() });
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
