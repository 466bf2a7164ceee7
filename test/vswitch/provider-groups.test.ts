/**
 * Hosts announce the provider groups that their VMs need (`resolve: wire`): whole labs through the engine, reports as tshark reads them, queries as
 * Scapy writes them.
 */
import { beforeAll, describe, expect, it } from "vitest";
import type { LookupRecord } from "../../src/dataplane/policy/index.js";
import { parseAddress, sameAddress } from "../../src/dataplane/wire/index.js";
import { isScapyAvailable, scapyFrames } from "../oracles/scapy.js";
import { isTsharkAvailable, tsharkFields } from "../oracles/tshark.js";
import { TimedLab } from "./timed-lab.js";

interface LabOptions {
  readonly mode?: string;
  readonly resolve?: string;
  readonly detection?: boolean;
  readonly addresses?: string;
  readonly subnets?: string;
  readonly records?: readonly string[];
  readonly events?: string;
  readonly nics?: string;
}

const record = (vsid: number, ca: string, group: string): string =>
  `{ virtualSubnetID: ${vsid}, customerAddress: "${ca}", macAddress: 06-06-00-00-00-77, providerAddress: "${group}" }`;

const RECORDS = [record(5001, "239.1.2.3", "239.9.9.9"), record(5001, "255.255.255.255", "239.9.9.1")];
/** Each of another group. */
const manyRecords = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => record(5001, `239.1.${n >> 8}.${n & 255}`, `239.9.${n >> 8}.${n & 255}`));
const V6: LabOptions = {
  addresses: '{ address: "2001:db8:4::11" }',
  subnets: '{ prefix: "2001:db8:4::/64", vlan: 103, mtu: 1600 }',
  records: [record(5001, "239.1.2.3", "ff18::99")],
};

const text = ({
  mode = "2012R2",
  resolve = "wire",
  detection = false,
  addresses,
  subnets,
  records = RECORDS,
  events = "",
  nics = "",
}: LabOptions): string => `
apiVersion: hnv/v1
mode: ${mode}
settings: { resolve: ${resolve}, duplicateAddressDetection: ${detection} }
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }, { vsid: 5002, prefixes: [10.0.1.0/24] }]
provider: { subnets: [${subnets ?? "{ prefix: 192.168.4.0/24, vlan: 103, mtu: 1600 }"}] }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }${nics}]
    providerAddresses: [${addresses ?? "{ address: 192.168.4.11 }"}]
    vms: [{ name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001, addresses: [10.0.0.5] }] }]
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [${addresses?.replace(/, \{.*/, "").replaceAll("11", "22") ?? "{ address: 192.168.4.22 }"}]
    vms: [{ name: Blue2, adapters: [{ mac: 06-06-00-00-00-09, vsid: 5002, addresses: [10.0.1.9] }] }]
lookupRecords: [${records.join(", ")}]
${events}`;

/** One thing said on the wire: when, from where to where, and what about which groups (sources behind a colon). */
interface Said {
  readonly ms: number;
  readonly text: string;
}

/** Host 1, with its NIC on nobody's wire. */
class Host extends TimedLab {
  constructor(options: LabOptions = {}) {
    super(text(options));
    this.cut("host1/nic1");
  }

  /** A frame in from the wire. */
  hears(bytes: Uint8Array, ms: number, port = "host1/nic1"): string[] {
    return this.sendFor(port, bytes, ms).map(({ verdict }) => verdict);
  }

  /** What it says by itself until then. */
  says(ms: number, port = "host1/nic1"): Said[] {
    const sent = this.waitFor(ms).filter((end) => end.verdict === "delivered" && end.port === this.lab.port(port));
    return read(sent.map(({ frame, timestampNs }) => ({ frame, ms: Number(timestampNs / 1_000_000n) })));
  }

  recordsOf(group: string): LookupRecord[] {
    const address = parseAddress(group)!;
    return [...this.lab.policyOf("host1")!.lookupRecords].filter((each) => sameAddress(each.providerAddress, address));
  }

  get counters() {
    return this.lab.memberships().host1!;
  }

  get told(): string[] {
    return this.events.map(({ timeMs, event }) => `${timeMs} ${event.kind} ${event.group}`);
  }
}

