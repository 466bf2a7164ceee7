/** What a run says about addresses that it has learnt: the example with the tenant's own DHCP server, and what its client was recorded to send. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { hnv, ROOT } from "./helpers.js";

const RUN = [
  "run",
  join(ROOT, "examples/own-dhcp-server.yaml"),
  "--in",
  `host1/Blue1=${join(ROOT, "pcaps/blue1-dhcp-sent.pcap")}`,
];

test("--json: counters by host, and the notifications with Windows' numbers", async () => {
  const { status, stdout } = await hnv([...RUN, "--json"]);
  expect(status).toBe(0);
  const { learning, events } = JSON.parse(stdout);
  expect(learning).toEqual({
    host1: {
      held: 1,
      added: 1,
      moved: 0,
      deleted: 0,
      refused: { static: 0, foreign: 0, held: 0, portLimit: 0, hostLimit: 0 },
    },
  });
  expect(events.first).toContainEqual(
    expect.objectContaining({
      node: "host1",
      kind: "customerAddressChanged",
      change: "Added",
      changeNumber: 0,
      virtualSubnetID: 5001,
      customerAddress: "10.0.0.5",
      macAddress: "06-06-00-00-00-05",
      providerAddress: "192.168.4.11",
    }),
  );
});

test("as text: a line for each host that was taught", async () => {
  const { status, stdout } = await hnv(RUN);
  expect(status).toBe(0);
  expect(stdout).toMatch(/host1 +1 address learnt +1 added, 0 moved, 0 deleted/);
});

test("a lab that learns has one worker, and says why when several are wanted", async () => {
  const { status, stderr } = await hnv([...RUN, "--workers", "2", "--json"]);
  expect(status).toBe(0);
  expect(stderr).toContain("what VMs of host1 say about their addresses");
});
