/**
 * From a drop to the commands that would cure it.
 *
 * The decision was made by the layers; here only the tables are asked what is missing or wrong, with what the rest of the lab knows:
 * a record that another host has, the host that really runs the VM. Where nobody knows, the command has a blank to be filled in. A cure
 * answers one drop; behind it another may wait.
 */
import { Reason, type TraceStep } from "../../dataplane/index.js";
import { type ParsedFrame, parseFrame } from "../../dataplane/packet/index.js";
import type { HostPolicy, LookupRecord, ProviderAddress } from "../../dataplane/policy/index.js";
import {
  type Consultation,
  innerMtu,
  isAddressResolution,
  isNextHop,
  type Message,
  pathMtuTo,
  readMessage,
  selectNextHop,
  takenBy,
  unusableAddress,
} from "../../dataplane/slowpath/index.js";
import type { NodeIndex } from "../../dataplane/transposition/index.js";
import {
  type Address,
  directedBroadcastOf,
  formatAddress,
  formatMac,
  formatPrefix,
  IPV6_MTU_MIN,
  isGroupMac,
  isLinkLocal,
  isUnspecified,
  type Mac,
  maskAddress,
  NVGRE_LENGTH,
  PROTOCOL_GRE,
  prefixContains,
  sameAddress,
  type Vsid,
  vidOf,
  vsidAt,
} from "../../dataplane/wire/index.js";
import type { HostSettings } from "../../vswitch/index.js";
import {
  commandLine,
  newCustomerRoute,
  newLookupRecord,
  removeLookupRecord,
  setAdapter,
  setLookupRecord,
} from "./command.js";
import { gatewayOf, isFromOutside, trustGateway } from "./from-outside.js";
import type { LabKnowledge } from "./lab-knowledge.js";
import { NOTHING_TO_CURE } from "./nothing-to-cure.js";

/** One thing to do. Several cures of one drop are to be done in order, all of them. */
export interface Cure {
  /** Where; null if it is no host's business. */
  readonly host: string | null;
  /** A PowerShell command; null where no cmdlet does it. Blanks in it stand in angle brackets. */
  readonly command: string | null;
  /** What it does, or what it rests on. */
  readonly text: string;
}

/** The place of a drop, as the cures look at it. */
interface Scene {
  readonly lab: LabKnowledge;
  readonly host: HostSettings;
  readonly policy: HostPolicy;
  readonly portName: string;
  readonly frame: ParsedFrame;
  /** Of the port or of the NVGRE header. */
  readonly vsid: Vsid;
  /** The inner frame of what came as NVGRE; else the frame itself. */
  readonly inner: ParsedFrame;
  /** What the inner frame says if it is ARP or neighbor discovery. */
  readonly message: Message | null;
}

/**
 * What would let the packet pass that was dropped in this step, for `reason`; or, without a host and a command, why there is nothing
 * to cure. Without a step: no node has seen it. Empty for NONE alone.
 */
export function curesFor(lab: LabKnowledge, step: TraceStep | undefined, reason: Reason): readonly Cure[] {
  const cures = (step && commandsFor(lab, step, reason)) ?? [];
  const why = NOTHING_TO_CURE.get(reason);
  if (cures.length > 0 || why === undefined) return cures;
  return [{ host: null, command: null, text: `nothing to cure: ${why}` }];
}

function commandsFor(lab: LabKnowledge, step: TraceStep, reason: Reason): readonly Cure[] {
  const frame = parseFrame(step.before, 0, step.before.length);
  const cure = CURES.get(reason);
  if (!frame || !cure) return [];
  const portName = lab.lab.engine.ports[step.port]!.name;
  const carried = carriedBy(step.before, frame);
  const host = lab.host(step.node) ?? (frame.ip ? lab.ownerOf(frame.ip.source) : undefined); // in the provider network: the sender
  if (!host) return [];
  const vsid = carried?.vsid ?? lab.adapterAt(portName)?.adapter.vsid ?? (0 as Vsid);
  const policy = lab.lab.policyOf(host.name)!;
  const inner = carried?.inner ?? frame;
  const message = isAddressResolution(inner) ? readMessage(step.before, inner) : null;
  return cure({ lab, host, policy, portName, frame, vsid, inner, message });
}

/** The VSID and the inner frame of NVGRE without options. */
function carriedBy(bytes: Uint8Array, { ip }: ParsedFrame): { vsid: Vsid; inner: ParsedFrame } | undefined {
  if (ip?.protocol !== PROTOCOL_GRE || ip.end - ip.transportAt < NVGRE_LENGTH) return undefined;
  const inner = parseFrame(bytes, ip.transportAt + NVGRE_LENGTH, ip.end);
  return inner ? { vsid: vsidAt(bytes, ip.transportAt), inner } : undefined;
}

const UNHEARD: Consultation = { node: 0 as NodeIndex, consulted: () => {} };

// What a VM sends.

function recordMissing(scene: Scene): readonly Cure[] {
  const { host, policy, vsid, inner, message } = scene;
  const { ip } = inner;
  if (message && message.kind !== "question") return isGroupMac(inner.destination) ? [] : stationUnknown(scene);
  if (!message && !ip) return [];
  const destination = message ? message.target : ip!.destination;
  const isOnLink = message !== null || isLinkLocal(destination);
  const found = isOnLink
    ? { vsid, address: destination, record: policy.lookupRecords.find(vsid, destination) }
    : selectNextHop(policy, vsid, destination, inner.destination, UNHEARD);
  const record = "record" in found ? found.record : undefined;
  if (!record) return [newRecordFor(scene, found.vsid, found.address)];
  const unusable = unusableAddress(policy, record);
  return unusable ? [addressUnusable(host, unusable)] : [];
}