const NAMES = ["", "IS_IN", "IS_EX", "TO_IN", "TO_EX"];
const FIELDS = [
  "vlan.id",
  "ip.dst",
  "ipv6.dst",
  "igmp.type",
  "igmp.record_type",
  "igmp.maddr",
  "igmp.saddr",
  "icmpv6.type",
  "icmpv6.mldr.mar.record_type",
  "icmpv6.mldr.mar.multicast_address",
  "icmpv6.mldr.mar.source_address",
  "icmpv6.mld.multicast_address",
] as const;

function read(frames: readonly { readonly frame: Uint8Array; readonly ms: number }[]): Said[] {
  if (frames.length === 0) return [];
  const fields = tsharkFields(
    frames.map(({ frame }) => frame),
    FIELDS,
  );
  return fields.map((field, index) => {
    const to = [...field["ip.dst"], ...field["ipv6.dst"]].join();
    const type = [...field["igmp.type"], ...field["icmpv6.type"]].join();
    const records = [...field["igmp.record_type"], ...field["icmpv6.mldr.mar.record_type"]];
    const groups = [
      ...field["igmp.maddr"],
      ...field["icmpv6.mldr.mar.multicast_address"],
      ...field["icmpv6.mld.multicast_address"],
    ];
    const sources = [...field["igmp.saddr"], ...field["icmpv6.mldr.mar.source_address"]];
    const told = groups.map((group, n) => (records[n] ? `${NAMES[Number(records[n])]} ${group}` : group)).join(", ");
    const vlan = field["vlan.id"].length > 0 ? `vlan ${field["vlan.id"].join()} ` : "";
    const from = sources.length > 0 ? ` {${sources.join(" ")}}` : "";
    return { ms: frames[index]!.ms, text: `${vlan}${to} type ${type}: ${told}${from}` };
  });
}

const JOIN = "vlan 103 224.0.0.22 type 0x22: TO_EX 239.9.9.1, TO_EX 239.9.9.9";
const STATE = "vlan 103 224.0.0.22 type 0x22: IS_EX 239.9.9.1, IS_EX 239.9.9.9";

