/**
 * Which hosts of a live run have a real network before them, so that, unless the lab says otherwise (`settings: resolve`), they look for their
 * neighbors there, answer for their addresses, and make sure that nobody else has them.
 *
 *     host1/nic1=afpacket:eth1              host1
 *     … and host1/nic2 within the lab       the hosts there too: host1 asks them as it asks everybody
 *     provider/host1.nic1=afpacket:eth1     all hosts of the lab's provider network, which a stranger has joined
 *     host1/Blue1=tap:blue1                 none: guests are no provider network
 *
 * Captures and generators answer nobody, and behind `rawip:` the system's kernel does all that; there neighbors are known, as when captures are run.
 */
import { hasStations } from "../../io/index.js";
import { type HostSettings, type LabSettings, providerPortName } from "../../vswitch/index.js";
import type { PortValue } from "../options.js";

/** Their names. */
export function hostsOnWire({ hosts, provider }: LabSettings, binds: readonly PortValue[]): readonly string[] {
  const bound = new Map(binds.map(({ port, value }) => [port, value]));
  const hasWireAt = (port: string): boolean => bound.has(port) && hasStations(bound.get(port)!);
  const portsOf = ({ name, nics }: HostSettings) =>
    nics.map((nic) => ({ own: `${name}/${nic.name}`, far: providerPortName(name, nic.name) }));
  const hasWire = (host: HostSettings): boolean => portsOf(host).some(({ own }) => hasWireAt(own));
  const isInside = (host: HostSettings): boolean =>
    provider !== null && portsOf(host).some(({ own, far }) => !bound.has(own) && !bound.has(far));
  const isJoined = hosts.some(
    (host) => portsOf(host).some(({ far }) => hasWireAt(far)) || (hasWire(host) && isInside(host)),
  );
  return hosts.filter((host) => hasWire(host) || (isJoined && isInside(host))).map(({ name }) => name);
}