/** What is said to one station finds it by its MAC address. */
function stationUnknown({ lab, host, vsid, inner }: Scene): readonly Cure[] {
  const mac = inner.destination;
  const place = lab.adaptersWith(mac).find(({ adapter }) => adapter.vsid === vsid);
  const command = newLookupRecord(host.name, {
    virtualSubnetID: vsid,
    customerAddress: inner.ip?.destination ?? { blank: "CA of the VM with this MAC" },
    macAddress: mac,
    providerAddress: (place && lab.providerAddressOf(place.host)) ?? { blank: "PA of its host" },
  });
  const who = place ? `${place.host.name}/${place.adapter.portName}` : "no VM of the lab";
  return [{ host: host.name, command, text: `${who} has MAC ${formatMac(mac)} in VSID ${vsid}` }];
}

function newRecordFor(scene: Scene, wireVsid: Vsid, address: Address): Cure {
  const { lab, host } = scene;
  if (isBroadcastAddress(scene.policy, wireVsid, address)) {
    const text = `${formatAddress(address)} is the broadcast address of VSID ${wireVsid}: no VM can have it, and nobody outside of that virtual subnet reaches it`;
    return { host: host.name, command: null, text };
  }
  const known = lab.recordElsewhere(wireVsid, address, host.name);
  const misplaced = known ? undefined : recordInOtherSubnet(scene, wireVsid, address);
  if (misplaced && scene.message) {
    const text = `${formatAddress(address)} is on record in VSID ${misplaced.virtualSubnetID}, which the guest reaches through its router: it takes too many addresses for its neighbors'`;
    return { host: host.name, command: null, text };
  }
  const record = known?.record ?? misplaced;
  const text = known
    ? `${known.host} has this record`
    : misplaced
      ? `the address is on record in VSID ${misplaced.virtualSubnetID}, where no route leads for it`
      : `no host of the lab has a record of ${formatAddress(address)} in VSID ${wireVsid}; is it a VM's address?`;
  const command = newLookupRecord(host.name, {
    virtualSubnetID: wireVsid,
    customerAddress: address,
    macAddress: record?.macAddress ?? { blank: "MAC of the VM" },
    providerAddress: record?.providerAddress ?? { blank: "PA of its host" },
  });
  return { host: host.name, command, text };
}

const isBroadcastAddress = ({ customerRoutes }: HostPolicy, vsid: Vsid, address: Address): boolean =>
  customerRoutes.onLinkPrefixes(vsid).some((prefix) => {
    const broadcast = directedBroadcastOf(prefix);
    return broadcast !== undefined && sameAddress(broadcast, address);
  });

/** The same address in another virtual subnet of the routing domain. */
function recordInOtherSubnet({ policy }: Scene, vsid: Vsid, address: Address): LookupRecord | undefined {
  const vsids = policy.customerRoutes.routingDomainOf(vsid)?.vsids ?? [];
  for (const other of vsids) {
    const record = other === vsid ? undefined : policy.lookupRecords.find(other, address);
    if (record) return record;
  }
  return undefined;
}

function senderUnknown(scene: Scene): readonly Cure[] {
  const { lab, host, policy, vsid, inner, message } = scene;
  const mac = inner.source;
  const source = message ? claimedWrongly(policy, vsid, mac, message) : inner.ip?.source;
  if (!source) return [];
  if (!message && (isUnspecified(source) || isLinkLocal(source))) {
    const text = `no router sends on what comes from ${formatAddress(source)}: to reach other virtual subnets the VM needs an address of its own`;
    return [{ host: host.name, command: null, text }];
  }
  const taken = takenBy(policy, vsid, mac, source, UNHEARD);
  if (taken && !taken.holder) {
    return [{ host: host.name, command: null, text: `${formatAddress(source)} is ${taken.why}; give this VM another` }];
  }
  const misplaced = portMisplaced(scene, source);
  if (misplaced) return [misplaced];
  const cures: Cure[] = [];
  const other = taken?.holder ?? policy.lookupRecords.find(vsid, source);
  if (other) {
    const owner = lab.adaptersWith(other.macAddress).find(({ adapter }) => adapter.vsid === other.virtualSubnetID);
    if (owner) {
      const text = `${formatAddress(source)} belongs to ${owner.host.name}/${owner.adapter.portName}; give this VM an address of its own`;
      return [{ host: host.name, command: null, text }];
    }
    if (!lab.ownerOf(other.providerAddress)) {
      const text = `${formatAddress(source)} belongs to a VM at ${formatAddress(other.providerAddress)}, where no host of the lab is; give this VM an address of its own`;
      return [{ host: host.name, command: null, text }];
    }
    const text = `the record gives the address to ${formatMac(other.macAddress)}, which no VM has; a record's MAC cannot be set`;
    cures.push({ host: host.name, command: removeLookupRecord(host.name, other), text });
  } else {
    const isSender = (next: LookupRecord): boolean => next.virtualSubnetID === vsid && next.macAddress === mac;
    const cure = trustInGateway(scene, source, isSender) ?? nobodysAddress(scene, source);
    if (cure) return [cure];
  }
  const command = newLookupRecord(host.name, {
    virtualSubnetID: vsid,
    customerAddress: source,
    macAddress: mac,
    providerAddress: lab.providerAddressOf(host) ?? { blank: `a provider address of ${host.name}` },
  });
  cures.push({ host: host.name, command, text: "and on every other host of the routing domain" });
  return cures;
}

