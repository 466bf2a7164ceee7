/**
 * Hosts on a switch that prunes multicast: the bridge of the Linux kernel, which asks who is in which group, and believes what it hears.
 *
 *     blue1 ─ tap ─ hnv, host1 ── port1 ┐
 *                                       ├ bridge with snooping and querier
 *     blue2 ─ tap ─ hnv, host2 ── port2 ┤
 *                          other ── port3 ┘
 */
import { afterEach, describe, expect, test } from "vitest";
import { bridgeMissing, createNetnsLab, type NetnsLab } from "../oracles/netns.js";
import { hasProgram, warnSkipped } from "../oracles/programs.js";
import { BLUE1, BLUE2, expectConserved, labFile, ping, startHost, until } from "./live-lab.js";
import { LABS } from "./paths.js";

const missing = bridgeMissing() ?? (hasProgram("ping") ? null : "ping is not installed (Debian package iputils-ping)");
if (missing) warnSkipped("hosts on a bridge that prunes multicast", missing);

let lab: NetnsLab | undefined;
afterEach(async () => {
  await lab?.close();
  lab = undefined;
}, 30_000);

const PINGS = 20;
const PING_BYTES = 1000;

async function switched(igmp: number, mld: number): Promise<NetnsLab> {
  const made = await createNetnsLab(["switch", "host1", "host2", "other", BLUE1.namespace, BLUE2.namespace]);
  lab = made;
  // In hundredths of a second.
  const often = ["startup_query_interval", "query_response_interval", "query_interval"].flatMap((name) => [
    `mcast_${name}`,
    "100",
  ]);
  const versions = ["mcast_igmp_version", String(igmp), "mcast_mld_version", String(mld)];
  await made.exec("switch", "ip", "link", "add", "br0", "type", "bridge", ...often, ...versions);
  for (const [index, namespace] of ["host1", "host2", "other"].entries()) {
    const device = `port${index + 1}`;
    await made.veth({ namespace: "switch", device }, { namespace, device: "nic1" }, 1600);
    await made.exec("switch", "ip", "link", "set", device, "master", "br0");
  }
  await made.exec("switch", "ip", "addr", "add", "fe80::1/64", "dev", "br0", "nodad"); // for its own questions
  // Once it asks, it floods for as long as answers may take, and prunes from then on.
  await made.exec("switch", "ip", "link", "set", "br0", "type", "bridge", "mcast_querier", "1");
  await made.exec("switch", "ip", "link", "set", "br0", "up");
  return made;
}

describe.skipIf(missing !== null)("a bridge that prunes", () => {
  test.each([
    ["IGMP 3", LABS.plain, "239.9.9.9", 3, 2],
    ["IGMP 2", LABS.plain, "239.9.9.9", 2, 2],
    ["MLD 2", LABS.v6, "ff18::99", 3, 2],
    ["MLD 1", LABS.v6, "ff18::99", 3, 1],
  ])(
    "%s: gets the tenants' broadcasts to the hosts that have joined, and to nobody else",
    {
      timeout: 60_000,
    },
    async (_, base, group, igmp, mld) => {
      const net = await switched(igmp, mld);
      const record = `{ virtualSubnetID: 5001, customerAddress: 255.255.255.255, macAddress: 06-06-00-00-00-77, providerAddress: "${group}" }`;
      const file = labFile({}, base, `lookupRecords: [${record}]\n`);
      const host1 = await startHost(net, "host1", [BLUE1], { file });
      const host2 = await startHost(net, "host2", [BLUE2], { file });
      await net.exec(BLUE2.namespace, "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_broadcasts=0");
      const joined = async (): Promise<string[]> => {
        const [{ mdb }] = JSON.parse(await net.exec("switch", "bridge", "-j", "mdb", "show", "dev", "br0")) as [
          { mdb: { grp: string; port: string }[] },
        ];
        return mdb.filter(({ grp }) => grp === group).map(({ port }) => port);
      };
      await until("the bridge to know who is in the group", async () => (await joined()).length === 2);
      expect((await joined()).sort()).toEqual(["port1", "port2"]);
      const queries = (host: typeof host1): number =>
        Object.values(host.objects().at(-1)?.memberships ?? {}).reduce((sum, each) => sum + each.queries, 0);
      await until("the bridge to ask", () => queries(host1) > 0 && queries(host2) > 0);
      await new Promise((resolve) => setTimeout(resolve, 2000)); // all answers are in

      // The bridge's questions, and what kernels tell of their own groups, are heard everywhere, but are short.
      const heard = async () => Number(await net.exec("other", "cat", "/sys/class/net/nic1/statistics/rx_bytes"));
      const before = await heard();
      expect(await ping(net, BLUE1, "10.0.0.255", PINGS, "-b", "-s", String(PING_BYTES))).toBe(PINGS);
      expect((await heard()) - before).toBeLessThan((PINGS * PING_BYTES) / 2);
      for (const host of [host1, host2]) {
        const { status, result } = await host.end();
        expect(status).toBe(0);
        expectConserved(result);
        expect(result.memberships).toMatchObject({
          [host === host1 ? "host1" : "host2"]: { groups: base === LABS.v6 ? 2 : 1 },
        });
      }
    },
  );
});
