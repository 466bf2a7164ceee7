/**
 * The lookup record table: how long a million records take to load and how much memory, what a lookup costs with a thousand
 * and with a million of them in random order, and what one changed record costs.
 *
 * `--quick` runs everything tiny, against rot. Every line ends in a checksum of what was found, so that no work can be skipped.
 * Questions are computed from a seeded generator, not read from a list: the list would be a cache miss of its own.
 */
import b from "benny";
import { CustomerRoutes, LookupRecordsBuilder } from "../dist/dataplane/policy/index.js";
import { ipv4Address } from "../dist/dataplane/wire/index.js";

const quick = process.argv.includes("--quick");
const FEW = 1_000;
const MANY = quick ? 10_000 : 1_000_000;
const ROUNDS = quick ? 2 : 9;
const FINDS = quick ? 2_000 : 1_000_000;
const CHANGES = quick ? 50 : 2_000;
/** VMs per virtual subnet and hosts of the made-up fabric. */
const VMS = 250;
const HOSTS = 1_000;

const providerAddresses = Array.from({ length: HOSTS }, (_, host) => ipv4Address(0xc0a8_0000 + host));
const vsidOf = (n) => 4096 + Math.floor(n / VMS);
const customerAddressOf = (n) => ipv4Address(0x0a00_0002 + n);
const macOf = (n) => 0x0606_0000_0000 + n;
const hostOf = (n) => providerAddresses[n % HOSTS];

const few = fill(FEW);
const many = load();
compareFinds();
changeOne();
await suite();

function fill(count) {
  const builder = new LookupRecordsBuilder();
  for (let n = 0; n < count; n++) builder.add(vsidOf(n), customerAddressOf(n), macOf(n), hostOf(n));
  return builder.build();
}

function load() {
  const before = process.memoryUsage().rss;
  const began = process.hrtime.bigint();
  const table = fill(MANY);
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const mebibytes = (process.memoryUsage().rss - before) / 2 ** 20;
  console.log(
    `load     ${MANY} records: ${seconds.toFixed(2)} s, RSS +${mebibytes.toFixed(0)} MiB   checksum ${checksumOf(table)}`,
  );
  return table;
}

function checksumOf(table) {
  let sum = table.size;
  for (const record of table) sum = (Math.imul(sum, 31) + (record.macAddress % 65_521)) >>> 0;
  return sum;
}

/** Both sizes in turn, so that a slow moment of the machine hits both. */
function compareFinds() {
  const sizes = [
    { table: few, count: FEW, nanoseconds: [], sum: 0 },
    { table: many, count: MANY, nanoseconds: [], sum: 0 },
  ];
  for (let round = 0; round <= ROUNDS; round++) {
    for (const size of sizes) {
      const began = process.hrtime.bigint();
      size.sum = (size.sum + findMany(size.table, size.count, round)) >>> 0;
      if (round > 0) size.nanoseconds.push(Number(process.hrtime.bigint() - began) / FINDS); // round 0 warms up
    }
  }
  for (const { count, nanoseconds, sum } of sizes) {
    console.log(
      `find     ${String(count).padStart(7)} records: ${spread(nanoseconds, "ns")} per find   checksum ${sum}`,
    );
  }
  const [small, large] = sizes.map(({ nanoseconds }) => median(nanoseconds));
  console.log(`find     ${MANY} records against ${FEW}: ${(large / small).toFixed(2)} times`);
}

function findMany(table, count, seed) {
  let state = seed + 1;
  let sum = 0;
  for (let k = 0; k < FINDS; k++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const n = (state ^ (state >>> 15)) % count;
    const index = n < 0 ? n + count : n;
    sum = (sum + lowOf(table.find(vsidOf(index), customerAddressOf(index)))) >>> 0;
  }
  return sum;
}

function lowOf(record) {
  return record === undefined ? 1 : record.macAddress % 65_536;
}

/** Moves a VM to another host: one record in, the old table left as it is. */
function changeOne() {
  const microseconds = [];
  let table = many;
  for (let k = 0; k < CHANGES; k++) {
    const n = Math.imul(k, 7_919) % MANY;
    const moved = { ...table.find(vsidOf(n), customerAddressOf(n)), providerAddress: hostOf(n + 1) };
    const began = process.hrtime.bigint();
    table = table.with(moved);
    microseconds.push(Number(process.hrtime.bigint() - began) / 1_000);
  }
  console.log(
    `change   1 of ${MANY} records: ${spread(microseconds, "µs")} per change   checksum ${checksumOf(table)}`,
  );
}

/** The other questions of the slow path, 1,000 at a time. */
async function suite() {
  const routes = CustomerRoutes.from(
    Array.from({ length: 100 }, (_, n) => ({
      routingDomainID: "{11111111-2222-3333-4444-000000005001}",
      virtualSubnetID: 5001 + n,
      destinationPrefix: { address: ipv4Address(0x0a00_0000 + (n << 8)), length: 24 },
      nextHop: ipv4Address(0),
      metric: 0,
    })),
  );
  const domain = routes.routingDomainOf(5001);
  let sum = 0;
  // Strides through all records, so that no call finds what the last one left in the cache.
  let n = 0;
  const thousand = (ask) => () => {
    for (let k = 0; k < 1_000; k++) {
      n = (n + 618_033) % MANY;
      sum = (sum + ask(n)) >>> 0;
    }
  };
  const save = quick ? [] : [b.save({ file: "policy", folder: "bench/results", format: "chart.html", details: true })];
  const options = quick ? { minSamples: 1, maxTime: 0.01 } : {};
  await b.suite(
    "policy: 1,000 questions each",
    b.add(
      `find, ${FEW} records`,
      thousand((n) => lowOf(few.find(vsidOf(n % FEW), customerAddressOf(n % FEW)))),
      options,
    ),
    b.add(
      `find, ${MANY} records`,
      thousand((n) => lowOf(many.find(vsidOf(n), customerAddressOf(n)))),
      options,
    ),
    b.add(
      `find nothing, ${MANY} records`,
      thousand((n) => lowOf(many.find(vsidOf(n), customerAddressOf(n + MANY)))),
      options,
    ),
    b.add(
      `findByMac, ${MANY} records`,
      thousand((n) => many.findByMac(vsidOf(n), macOf(n)).length),
      options,
    ),
    b.add(
      "customer route, 100 subnets",
      thousand((n) => routes.lookup(domain, ipv4Address(0x0a00_0000 + (n % 25_600)), 5001)?.virtualSubnetID ?? 0),
      options,
    ),
    b.complete(({ results }) => {
      for (const { name, details } of results) console.log(`ask      ${(details.median * 1e6).toFixed(0)} ns  ${name}`);
    }),
    ...save,
  );
  console.log(`checksum ${sum === 0 ? "0: nothing was found" : "not 0, as it must be"}`);
  if (sum === 0) process.exitCode = 1;
}

function median(values) {
  return [...values].sort((x, y) => x - y)[Math.floor(values.length / 2)];
}

function spread(values, unit) {
  return `median ${median(values).toFixed(1)} ${unit} (${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)})`;
}