/** The VM has this address, but in another virtual subnet, and that is where the address belongs. */
function portMisplaced(scene: Scene, source: Address): Cure | undefined {
  const { lab, host, policy, portName, vsid, inner } = scene;
  const adapter = lab.adapterAt(portName)?.adapter;
  const record = recordInOtherSubnet(scene, vsid, source);
  if (!adapter || record?.macAddress !== inner.source) return undefined;
  if (policy.customerRoutes.onLinkPrefixes(vsid).some((prefix) => prefixContains(prefix, source))) return undefined;
  const VirtualSubnetId = record.virtualSubnetID;
  const text = `the adapter has VSID ${vsid}, the record of its address ${VirtualSubnetId}`;
  return { host: host.name, command: setAdapter(host, adapter, { VirtualSubnetId }), text };
}

/** Trust in the gateway that has sent a packet from outside of the routing domain, if one has. */
function trustInGateway(
  { lab, host, policy, vsid }: Scene,
  source: Address,
  isSender: (record: LookupRecord) => boolean,
): Cure | undefined {
  const stranger = { lab, hostName: host.name, policy, vsid, source };
  const gateway = isFromOutside(stranger) ? gatewayOf(stranger, isSender) : undefined;
  if (!gateway) return undefined;
  const at = `${formatAddress(gateway.customerAddress)} in VSID ${gateway.virtualSubnetID}`;
  const text = `the sender is the next hop ${at}, a gateway; this record vouches for all that it brings in, also on every other host of the routing domain`;
  return { host: host.name, command: trustGateway(stranger, gateway), text };
}

/** No record cures a source that is in no virtual subnet and that no gateway has sent. */
function nobodysAddress({ lab, host, policy, vsid }: Scene, source: Address): Cure | undefined {
  if (!isFromOutside({ lab, hostName: host.name, policy, vsid, source })) return undefined;
  const text =
    "the source is in no virtual subnet of the routing domain, and the sender no next hop of its customer routes: " +
    "give it an address of its own, or if it is a gateway, a customer route and a GatewayWildcard record";
  return { host: host.name, command: null, text };
}

/**
 * The first address that a message says is its sender's and no record does; undefined if it speaks for another MAC anyway. Link-local
 * addresses need no record.
 */
function claimedWrongly(policy: HostPolicy, vsid: Vsid, mac: Mac, message: Message): Address | undefined {
  if (message.claims.mac !== mac) return undefined;
  return message.claims.addresses.find((address) => {
    const record = policy.lookupRecords.find(vsid, address);
    return record ? record.macAddress !== mac : !isLinkLocal(address);
  });
}

function routeMissing({ lab, host, policy, vsid, inner }: Scene): readonly Cure[] {
  const destination = inner.ip?.destination;
  if (!destination) return [];
  const domain = policy.customerRoutes.routingDomainOf(vsid);
  if (!domain) return subnetUnknown(lab, host, vsid); // nothing leads out of a subnet without a routing domain
  const { id } = domain;
  const known = lab.routeElsewhere(
    host.name,
    (route) => route.routingDomainID === id && prefixContains(route.destinationPrefix, destination),
  );
  if (known) {
    return [
      { host: host.name, command: newCustomerRoute(host.name, known.route), text: `${known.host} has this route` },
    ];
  }
  const text = `no host of the lab has a route to ${formatAddress(destination)}; leave it out if nothing is there`;
  const command = newCustomerRoute(host.name, {
    routingDomainID: id,
    virtualSubnetID: { blank: `VSID of ${formatAddress(destination)}, or of the gateway` },
    destinationPrefix: { blank: `prefix around ${formatAddress(destination)}` },
    nextHop: maskAddress(destination, 0), // on-link
    metric: 0,
  });
  return [{ host: host.name, command, text }];
}

function ruleIsNotEncap({ host, policy, vsid, inner, message }: Scene): readonly Cure[] {
  const ip = message ? null : inner.ip; // a guest that gets no answer from one station asks all, and then the host answers
  const found = ip && selectNextHop(policy, vsid, ip.destination, inner.destination, UNHEARD);
  if (!found || !isNextHop(found)) return [];
  const command = setLookupRecord(host.name, found.record, { rule: "TranslationMethodEncap" });
  return [{ host: host.name, command, text: `the rule is ${found.record.rule}` }];
}

/** IP Rewrite at one end only. */
function senderNotRewritten({ host, policy, vsid, inner }: Scene): readonly Cure[] {
  const record = inner.ip && policy.lookupRecords.find(vsid, inner.ip.source);
  if (!record) return [];
  const command = setLookupRecord(host.name, record, {
    rule: "TranslationMethodNat",
    providerAddress: { blank: "provider address of its own" },
  });
  const text = `the rule is ${record.rule}; IP Rewrite needs TranslationMethodNat at both ends, and a provider address for each customer address`;
  return [{ host: host.name, command, text }];
}

