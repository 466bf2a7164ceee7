/**
 * One record among a million changed while traffic runs: how long the host is busy with the change, and how many flows are decided
 * again. 1,000 flows pass between two changes, each to a record of its own; every change moves the VM of one of them to another host.
 */
import { ipv4Address } from "../dist/dataplane/wire/index.js";
import { Bursts } from "./support/bursts.mjs";
import { VSID, writeFrame } from "./support/frames.mjs";
import { ELSEWHERE, FIRST_CUSTOMER, hostLab } from "./support/host-lab.mjs";
import { quick } from "./support/measure.mjs";

const FLOWS = 1_000;
const CHANGES = quick ? 20 : FLOWS;

for (const records of quick ? [10_000] : [1_000, 1_000_000]) measure(records);

function measure(records) {
  const lab = hostLab(records);
  const { engine } = lab;
  const recordOf = (flow) => Math.floor((flow * records) / FLOWS);
  const bursts = new Bursts(engine, {
    count: FLOWS,
    lengthMax: 64,
    port: lab.port("host1/Blue1"),
    write: (view, at, index) =>
      writeFrame(view, at, { family: 4, length: 64, flow: index, destination: FIRST_CUSTOMER + recordOf(index) }),
  });
  const decided = () => engine.flowCounters().misses;
  bursts.send();

  const microseconds = [];
  let most = 0;
  for (let change = 0; change < CHANGES; change++) {
    const { lookupRecords } = lab.policyOf("host1");
    const record = lookupRecords.find(VSID, ipv4Address(FIRST_CUSTOMER + recordOf(change % FLOWS)));
    const replaced = { ...record, providerAddress: ELSEWHERE };
    const began = process.hrtime.bigint();
    lab.changePolicy("host1", { kind: "recordReplaced", record: replaced });
    microseconds.push(Number(process.hrtime.bigint() - began) / 1_000);
    const before = decided();
    bursts.send();
    most = Math.max(most, decided() - before);
  }
  microseconds.sort((a, b) => a - b);
  const at = (share) => microseconds[Math.floor((microseconds.length - 1) * share)].toFixed(0);
  console.log(
    `${String(records).padStart(7)} records, ${CHANGES} changes under ${FLOWS} flows: median ${at(0.5)} µs, 99 % ${at(0.99)} µs, most ${at(1)} µs; at most ${most} flows decided again`,
  );
}
