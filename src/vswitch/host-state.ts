/** What a host knows. Decisions see `snapshot`, whose parts are replaced as a whole. */
import {
  changeHostPolicy,
  type HostPolicyChange,
  makeHostPolicy,
  type ProviderAddress,
} from "../dataplane/policy/index.js";
import type { NodeIndex, PortIndex, Stamp } from "../dataplane/transposition/index.js";
import type { Mac } from "../dataplane/wire/index.js";
import { HostPorts } from "./host-ports.js";
import type { HostSnapshot } from "./host-snapshot.js";
import type { HostSettings, ProviderAddressSettings } from "./settings.js";

export class HostState {
  readonly name: string;
  #snapshot: HostSnapshot;

  constructor(settings: HostSettings, node: NodeIndex, ports: ReadonlyMap<string, PortIndex>) {
    this.name = settings.name;
    const portOf = (name: string): PortIndex => ports.get(`${settings.name}/${name}`)!;
    this.#snapshot = {
      policy: makeHostPolicy({
        node,
        settings: settings.nve,
        lookupRecords: settings.lookupRecords,
        customerRoutes: settings.customerRoutes,
        providerAddresses: settings.providerAddresses.map((address) => providerAddress(settings, address)),
        providerRoutes: settings.providerRoutes,
        neighbors: settings.neighbors,
        interfaceMtus: settings.nics.map((nic) => nic.mtu),
      }),
      ports: new HostPorts(
        settings.adapters.map((adapter) => ({ port: portOf(adapter.portName), settings: adapter })),
        settings.nics.map((nic) => ({ port: portOf(nic.name), settings: nic })),
      ),
    };
  }

  /** What decisions go by until the next change. */
  get snapshot(): HostSnapshot {
    return this.#snapshot;
  }

  /** Changes the policy, as a cmdlet does, and names the stamps that move with it. Throws a PolicyError where a cmdlet would refuse. */
  changePolicy(change: HostPolicyChange): readonly Stamp[] {
    const { policy, stamps } = changeHostPolicy(this.#snapshot.policy, change);
    this.#snapshot = { ...this.#snapshot, policy };
    return stamps;
  }
}

/** In capture runs provider addresses are usable at once: duplicate address detection needs a live network. */
const providerAddress = (host: HostSettings, settings: ProviderAddressSettings): ProviderAddress => ({
  providerAddress: settings.address,
  interfaceIndex: settings.interfaceIndex,
  prefixLength: settings.prefixLength,
  vlanID: settings.vlan,
  macAddress: settings.mac ?? nicMacOf(host, settings.interfaceIndex),
  addressState: "Preferred",
});

const nicMacOf = (host: HostSettings, interfaceIndex: number): Mac => host.nics[interfaceIndex - 1]!.mac;