function rewrittenAcrossFamilies({ host, policy, vsid, inner }: Scene): readonly Cure[] {
  const { ip } = inner;
  if (!ip) return [];
  const found = selectNextHop(policy, vsid, ip.destination, inner.destination, UNHEARD);
  const records = [policy.lookupRecords.find(vsid, ip.source), isNextHop(found) ? found.record : undefined];
  return records.flatMap((record) => {
    if (!record || record.providerAddress.family === record.customerAddress.family) return [];
    const blank = `IPv${record.customerAddress.family} provider address of its own`;
    const command = setLookupRecord(host.name, record, { providerAddress: { blank } });
    return [{ host: host.name, command, text: `${formatAddress(record.providerAddress)} is of the other family` }];
  });
}

/** The far end has sent as IP Rewrite what this host has no record of. */
function rewrittenSenderUnknown({ lab, host, policy, frame, inner }: Scene): readonly Cure[] {
  const source = frame.ip?.source;
  const sender = source && lab.ownerOf(source);
  const record = sender && lab.lab.policyOf(sender.name)!.lookupRecords.findNat(source);
  const holder = frame.ip && policy.lookupRecords.findNat(frame.ip.destination);
  if (!record && holder && inner !== frame) {
    const command = setLookupRecord(host.name, holder, { providerAddress: { blank: "provider address of its own" } });
    const text = `${formatAddress(holder.providerAddress)} stands for ${formatAddress(holder.customerAddress)} alone (TranslationMethodNat), so NVGRE to it is not taken`;
    return [{ host: host.name, command, text }];
  }
  if (!record) return [];
  const other = policy.lookupRecords.find(record.virtualSubnetID, record.customerAddress);
  const command = other ? setLookupRecord(host.name, other, record) : newLookupRecord(host.name, record);
  return [{ host: host.name, command, text: `${sender.name} has this record` }];
}

function providerAddressMissing({ lab, host, policy, vsid, inner }: Scene): readonly Cure[] {
  const sender =
    (inner.ip && policy.lookupRecords.find(vsid, inner.ip.source)) ??
    policy.lookupRecords.findByMac(vsid, inner.source)[0];
  const address = sender?.providerAddress;
  const owner = address && lab.ownerOf(address);
  const isElsewhere = owner !== undefined && owner !== host; // then another address would do
  const unusable = policy.providerAddresses.all.find(
    (pa) => pa.addressState !== "Preferred" && (isElsewhere || (address && sameAddress(pa.providerAddress, address))),
  );
  if (unusable) return [addressUnusable(host, unusable)];
  if (isElsewhere) return redirected(lab, host.name, sender!, sender!.macAddress, vsid); // never two hosts with one address
  const subnet = address && lab.providerSubnetOf(address);
  const command = commandLine("New-NetVirtualizationProviderAddress", {
    CimSession: host.name,
    ProviderAddress: address ?? { blank: "provider address" },
    InterfaceIndex: 1,
    PrefixLength: subnet?.prefix.length ?? { blank: "prefix length" },
    VlanID: subnet && subnet.vlan !== 0 ? subnet.vlan : undefined,
  });
  return [{ host: host.name, command, text: "the sender's own record names the address to send from" }];
}

function providerFamilyMissing({ host, policy, vsid, inner }: Scene): readonly Cure[] {
  const found = inner.ip && selectNextHop(policy, vsid, inner.ip.destination, inner.destination, UNHEARD);
  const family = found && isNextHop(found) ? found.record.providerAddress.family : 4;
  const command = commandLine("New-NetVirtualizationProviderAddress", {
    CimSession: host.name,
    ProviderAddress: { blank: `IPv${family} address` },
    InterfaceIndex: 1,
    PrefixLength: { blank: "prefix length" },
  });
  return [{ host: host.name, command, text: "both ends of a tunnel need addresses of one family" }];
}

function providerRouteMissing({ lab, host, policy, vsid, inner }: Scene): readonly Cure[] {
  const found = inner.ip && selectNextHop(policy, vsid, inner.ip.destination, inner.destination, UNHEARD);
  if (!found || !isNextHop(found)) return [];
  const destination = found.record.providerAddress;
  const own = host.providerAddresses.find(({ address }) => address.family === destination.family);
  const gateway = own && lab.providerSubnetOf(own.address)?.gateway;
  const around = lab.providerSubnetOf(destination);
  const command = commandLine("New-NetVirtualizationProviderRoute", {
    CimSession: host.name,
    InterfaceIndex: own?.interfaceIndex ?? 1,
    DestinationPrefix: around ? formatPrefix(around.prefix) : { blank: `prefix around ${formatAddress(destination)}` },
    NextHop: gateway ?? { blank: "provider router" },
  });
  return [{ host: host.name, command, text: `no provider route leads to ${formatAddress(destination)}` }];
}

/** Broadcast or multicast that nobody got: a VM of the subnet on another host, which this host has no record of. */
function noOtherMember({ lab, host, policy, vsid }: Scene): readonly Cure[] {
  if (policy.settings.mode === "2012") return [];
  for (const other of lab.lab.settings.hosts) {
    const stranger = other === host ? undefined : other.adapters.find((adapter) => adapter.vsid === vsid);
    const record = stranger && lab.lab.policyOf(other.name)!.lookupRecords.findByMac(vsid, stranger.mac)[0];
    if (!record || policy.lookupRecords.findByMac(vsid, record.macAddress).length > 0) continue;
    const command = newLookupRecord(host.name, record);
    return [{ host: host.name, command, text: `${other.name}/${stranger.portName} is in this virtual subnet too` }];
  }
  if (policy.settings.flood !== "l2only" || policy.lookupRecords.hasL2Only(vsid)) return [];
  const text =
    "the setting flood: l2only keeps broadcasts on the host where no record is L2Only; flood: always would send them";
  return [{ host: host.name, command: null, text }];
}

