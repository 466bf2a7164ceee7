/** What explain finds in captures of the wire: a large send that `run` cuts with each of the faults of NICs, and a sound one. */
import { writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { type LabOptions, labText, largeSend } from "../../engine/mtu/lab.js";
import { isScapyAvailable, scapyFrames } from "../../oracles/scapy.js";
import { hnv, workplace, writePcap } from "../helpers.js";

interface Finding {
  readonly code: string;
  readonly sender: string;
  readonly packets: number;
  readonly witness: { readonly port: string; readonly file: string; readonly packet: number };
  readonly text: string;
  readonly cure: string;
}
const narrow = [1500, 1500] as const;

/** What host1 sends of a large send, with these fields of its NIC, as explain sees it where the provider network begins. */
async function findings(options: LabOptions, family: 4 | 6 = 4): Promise<{ json: Finding[]; text: string }> {
  const place = workplace();
  writeFileSync(place("sender.yaml"), labText({ mtus: narrow, ...options }));
  writeFileSync(place("lab.yaml"), labText({ mtus: narrow }));
  writePcap(place("vm.pcap"), [largeSend(family)]);
  const sent = ["run", place("sender.yaml"), "--in", `host1/Blue1=${place("vm.pcap")}`];
  expect((await hnv([...sent, "--out", `host1/nic1=${place("wire.pcap")}`])).status).toBe(0);
  const explain = ["explain", place("lab.yaml"), "--in", `provider/host1.nic1=${place("wire.pcap")}`];
  const { stdout } = await hnv([...explain, "--json"]);
  return { json: (JSON.parse(stdout) as { findings: Finding[] }).findings, text: (await hnv(explain)).stdout };
}
const withFault = (fault: string): LabOptions => ({
  adapter: ", lso: true, mtu: 1500",
  nic: `, encapsulatedTaskOffload: { faults: [${fault}] }`,
});

it.runIf(isScapyAvailable())("a sound NIC: nothing is found, over IPv4 and IPv6", async () => {
  for (const family of [4, 6] as const) expect((await findings({ adapter: ", lso: true" }, family)).json).toEqual([]);
});

it.runIf(isScapyAvailable()).each([
  ["badInnerChecksum", "BAD_INNER_CHECKSUM", 15, 1, "an inner TCP checksum that is unfinished"],
  ["constantIpId", "CONSTANT_IP_ID", 13, 3, "3 segments in a row, each with identification 4096"],
  ["mssNotLowered", "SEGMENT_TOO_LONG", 13, 1, "an IP packet of 1542 octets, where the path carries 1500"],
])("%s is recognised as %s, with a packet that shows it", async (fault, code, packets, packet, why) => {
  const { json, text } = await findings(withFault(fault));
  expect(json).toHaveLength(1);
  expect(json[0]).toMatchObject({ code, packets, sender: "192.168.4.11", witness: { packet } });
  expect(json[0]!.text).toContain(why);
  expect(json[0]!.cure).toContain("Disable-NetAdapterEncapsulatedPacketTaskOffload");
  expect(text).toContain(`found ${code}`);
});

it.runIf(isScapyAvailable()).each([
  ["badInnerChecksum", "BAD_INNER_CHECKSUM", 15],
  ["constantIpId", "CONSTANT_IP_ID", 13],
  ["mssNotLowered", "SEGMENT_TOO_LONG", 13],
])("%s is recognised where the lab's own NIC has it: the witness is the VM's packet", async (fault, code, packets) => {
  const place = workplace();
  writeFileSync(place("lab.yaml"), labText({ mtus: narrow, ...withFault(fault) }));
  writePcap(place("vm.pcap"), [largeSend()]);
  const explain = ["explain", place("lab.yaml"), "--in", `host1/Blue1=${place("vm.pcap")}`];
  const { findings: found, furtherDrops } = JSON.parse((await hnv([...explain, "--json"])).stdout) as {
    findings: Finding[];
    furtherDrops: unknown[];
  };
  const witness = { port: "host1/Blue1", file: place("vm.pcap"), packet: 1 };
  expect(found).toMatchObject([{ code, packets, sender: "192.168.4.11", witness }]);
  if (fault !== "mssNotLowered") {
    expect(furtherDrops).toEqual([]);
    return;
  }
  // The segments that the provider network drops have a witness, a place and a cure too.
  const cures = [{ host: "host1", text: expect.stringContaining("the path carries 1500 octets") as string }];
  const cause = {
    packets: 13,
    from: "host1/Blue1",
    at: "provider/host1.nic1",
    witness,
    layer: "provider router",
    cures,
  };
  expect(furtherDrops).toMatchObject([{ reason: "PROVIDER_MTU", packets: 13, otherCauses: 0, causes: [cause] }]);
  const { stdout } = await hnv(explain);
  expect(stdout).toContain(
    "13 copies or frames of the nodes' own, 20,280 bytes at provider/host1.nic1, because of packet 1",
  );
});

it.runIf(isScapyAvailable())(
  "a NIC is held to its own faults: what its guest got wrong is not told of it",
  async () => {
    const place = workplace();
    const nic = ", encapsulatedTaskOffload: { faults: [constantIpId] }";
    writePcap(
      place("vm.pcap"),
      scapyFrames(
        "emit(Ether(dst='06:06:00:00:00:07',src='06:06:00:00:00:05')/IP(src='10.0.0.5',dst='10.0.0.7')/TCP(chksum=0x1234))",
      ),
    );
    for (const fields of ["", nic]) {
      writeFileSync(place("lab.yaml"), labText({ mtus: narrow, nic: fields }));
      const { stdout } = await hnv(["explain", place("lab.yaml"), "--in", `host1/Blue1=${place("vm.pcap")}`, "--json"]);
      expect((JSON.parse(stdout) as { findings: Finding[] }).findings).toEqual([]);
    }
  },
);

it.runIf(isScapyAvailable())("frames of VMs are not judged: there, offload looks so", async () => {
  const place = workplace();
  writeFileSync(place("lab.yaml"), labText({ mtus: narrow, adapter: ", lso: true" }));
  writePcap(place("vm.pcap"), [largeSend()]);
  const { stdout } = await hnv(["explain", place("lab.yaml"), "--in", `host1/Blue1=${place("vm.pcap")}`, "--json"]);
  expect((JSON.parse(stdout) as { findings: Finding[] }).findings).toEqual([]);
});

it.runIf(isScapyAvailable())("UDP is judged too, and a UDP checksum of none is right", async () => {
  const place = workplace();
  writeFileSync(place("lab.yaml"), labText());
  const packet = (checksum: string): string =>
    `emit(Ether(dst='02:00:c0:a8:05:16',src='02:00:5e:00:02:01')/Dot1Q(vlan=104)/IP(src='192.168.4.11',dst='192.168.5.22',proto=47)` +
    `/Raw(bytes.fromhex('2000655800138907'))/Ether(src='06:06:00:00:00:05',dst='06:06:00:00:00:07')` +
    `/IP(src='10.0.0.5',dst='10.0.0.7')/UDP(sport=4000,dport=5000${checksum})/Raw(b'hello'))`;
  writePcap(place("wire.pcap"), scapyFrames([packet(""), packet(",chksum=0"), packet(",chksum=0x1234")].join("\n")));
  const { stdout } = await hnv(["explain", place("lab.yaml"), "--in", `host2/nic1=${place("wire.pcap")}`, "--json"]);
  const { findings: found } = JSON.parse(stdout) as { findings: Finding[] };
  expect(found).toMatchObject([{ code: "BAD_INNER_CHECKSUM", packets: 1, witness: { packet: 3 } }]);
});

/** What explain finds in NVGRE from host1 with TCP of tenants that have the same addresses: Scapy's words for VSID, MACs and segments. */
async function foundInTrains(script: string): Promise<Finding[]> {
  const place = workplace();
  writeFileSync(place("lab.yaml"), labText());
  const frames = scapyFrames(`
def segment(vsid, number, id, flags, source='192.168.4.11'):
    emit(Ether(dst='02:00:c0:a8:05:16',src='02:00:5e:00:02:01')/Dot1Q(vlan=104)/IP(src=source,dst='192.168.5.22',proto=47)
        /Raw(bytes.fromhex('20006558%06x07' % vsid))/Ether(src='06:06:00:00:00:05',dst='06:06:00:00:00:07')
        /IP(src='10.0.0.5',dst='10.0.0.7',id=id,flags=flags)/TCP(sport=4000,dport=5000,seq=number*5)/Raw(b'hello'))
${script}`);
  writePcap(place("wire.pcap"), frames);
  const { stdout } = await hnv(["explain", place("lab.yaml"), "--in", `host2/nic1=${place("wire.pcap")}`, "--json"]);
  return (JSON.parse(stdout) as { findings: Finding[] }).findings;
}

it.runIf(isScapyAvailable())(
  "a constant identification is seen among packets of tenants and hosts with the same addresses",
  async () => {
    const found = await foundInTrains(`
for number in range(5):
    segment(5001, number, 7, 'DF')
    segment(6001, number, 1000+number, 'DF')
    segment(5001, number, 2000+number, 'DF', '192.168.4.12')`);
    expect(found).toMatchObject([
      { code: "CONSTANT_IP_ID", sender: "192.168.4.11", packets: 3, witness: { packet: 7 } },
    ]);
  },
);

it.runIf(isScapyAvailable())("identification 0 is the guest's own choice with DF, and a fault without", async () => {
  const train = (flags: string): string => `for number in range(5): segment(5001, number, 0, '${flags}')`;
  expect(await foundInTrains(train("DF"))).toEqual([]);
  expect(await foundInTrains(train(""))).toMatchObject([{ code: "CONSTANT_IP_ID", packets: 3 }]);
});