describe.skipIf(!isTsharkAvailable())("joining and leaving", () => {
  it("RFC 3376 §5.1: joins the groups of its VMs' subnets at once, and says so once more a second later", () => {
    const host = new Host();
    expect(host.says(10_000)).toEqual([{ ms: 10_000, text: JOIN }]);
    expect(host.says(20_000)).toEqual([{ ms: 11_000, text: JOIN }]);
    expect(host.told).toEqual(["10000 groupJoined 239.9.9.1", "10000 groupJoined 239.9.9.9"]);
  });

  it("RFC 3376 §4: reports have one hop, precedence 6, the router alert option and right checksums", () => {
    const host = new Host();
    const [report] = host.waitFor(0).map(({ frame }) => frame);
    const names = [
      "eth.dst",
      "eth.src",
      "ip.src",
      "ip.ttl",
      "ip.dsfield.dscp",
      "ip.opt.type.number",
      "ip.checksum.status",
      "igmp.version",
      "igmp.checksum.status",
      "igmp.num_grp_recs",
      "_ws.expert.severity",
    ];
    const [found] = tsharkFields([report!], names);
    expect(names.map((name) => found![name]!.join())).toEqual([
      "01:00:5e:00:00:16",
      "02:00:c0:a8:04:0b",
      "192.168.4.11",
      "1",
      "48",
      "20",
      "1",
      "3",
      "1",
      "2",
      "",
    ]);
  });

  it("RFC 3810 §5.2: over IPv6 from a link-local address to ff02::16, with the option in a hop-by-hop header", () => {
    const host = new Host(V6);
    const [report] = host.waitFor(0).map(({ frame }) => frame);
    const names = ["eth.dst", "ipv6.src", "ipv6.dst", "ipv6.hlim", "ipv6.opt.router_alert", "icmpv6.checksum.status"];
    const [found] = tsharkFields([report!], [...names, "_ws.expert.severity"]);
    expect(Object.values(found!).map((values) => values.join())).toEqual([
      "33:33:00:00:00:16",
      "fe80::c0ff:fea8:40b",
      "ff02::16",
      "1",
      "0",
      "1",
      "",
    ]);
    expect(host.says(5_000)).toEqual([
      { ms: 1_000, text: "vlan 103 ff02::16 type 143: TO_EX ff02::1:ff00:11, TO_EX ff18::99" },
    ]);
  });

  it("RFC 4861 §7.2.1: a host is in the groups in which neighbor discovery asks for its addresses, before it asks itself", () => {
    const host = new Host({ ...V6, records: [], detection: true });
    const [join, probe] = host.waitFor(0).map(({ frame }) => frame);
    expect(read([{ frame: join!, ms: 0 }])[0]!.text).toBe("vlan 103 ff02::16 type 143: TO_EX ff02::1:ff00:11");
    expect(tsharkFields([probe!], ["icmpv6.nd.ns.target_address"])[0]!["icmpv6.nd.ns.target_address"]).toEqual([
      "2001:db8:4::11",
    ]);
  });

  it("says nothing without a VM in the subnet, without records of groups, in 2012, and where resolution is static", () => {
    const silent: LabOptions[] = [
      { records: [record(5002, "239.1.2.3", "239.9.9.9")] },
      { records: [] },
      { mode: "2012" },
      { resolve: "static" },
    ];
    for (const options of silent) {
      const host = new Host(options);
      expect([host.says(0), host.says(5_000)]).toEqual([[], []]);
    }
  });

  it("follows the policy: a record that comes, one of two that goes, the last that goes", () => {
    const host = new Host({
      records: [record(5001, "239.1.2.3", "239.9.9.9"), record(5001, "239.1.2.4", "239.9.9.9")],
    });
    host.says(0);
    host.says(5_000);
    const [first, second] = host.recordsOf("239.9.9.9");
    host.lab.changePolicy("host1", { kind: "recordRemoved", record: first! });
    expect(host.says(10_000)).toEqual([]);
    host.lab.changePolicy("host1", { kind: "recordRemoved", record: second! });
    const leave = "vlan 103 224.0.0.22 type 0x22: TO_IN 239.9.9.9";
    expect(host.says(15_000)).toEqual([
      { ms: 10_001, text: leave },
      { ms: 11_001, text: leave },
    ]);
    const group = { ...first!, providerAddress: parseAddress("239.8.8.8")! };
    host.lab.changePolicy("host1", { kind: "recordAdded", record: group });
    expect(host.says(20_000).map(({ text: said }) => said)).toEqual([
      "vlan 103 224.0.0.22 type 0x22: TO_EX 239.8.8.8",
      "vlan 103 224.0.0.22 type 0x22: TO_EX 239.8.8.8",
    ]);
    expect(host.counters).toMatchObject({ groups: 1, sent: 6, refused: 0 });
  });

  it("what was untrue again before it could be repeated is not repeated", () => {
    const host = new Host();
    host.says(0);
    host.says(100);
    const [one] = host.recordsOf("239.9.9.9");
    host.lab.changePolicy("host1", { kind: "recordRemoved", record: one! });
    expect(host.says(5_000)).toEqual([
      { ms: 101, text: "vlan 103 224.0.0.22 type 0x22: TO_IN 239.9.9.9" },
      { ms: 1_000, text: "vlan 103 224.0.0.22 type 0x22: TO_EX 239.9.9.1" },
      { ms: 1_101, text: "vlan 103 224.0.0.22 type 0x22: TO_IN 239.9.9.9" },
    ]);
  });

  it("a VM that moves takes the membership along", () => {
    const events = "events: [{ at: 2000, event: vmMoved, vm: host1/Blue1, to: host2, downtime: 500 }]";
    const lab = new TimedLab(text({ events }));
    lab.cut("host1/nic1");
    lab.cut("host2/nic1");
    const sent = lab.waitFor(0);
    const all = [...sent, ...lab.waitFor(10_000)].map(({ frame, port, timestampNs }) => ({
      frame,
      ms: Number(timestampNs / 1_000_000n),
      port: lab.lab.engine.ports[port]!.name,
    }));
    const said = read(all).map(({ ms, text: what }, n) => `${all[n]!.port} ${ms} ${what.replace(/^.*0x22: /, "")}`);
    expect(said).toEqual([
      "host1/nic1 0 TO_EX 239.9.9.1, TO_EX 239.9.9.9",
      "host1/nic1 1000 TO_EX 239.9.9.1, TO_EX 239.9.9.9",
      "host1/nic1 2001 TO_IN 239.9.9.1, TO_IN 239.9.9.9",
      "host2/nic1 2501 TO_EX 239.9.9.1, TO_EX 239.9.9.9",
      "host1/nic1 3001 TO_IN 239.9.9.1, TO_IN 239.9.9.9",
      "host2/nic1 3501 TO_EX 239.9.9.1, TO_EX 239.9.9.9",
    ]);
  });

  it("waits for a provider address that is still Tentative, and joins anew when a link comes back", () => {
    const events =
      "events: [{ at: 5000, event: linkDown, port: host1/nic1 }, { at: 6000, event: linkUp, port: host1/nic1 }]";
    const host = new Host({ events });
    const tentative = new TimedLab(text({ detection: true }));
    tentative.cut("host1/nic1");
    tentative.waitFor(0);
    const late = tentative.waitFor(5_000).filter(({ frame }) => frame[16] === 8 && frame[17] === 0);
    expect(late.map(({ timestampNs }) => Number(timestampNs / 1_000_000n))).toEqual([3_001, 4_001]);
    host.says(0);
    expect(host.says(10_000).map(({ ms }) => ms)).toEqual([1_000, 6_001, 7_001]);
  });

  it("each VLAN of its addresses hears of it, in its own tag; of two NICs in one network only one", () => {
    const two = new Host({
      nics: ", { name: nic2, mac: 02-00-C0-A8-05-0B }",
      addresses: "{ address: 192.168.4.11 }, { address: 192.168.5.11, nic: nic2 }",
      subnets: "{ prefix: 192.168.4.0/24, vlan: 103, mtu: 1600 }, { prefix: 192.168.5.0/24, vlan: 104, mtu: 1600 }",
    });
    two.cut("host1/nic2");
    const frames = two.waitFor(0).map(({ frame }) => ({ frame, ms: 0 }));
    expect(read(frames).map(({ text: said }) => said)).toEqual([JOIN, JOIN.replace("103", "104")]);
    const one = new Host({
      nics: ", { name: nic2, mac: 02-00-C0-A8-05-0B }",
      addresses: "{ address: 192.168.4.11 }, { address: 192.168.4.12, nic: nic2 }",
    });
    one.cut("host1/nic2");
    expect(one.waitFor(0)).toHaveLength(1);
  });

  it("at most 256 groups, in as many reports as the MTU needs", () => {
    const host = new Host({ records: manyRecords(300) });
    const frames = host.waitFor(0).map(({ frame }) => frame);
    const counts = tsharkFields(frames, ["igmp.num_grp_recs", "ip.len"]);
    expect(counts.map((each) => Number(each["igmp.num_grp_recs"]))).toEqual([196, 60]);
    expect(Math.max(...counts.map((each) => Number(each["ip.len"])))).toBeLessThanOrEqual(1_600);
    expect(host.counters).toMatchObject({ groups: 256, refused: 44, sent: 2 });
  });
});