/** A port may have VSID 16777215, which no record can match. */
const portVsidUnusable = ({ lab, host, portName }: Scene): readonly Cure[] => {
  const place = lab.adapterAt(portName);
  if (!place) return [];
  const VirtualSubnetId = { blank: "VSID of its records, 4096 to 16777214" };
  const command = setAdapter(host, place.adapter, { VirtualSubnetId });
  return [{ host: host.name, command, text: "no record or route can match the VSID of the port" }];
};

/** The record sends to where no host is: whose VM is it really? */
function destinationHostUnknown({ lab, host, policy, vsid, inner, frame }: Scene): readonly Cure[] {
  const { ip } = inner;
  const isGroup = isGroupMac(inner.destination); // a copy, for one of the members at that provider address
  const isThere = ({ virtualSubnetID, providerAddress }: LookupRecord): boolean =>
    virtualSubnetID === vsid && frame.ip !== null && sameAddress(providerAddress, frame.ip.destination);
  const byMac = policy.lookupRecords.findByMac(vsid, inner.destination);
  const isRoutedHere = inner === frame && ip !== null && !isLinkLocal(ip.destination); // its MAC address may be the router's
  const record = isGroup
    ? [...policy.lookupRecords].find(isThere)
    : ((isRoutedHere ? nextHopRecord(policy, vsid, inner) : undefined) ??
      (ip && policy.lookupRecords.find(vsid, ip.destination)) ??
      byMac.find(isThere) ??
      byMac[0]);
  if (!record) return [];
  return redirected(lab, host.name, record, record.macAddress, record.virtualSubnetID);
}

function nextHopRecord(policy: HostPolicy, vsid: Vsid, inner: ParsedFrame): LookupRecord | undefined {
  const found = inner.ip && selectNextHop(policy, vsid, inner.ip.destination, inner.destination, UNHEARD);
  return found && isNextHop(found) ? found.record : undefined;
}

/** Points the record at the host that runs the VM; if none does, it should go. */
function redirected(lab: LabKnowledge, hostName: string, record: LookupRecord, mac: Mac, vsid: Vsid): readonly Cure[] {
  const target = lab.adaptersWith(mac).find(({ adapter }) => adapter.vsid === vsid);
  const address = target && lab.providerAddressOf(target.host, record.providerAddress.family);
  if (target && address && !sameAddress(address, record.providerAddress)) {
    const text = `${target.host.name}/${target.adapter.portName} has this MAC in VSID ${vsid}; the record names ${formatAddress(record.providerAddress)}`;
    return [{ host: hostName, command: setLookupRecord(hostName, record, { providerAddress: address }), text }];
  }
  if (target) return [];
  const owner = lab.ownerOf(record.providerAddress);
  if (!owner) {
    const text = `no host of the lab has provider address ${formatAddress(record.providerAddress)}`;
    const providerAddress = { blank: "PA of the VM's host" };
    return [{ host: hostName, command: setLookupRecord(hostName, record, { providerAddress }), text }];
  }
  const text = `no VM of the lab has MAC ${formatMac(mac)} in VSID ${vsid}`;
  return [{ host: hostName, command: removeLookupRecord(hostName, record), text }];
}

/** The packet does not fit the path, by the NIC's MTU or what routers have told since; of several paths the narrowest. */
function tooBig(scene: Scene): readonly Cure[] {
  const { host, policy, vsid, inner } = scene;
  const record = nextHopRecord(policy, vsid, inner);
  const isGroup = !record && isGroupMac(inner.destination);
  const members = isGroup ? policy.lookupRecords.providerAddressesOf(vsid).filter((pa) => !isLinkLocal(pa)) : []; // no dummies
  const destinations = record ? [record.providerAddress] : members;
  const isRewritten = record?.rule === "TranslationMethodNat";
  const rooms = destinations.flatMap((destination) => roomTo(scene, destination, isRewritten) ?? []);
  if (rooms.length === 0) return [];
  const { path, pathMtu, room } = rooms.reduce((least, other) => (other.room < least.room ? other : least));
  const isTooNarrow = inner.ip?.family === 6 && room < IPV6_MTU_MIN;
  const most = isGroup ? "broadcast and multicast, whose sender is not told, may have" : "this guest's MTU may be";
  const text = isTooNarrow
    ? `${path} and leaves ${room}, where IPv6 needs ${IPV6_MTU_MIN} (RFC 8200 §5): no guest can cure that, only a path of ${pathMtu + IPV6_MTU_MIN - room} or more`
    : `${path}: ${most} ${room} at most; or raise that of the provider network (hnv mtu)`;
  return [{ host: host.name, command: null, text }];
}

/** What the path to another host carries, and what it leaves for packets of VMs. IP Rewrite adds nothing, and goes by the interface alone. */
function roomTo({ lab, host, policy }: Scene, destination: Address, isRewritten: boolean) {
  const own = host.providerAddresses.find(({ address }) => address.family === destination.family);
  if (!own || lab.ownerOf(destination) === host) return undefined;
  const interfaceMtu = policy.interfaceMtu(own.interfaceIndex);
  const pathMtu = isRewritten ? interfaceMtu : pathMtuTo(policy, own.interfaceIndex, destination);
  const room = isRewritten ? pathMtu : innerMtu(pathMtu, destination.family);
  const told = pathMtu < interfaceMtu ? `, as a router has told (${interfaceMtu} by the NIC)` : "";
  return { path: `the path to ${formatAddress(destination)} carries ${pathMtu} octets${told}`, pathMtu, room };
}

