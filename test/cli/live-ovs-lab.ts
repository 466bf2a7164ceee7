/** One emulated host and Open vSwitch's userspace GRE on a cable, with a guest behind each. */
import { createNetnsLab, type NetnsLab } from "../oracles/netns.js";
import { type OvsEndpoint, startOvsEndpoint } from "../oracles/ovs-endpoint.js";
import { BLUE1, BLUE2, type LiveHnv, type LiveObject, labFile, settle, startHost } from "./live-lab.js";

export interface Cable {
  /** `settings:` of the lab. */
  readonly settings: Parameters<typeof labFile>[0];
  /** What Open vSwitch sends with. */
  readonly flowId: number;
  readonly mtu: number;
  readonly guestMtu: number;
  readonly workers: number;
}

const CABLE: Cable = { settings: {}, flowId: 0, mtu: 1600, guestMtu: 1500, workers: 1 };

export interface OvsLab {
  readonly lab: NetnsLab;
  readonly hnv: LiveHnv;
  readonly ovs: OvsEndpoint;
}

export async function buildOvsLab(cable: Partial<Cable> = {}): Promise<OvsLab> {
  const lab = await createNetnsLab(["host1", "ovs", BLUE1.namespace, BLUE2.namespace]);
  try {
    return await build(lab, { ...CABLE, ...cable });
  } catch (error) {
    await lab.close();
    throw error;
  }
}

async function build(lab: NetnsLab, { settings, flowId, mtu, guestMtu, workers }: Cable): Promise<OvsLab> {
  await lab.veth({ namespace: "host1", device: "nic1" }, { namespace: "ovs", device: "wire" }, mtu);
  await lab.veth({ namespace: "ovs", device: "guest" }, { namespace: BLUE2.namespace, device: "cable" }, guestMtu);
  await settle(lab, BLUE2, { namespace: BLUE2.namespace, device: "cable" }, guestMtu);
  const ovs = await startOvsEndpoint(lab, {
    namespace: "ovs",
    wire: "wire",
    guest: "guest",
    address: "192.168.4.22/24",
    mac: "02:00:c0:a8:04:16",
    mtu,
    peer: "192.168.4.11",
    vsid: 5001,
    flowId,
  });
  const options = ["--workers", String(workers)];
  const hnv = await startHost(lab, "host1", [BLUE1], { file: labFile(settings), mtu: guestMtu, options });
  return { lab, hnv, ovs };
}

/** Of what came from Open vSwitch, nothing was refused. */
export function expectNothingRefused({ drops }: LiveObject): void {
  const refused = drops.filter(({ reason }) => reason.startsWith("RX_"));
  if (refused.length > 0) throw new Error(`frames of Open vSwitch were refused: ${JSON.stringify(refused)}`);
}