describe.skipIf(!isTsharkAvailable() || !isScapyAvailable())("queriers", () => {
  const queries: Record<string, Uint8Array> = {};
  beforeAll(() => {
    const v4 = "Ether(src='02:00:00:00:00:01')/Dot1Q(vlan=103)/IP(src='192.168.4.1',dst=dst,ttl=1,options=options)";
    const v6 =
      "Ether(src='02:00:00:00:00:01')/Dot1Q(vlan=103)/IPv6(src=src,dst=dst,hlim=1)/IPv6ExtHdrHopByHop(options=[RouterAlert()])";
    const names = [
      "general",
      "group",
      "sources",
      "v2",
      "v2group",
      "v1",
      "noAlert",
      "other",
      "odd",
      "report",
      "manySources",
      "v2soon",
      "mld",
      "mldGroup",
      "mldFar",
      "mldV1",
      "mldReport",
    ];
    const frames = scapyFrames(`
load_contrib("igmpv3"); load_contrib("igmp")
alert = [IPOption_Router_Alert()]
def q(dst, body, options=alert): emit(${v4}/body)
def m(dst, body, src='fe80::1'): emit(${v6}/body)
v3 = lambda **f: IGMPv3(type=0x11, mrcode=100)/IGMPv3mq(**f)
q('224.0.0.1', v3())
q('239.9.9.9', v3(gaddr='239.9.9.9'))
q('239.9.9.9', v3(gaddr='239.9.9.9', numsrc=2, srcaddrs=['10.9.9.1', '10.9.9.2']))
q('224.0.0.1', IGMP(type=0x11, mrcode=100))
q('239.9.9.9', IGMP(type=0x11, mrcode=10, gaddr='239.9.9.9'))
q('224.0.0.1', IGMP(type=0x11, mrcode=0), [])
q('224.0.0.1', v3(), [])
q('239.7.7.7', v3(gaddr='239.7.7.7'))
q('224.0.0.1', IGMP(type=0x11, mrcode=100)/Raw(b'\\0'))
q('239.9.9.9', IGMP(type=0x16, gaddr='239.9.9.9'))
q('239.9.9.9', v3(gaddr='239.9.9.9', numsrc=65, srcaddrs=['10.9.1.%d' % n for n in range(65)]))
q('224.0.0.1', IGMP(type=0x11, mrcode=1))
m('ff02::1', ICMPv6MLQuery2(mrd=1000))
m('ff18::99', ICMPv6MLQuery2(mrd=1000, mladdr='ff18::99'))
m('ff02::1', ICMPv6MLQuery2(mrd=1000), '2001:db8::1')
m('ff02::1', ICMPv6MLQuery(mrd=1000))
m('ff18::99', ICMPv6MLReport(mladdr='ff18::99'))
`);
    names.forEach((name, index) => {
      queries[name] = frames[index]!;
    });
  });

  /** A host that has nothing to repeat any more, at ten seconds. */
  function settled(options: LabOptions = {}): Host {
    const host = new Host(options);
    host.says(0);
    host.says(10_000);
    return host;
  }

  it("are answered within the time that they give, about all groups or one; the question itself passes on", () => {
    const host = settled();
    expect(host.hears(queries.general!, 10_000)).toEqual(["passed"]);
    const [answer, ...more] = host.says(30_000);
    expect([answer!.text, more]).toEqual([STATE, []]);
    expect(answer!.ms).toBeGreaterThan(10_001);
    expect(answer!.ms).toBeLessThanOrEqual(20_001);
    host.hears(queries.group!, 30_000);
    expect(host.says(50_000).map(({ text: said }) => said)).toEqual(["vlan 103 224.0.0.22 type 0x22: IS_EX 239.9.9.9"]);
    expect(host.counters).toMatchObject({ queries: 2, held: 0 });
  });

  it("RFC 3376 §5.2: about sources of a group these are named; a question about the group comes to more", () => {
    const host = settled();
    host.hears(queries.sources!, 10_000);
    expect(host.says(30_000).map(({ text: said }) => said)).toEqual([
      "vlan 103 224.0.0.22 type 0x22: IS_IN 239.9.9.9 {10.9.9.1 10.9.9.2}",
    ]);
    host.hears(queries.sources!, 30_000);
    host.hears(queries.group!, 30_100);
    expect(host.says(50_000).map(({ text: said }) => said)).toEqual(["vlan 103 224.0.0.22 type 0x22: IS_EX 239.9.9.9"]);
  });

  it("one answer serves several questions", () => {
    const host = settled();
    for (const [index, name] of ["general", "general", "group"].entries()) host.hears(queries[name]!, 10_000 + index);
    expect(host.says(50_000).map(({ text: said }) => said)).toEqual([STATE]);
  });

  it.each([
    ["without router alert", "noAlert"],
    ["about a group that the host is not in", "other"],
    ["of a length that no version has", "odd"],
  ])("%s get no answer", (_what, name) => {
    const host = settled();
    expect(host.hears(queries[name]!, 10_000)).toEqual(["passed"]);
    expect(host.says(50_000)).toEqual([]);
  });

  it("in another VLAN, or with a wrong checksum, get no answer", () => {
    const host = settled();
    const elsewhere = queries.general!.slice();
    elsewhere[15] = 104;
    const broken = queries.general!.slice();
    broken[broken.length - 1]! ^= 1;
    for (const bytes of [elsewhere, broken]) expect(host.hears(bytes, 10_000)).toEqual(["passed"]);
    expect(host.says(50_000)).toEqual([]);
  });

  it("RFC 3376 §7.2.1: of version 2 are answered in version 2, and joins and leaves too, until they are gone for 260 s", () => {
    const host = settled();
    host.hears(queries.v2!, 10_000);
    const report = (group: string): string => `vlan 103 ${group} type 0x16: ${group}`;
    expect(host.says(30_000).map(({ text: said }) => said)).toEqual([report("239.9.9.1"), report("239.9.9.9")]);
    const [one] = host.recordsOf("239.9.9.9");
    host.lab.changePolicy("host1", { kind: "recordRemoved", record: one! });
    expect(host.says(40_000).map(({ text: said }) => said)).toEqual(["vlan 103 224.0.0.2 type 0x17: 239.9.9.9"]);
    host.lab.changePolicy("host1", { kind: "recordAdded", record: one! });
    expect(host.says(50_000).map(({ text: said }) => said)).toEqual([report("239.9.9.9"), report("239.9.9.9")]);
    host.hears(queries.general!, 269_000);
    expect(
      host
        .says(269_999)
        .map(({ text: said }) => said)
        .filter((said) => !said.includes("0x16")),
    ).toEqual([]);
    host.says(290_000);
    host.hears(queries.general!, 290_000);
    expect(host.says(310_000).map(({ text: said }) => said)).toEqual([STATE]);
  });

  it("of version 1 hear reports of version 1, and of nobody who leaves", () => {
    const host = settled();
    host.hears(queries.v1!, 10_000);
    expect(host.says(30_000).map(({ text: said }) => said)).toEqual([
      "vlan 103 239.9.9.1 type 0x12: 239.9.9.1",
      "vlan 103 239.9.9.9 type 0x12: 239.9.9.9",
    ]);
    const [one] = host.recordsOf("239.9.9.9");
    host.lab.changePolicy("host1", { kind: "recordRemoved", record: one! });
    expect(host.says(40_000)).toEqual([]);
  });

  it("RFC 2236 §3: of an old version need one answer of all hosts in the group", () => {
    const host = settled();
    host.hears(queries.v2!, 10_000);
    host.hears(queries.report!, 10_002);
    expect(host.says(30_000).map(({ text: said }) => said)).toEqual(["vlan 103 239.9.9.1 type 0x16: 239.9.9.1"]);
    host.hears(queries.v2group!, 30_000);
    host.hears(queries.report!, 30_001);
    expect(host.says(50_000)).toEqual([]);
  });

  it("over IPv6, in MLD 2 and MLD 1; from another link nobody asks", () => {
    const host = settled(V6);
    const said = (name: string, ms: number): string[] => {
      host.hears(queries[name]!, ms);
      return host.says(ms + 5_000).map(({ text: what }) => what);
    };
    expect(said("mld", 10_000)).toEqual(["vlan 103 ff02::16 type 143: IS_EX ff02::1:ff00:11, IS_EX ff18::99"]);
    expect(said("mldGroup", 20_000)).toEqual(["vlan 103 ff02::16 type 143: IS_EX ff18::99"]);
    expect(said("mldFar", 30_000)).toEqual([]);
    const own = "vlan 103 ff02::1:ff00:11 type 131: ff02::1:ff00:11";
    expect(said("mldV1", 40_000)).toEqual([own, "vlan 103 ff18::99 type 131: ff18::99"]);
    host.hears(queries.mldV1!, 50_000);
    host.hears(queries.mldReport!, 50_001);
    expect(host.says(55_000).map(({ text: what }) => what)).toEqual([own]);
    const [one] = host.recordsOf("ff18::99");
    host.lab.changePolicy("host1", { kind: "recordRemoved", record: one! });
    expect(host.says(60_000).map(({ text: what }) => what)).toEqual(["vlan 103 ff02::2 type 132: ff18::99"]);
  });

  it("a flood of queries is heeded a hundred times a second, and answered once", () => {
    const host = settled();
    for (let n = 0; n < 500; n++) host.hears(queries.general!, 10_000);
    expect(host.says(30_000)).toHaveLength(1);
    expect(host.counters).toMatchObject({ queries: 100, held: 400 });
  });

  it("of more sources than 64 the whole group is told", () => {
    const host = settled();
    host.hears(queries.manySources!, 10_000);
    expect(host.says(30_000).map(({ text: said }) => said)).toEqual(["vlan 103 224.0.0.22 type 0x22: IS_EX 239.9.9.9"]);
  });

  it("at most 256 reports answer in a second", () => {
    const host = settled({ records: manyRecords(256) });
    const before = host.counters.sent;
    for (const ms of [10_000, 10_200]) host.hears(queries.v2soon!, ms);
    host.waitFor(10_900);
    const { sent, held } = host.counters;
    expect(sent - before).toBeGreaterThanOrEqual(256);
    expect(held).toBe(512 - (sent - before));
    expect(held).toBeGreaterThan(150);
  });

  it("hosts do not all answer at once", () => {
    const lab = new TimedLab(
      text({ records: [record(5001, "239.1.2.3", "239.9.9.9"), record(5002, "239.1.2.3", "239.9.9.9")] }),
    );
    for (const host of ["host1", "host2"]) lab.cut(`${host}/nic1`);
    lab.waitFor(0);
    lab.waitFor(10_000);
    for (const host of ["host1", "host2"]) lab.sendFor(`${host}/nic1`, queries.general!, 10_000);
    const times = lab.waitFor(30_000).map(({ timestampNs }) => timestampNs);
    expect([times.length, new Set(times).size]).toEqual([2, 2]);
  });
});