/** The provider network is narrower than the sender's NIC believes. */
function pathTooNarrow({ lab, frame }: Scene): readonly Cure[] {
  const sender = frame.ip && lab.ownerOf(frame.ip.source);
  const subnets = lab.lab.settings.provider?.subnets ?? [];
  if (!sender || !frame.ip) return [];
  const { source, destination } = frame.ip;
  const passed = subnets.filter(({ prefix }) => prefixContains(prefix, source) || prefixContains(prefix, destination));
  if (passed.length === 0) return [];
  const mtu = Math.min(...passed.map((subnet) => subnet.mtu));
  const isRouted = passed.length > 1 && passed.every(({ gateway }) => gateway !== null);
  const text = isRouted
    ? `the path carries ${mtu} octets, which the router has told ${sender.name}: later packets follow it`
    : `the path carries ${mtu} octets, and no router tells so: the NICs' MTU may be no more`;
  return [{ host: sender.name, command: null, text }];
}

/** RFC 7637 §4.4: senders must not fragment, receivers need not reassemble. */
function fragmentsUnwanted({ lab, frame }: Scene): readonly Cure[] {
  const sender = frame.ip ? lab.ownerOf(frame.ip.source) : undefined;
  const text =
    "whoever sends must not fragment NVGRE (RFC 7637 §4.4); a wider provider network, or settings.reassembly here";
  return [{ host: sender?.name ?? null, command: null, text }];
}

// What comes from the wire.

function subnetUnknown(lab: LabKnowledge, host: HostSettings, vsid: Vsid): readonly Cure[] {
  const known = lab.routeElsewhere(host.name, (route) => route.virtualSubnetID === vsid);
  const command = newCustomerRoute(
    host.name,
    known?.route ?? {
      routingDomainID: { blank: "RDID" },
      virtualSubnetID: vsid,
      destinationPrefix: { blank: `prefix of VSID ${vsid}` },
      nextHop: { blank: "0.0.0.0 or :: for on-link" },
      metric: 0,
    },
  );
  return [
    {
      host: host.name,
      command,
      text: known ? `${known.host} has this route` : `VSID ${vsid} has no customer route, and so no routing domain`,
    },
  ];
}

/** The sender is not on record here, or at another provider address. */
function senderNotAtSource(scene: Scene): readonly Cure[] {
  const { lab, host, policy, vsid, inner, frame, message } = scene;
  const isWithoutDomain = policy.customerRoutes.routingDomainOf(vsid) === undefined;
  if (isWithoutDomain && lab.domainOf(vsid)) return subnetUnknown(lab, host, vsid); // the sender is looked for in its routing domain
  const outerSource = frame.ip?.source;
  const source = inner.ip?.source;
  const claimed = message?.claims.addresses[0];
  const vsids = policy.customerRoutes.routingDomainOf(vsid)?.vsids ?? [vsid];
  const record = source
    ? vsids.map((other) => policy.lookupRecords.find(other, source)).find((found) => found !== undefined)
    : policy.lookupRecords.findByMac(vsid, inner.source)[0];
  if (!outerSource) return [];
  const address = source ?? claimed;
  const isRouted = policy.isGatewayMac(vsid, inner.source);
  const isSender = ({ providerAddress, macAddress }: LookupRecord): boolean =>
    sameAddress(providerAddress, outerSource) && (isRouted || macAddress === inner.source);
  const trusted = address && trustInGateway(scene, address, isSender);
  if (trusted) return [trusted];
  if (record) {
    const came = `the packet came from ${formatAddress(outerSource)}`;
    if (!lab.isPlacedAt(record, outerSource, host.name)) {
      return [
        { host: host.name, command: null, text: `${came}, where nobody in the lab has this VM: look for its sender` },
      ];
    }
    const text = `${came}, the record names ${formatAddress(record.providerAddress)}`;
    return [{ host: host.name, command: setLookupRecord(host.name, record, { providerAddress: outerSource }), text }];
  }
  if (!address) return [];
  const unbound = message
    ? undefined
    : lab.domainOf(vsid)?.vsids.find((other) => !vsids.includes(other) && policy.lookupRecords.find(other, address));
  if (unbound !== undefined) return subnetUnknown(lab, host, unbound); // it is on record, but no route binds its subnet to the domain
  const around = message ? [vsid] : (lab.domainOf(vsid)?.vsids ?? [vsid]); // what ARP and ND say is for the subnet itself
  const known = firstKnown(lab, around, address, host.name);
  const nobodys = known ? undefined : (nobodysAddress(scene, address) ?? senderNowhere(scene, outerSource));
  if (nobodys) return [nobodys];
  const command = newLookupRecord(host.name, {
    virtualSubnetID: known?.record.virtualSubnetID ?? (isRouted ? { blank: "VSID of the sender" } : vsid),
    customerAddress: address,
    macAddress: known?.record.macAddress ?? (isRouted ? { blank: "MAC of the sender" } : inner.source),
    providerAddress: known?.record.providerAddress ?? outerSource,
    ...(isUnspecified(address) && { type: "L2Only" as const }),
  });
  const added = {
    host: host.name,
    command,
    text: known ? `${known.host} has this record` : "as the packet itself says",
  };
  const other = policy.lookupRecords.find(known?.record.virtualSubnetID ?? vsid, address);
  if (!other) return [added];
  const text = `the record gives the address to ${formatMac(other.macAddress)}; a record's MAC cannot be set`;
  return [{ host: host.name, command: removeLookupRecord(host.name, other), text }, added];
}

/** What claims to come from a provider address that no host of the lab has is not believed. */
function senderNowhere({ lab, host }: Scene, outerSource: Address): Cure | undefined {
  if (lab.ownerOf(outerSource)) return undefined;
  const text = `no host of the lab has provider address ${formatAddress(outerSource)}, and none knows the sender: look for it before it is put on record`;
  return { host: host.name, command: null, text };
}

function firstKnown(lab: LabKnowledge, vsids: readonly Vsid[], address: Address, notOn: string) {
  for (const vsid of vsids) {
    const known = lab.recordElsewhere(vsid, address, notOn);
    if (known) return known;
  }
  return undefined;
}

/** No port here has (VSID, MAC): the VM is elsewhere, in another virtual subnet, or nowhere. */
function destinationNotHere({ lab, host, portName, vsid, inner, frame }: Scene): readonly Cure[] {
  const isFromVm = lab.adapterAt(portName) !== undefined;
  const sender = isFromVm ? host : frame.ip ? lab.ownerOf(frame.ip.source) : undefined;
  // What a VM sent has not been rewritten yet: the record knows the MAC that was looked for.
  const policy = sender && lab.lab.policyOf(sender.name)!;
  const record = policy && (isFromVm ? nextHopRecord(policy, vsid, inner) : recordOfDestination(policy, vsid, inner));
  const mac = isFromVm ? record?.macAddress : inner.destination;
  const wireVsid = isFromVm ? record?.virtualSubnetID : vsid;
  if (mac === undefined || wireVsid === undefined) return [];
  const here = lab.adaptersWith(mac).find((place) => place.host === host);
  if (here && here.adapter.vsid !== wireVsid) {
    const own = lab.lab.policyOf(host.name)!.lookupRecords.findByMac(here.adapter.vsid, mac)[0];
    if (own && sender && record) return misplacedRecord(sender.name, lab.lab.policyOf(sender.name)!, record, own);
    const command = setAdapter(host, here.adapter, { VirtualSubnetId: wireVsid });
    const text = `the adapter with MAC ${formatMac(mac)} has VSID ${here.adapter.vsid}, the packet and its record ${wireVsid}`;
    return [{ host: host.name, command, text }];
  }
  return sender && record ? redirected(lab, sender.name, record, mac, wireVsid) : [];
}

/** The VM's own host has it in another virtual subnet, where its adapter is too: a record's VSID cannot be set. */
function misplacedRecord(
  hostName: string,
  policy: HostPolicy,
  record: LookupRecord,
  own: LookupRecord,
): readonly Cure[] {
  const text = `the adapter with MAC ${formatMac(own.macAddress)} is in VSID ${own.virtualSubnetID}, and so is its record on its own host; a record's VSID cannot be set`;
  const remove = { host: hostName, command: removeLookupRecord(hostName, record), text };
  if (policy.lookupRecords.find(own.virtualSubnetID, own.customerAddress)) return [remove];
  return [remove, { host: hostName, command: newLookupRecord(hostName, own), text: "as the VM's own host has it" }];
}

const recordOfDestination = (policy: HostPolicy, vsid: Vsid, { ip, destination }: ParsedFrame) =>
  (ip && policy.lookupRecords.find(vsid, ip.destination)) ?? policy.lookupRecords.findByMac(vsid, destination)[0];

function vlanOfProviderAddress({ host, policy, frame }: Scene): readonly Cure[] {
  const address = frame.ip && policy.providerAddresses.find(frame.ip.destination);
  if (!address) return [];
  const vlan = frame.tag === null ? 0 : vidOf(frame.tag);
  const command = commandLine("Set-NetVirtualizationProviderAddress", {
    CimSession: host.name,
    ProviderAddress: address.providerAddress,
    VlanID: vlan,
  });
  return [{ host: host.name, command, text: `the packet came ${vlan === 0 ? "untagged" : `on VLAN ${vlan}`}` }];
}

/** No cmdlet changes whether a host obeys. */
function controlMessageRefused({ host }: Scene): readonly Cure[] {
  const { mode, acceptRedirect } = host.nve;
  const why = mode === "2012" ? "in mode 2012 a host obeys no control message" : "acceptRedirect is off for this host";
  return mode !== "2012" && acceptRedirect ? [] : [{ host: host.name, command: null, text: why }];
}

/** A REDIRECT to an address that would be known by a route to it. */
function targetUnknown({ host, inner }: Scene): readonly Cure[] {
  if (!inner.ip) return [];
  const command = commandLine("New-NetVirtualizationProviderRoute", {
    CimSession: host.name,
    InterfaceIndex: { blank: "interface of the provider network" },
    DestinationPrefix: { blank: `provider prefix around ${formatAddress(inner.ip.destination)}` },
    NextHop: { blank: "next hop" },
  });
  return [{ host: host.name, command, text: "if that is a provider address; else the REDIRECT is forged" }];
}

const nothingToDo =
  (text: string) =>
  ({ host }: Scene): readonly Cure[] => [{ host: host.name, command: null, text }];

/** A provider address that somebody else uses, or that is not known to be free yet. */
function providerAddressUnusable({ host, policy, frame }: Scene): readonly Cure[] {
  const address = frame.ip && policy.providerAddresses.find(frame.ip.destination);
  return address?.addressState === "Duplicate" ? [addressUnusable(host, address)] : [];
}

/** Why nothing is sent from a provider address that the host has. */
function addressUnusable(host: HostSettings, { providerAddress, addressState }: ProviderAddress): Cure {
  const why =
    addressState === "Duplicate"
      ? "another station answers for it; one of the two needs another address"
      : addressState === "Tentative"
        ? "what comes once duplicate address detection is over, after a few seconds, is sent (settings.duplicateAddressDetection: false does without)"
        : "only Preferred ones are sent from";
  return { host: host.name, command: null, text: `${formatAddress(providerAddress)} is ${addressState}: ${why}` };
}

/** The sender's provider address is in a VLAN that its subnet is not in. */
function vlanOfSender({ lab, host, policy, frame }: Scene): readonly Cure[] {
  const own = frame.ip && policy.providerAddresses.find(frame.ip.source);
  const subnet = own && lab.providerSubnetOf(own.providerAddress);
  if (!own || !subnet || subnet.vlan === own.vlanID) return [];
  const command = commandLine("Set-NetVirtualizationProviderAddress", {
    CimSession: host.name,
    ProviderAddress: own.providerAddress,
    VlanID: subnet.vlan,
  });
  return [
    {
      host: host.name,
      command,
      text: `its provider subnet is ${subnet.vlan === 0 ? "untagged" : `VLAN ${subnet.vlan}`}`,
    },
  ];
}

// The virtual switch.

const switched =
  (parameter: string, value: "On" | "Off" | number, text: string) =>
  ({ lab, host, portName }: Scene): readonly Cure[] => {
    const place = lab.adapterAt(portName);
    return place ? [{ host: host.name, command: setAdapter(host, place.adapter, { [parameter]: value }), text }] : [];
  };

const CURES: ReadonlyMap<Reason, (scene: Scene) => readonly Cure[]> = new Map([
  [Reason.TX_NO_RECORD, recordMissing],
  [Reason.TX_SRC_POLICY, senderUnknown],
  [Reason.TX_NO_ROUTE, routeMissing],
  [Reason.TX_RULE_NONE, ruleIsNotEncap],
  [Reason.TX_RULE_NAT, ruleIsNotEncap],
  [Reason.TX_NAT_SOURCE, senderNotRewritten],
  [Reason.TX_NAT_FAMILY, rewrittenAcrossFamilies],
  [Reason.RX_NAT_SOURCE, rewrittenSenderUnknown],
  [Reason.TX_NO_PA, providerAddressMissing],
  [Reason.TX_PA_FAMILY, providerFamilyMissing],
  [Reason.TX_NO_PROVIDER_ROUTE, providerRouteMissing],
  [Reason.TX_PA_UNRESOLVED, destinationHostUnknown],
  [Reason.TX_VSID_RANGE, portVsidUnusable],
  [Reason.TX_NO_FLOOD, noOtherMember],
  [Reason.TX_UNANSWERED, recordMissing],
  [Reason.TX_TOO_BIG, tooBig],
  [Reason.TX_TOO_BIG_ICMP4, tooBig],
  [Reason.TX_TOO_BIG_ICMP6, tooBig],
  [Reason.PROVIDER_MTU, pathTooNarrow],
  [Reason.RX_OUTER_FRAGMENT, fragmentsUnwanted],
  [Reason.NOT_ACCEPTED, destinationNotHere],
  [Reason.RX_NO_LOCAL_DST, destinationNotHere],
  [Reason.RX_MOVED, destinationNotHere],
  [Reason.RX_CTRL, controlMessageRefused],
  [Reason.RX_CTRL_MALFORMED, nothingToDo("the message was damaged on its way, or whoever sent it is no NVE")],
  [
    Reason.RX_CTRL_SPOOF,
    nothingToDo("no host that got a packet from here sends such a message: look for its real sender"),
  ],
  [
    Reason.RX_CTRL_STALE,
    nothingToDo("the lookup record is newer than the message; nothing is wrong unless it repeats"),
  ],
  [Reason.RX_CTRL_TARGET, targetUnknown],
  [Reason.RX_PA_STATE, providerAddressUnusable],
  [Reason.RX_VSID_UNKNOWN, ({ lab, host, vsid }) => subnetUnknown(lab, host, vsid)],
  [Reason.RX_SRC_POLICY, senderNotAtSource],
  [Reason.RX_OUTER_VLAN, vlanOfProviderAddress],
  [Reason.MAC_SPOOFING, switched("MacAddressSpoofing", "On", "if this VM may send in other names")],
  [Reason.STORM_LIMIT, switched("StormLimit", 0, "if this VM may send any number of broadcasts")],
  [Reason.DHCP_GUARD, switched("DhcpGuard", "Off", "if this VM is meant to be a DHCP server")],
  [Reason.ROUTER_GUARD, switched("RouterGuard", "Off", "if this VM is meant to be a router")],
  [Reason.PROVIDER_VLAN, vlanOfSender],
  [Reason.PROVIDER_NO_ROUTE, destinationHostUnknown],
  [Reason.PROVIDER_UNRESOLVED, destinationHostUnknown],
  [Reason.PROVIDER_UNKNOWN_MAC, destinationHostUnknown],
]);
