/**
 * Stamps: which flows a policy change touches.
 *
 * Policy is cut into buckets, each with a version number that moves when anything in it changes. A decision names the
 * buckets that it consulted, also where it found nothing; a flow entry keeps those names and the sum of their versions.
 * Versions only grow, so the sum is equal exactly as long as none has moved. The kernel compares sums once per entry
 * and generation, so a change of one record costs flows that never consulted its bucket nothing but that.
 *
 * Buckets are shared by hashing: a collision makes a flow be decided again without need, never too late.
 */
import type { NodeIndex, PortIndex, Stamp } from "../transposition/transposition.js";
import type { Address } from "../wire/address.js";
import type { Vsid } from "../wire/bytes.js";

/** How many version numbers exist. */
export const STAMP_COUNT = 1 << 17;

const RECORDS = 1 << 16; // 2^16 buckets from here
const ROUTES = 1 << 15; // 2^15 from here
const PORTS = 1 << 14; // 2^14 from here
const PROVIDER = 1 << 13; // 2^13 from here

/** The stamp that never moves. */
export const NO_STAMP = 0 as Stamp;
/** Moves with every change of any policy: for decisions that rest on more than an entry can name. */
export const ANY_STAMP = 1 as Stamp;

/** No record's. */
const NO_VSID = 0 as Vsid;

const mix = (h: number, value: number): number => Math.imul((h ^ value) + 0x9e37_79b9, 0x85eb_ca6b) ^ (h >>> 13);

/** The bucket of (VSID, CA) in a host's lookup records. */
export const recordStamp = (node: NodeIndex, vsid: Vsid, address: Address): Stamp => {
  const h = mix(mix(mix(mix(mix(mix(node, vsid), address.w0), address.w1), address.w2), address.w3), address.family);
  return (RECORDS + ((h ^ (h >>> 16)) & (RECORDS - 1))) as Stamp;
};

/** The bucket of a virtual subnet's records that are found by MAC (L2Only, GatewayWildcard). */
export const macRecordStamp = (node: NodeIndex, vsid: Vsid): Stamp => {
  const h = mix(mix(node, vsid), 0x4d41_4320);
  return (RECORDS + ((h ^ (h >>> 16)) & (RECORDS - 1))) as Stamp;
};

/**
 * At which provider addresses a virtual subnet has members: moves when one comes or goes, not with every record; and with records of
 * group addresses.
 */
export const membersStamp = (node: NodeIndex, vsid: Vsid): Stamp => {
  const h = mix(mix(node, vsid), 0x4d45_4d42);
  return (RECORDS + ((h ^ (h >>> 16)) & (RECORDS - 1))) as Stamp;
};

/** Which record IP Rewrite gives a provider address to. */
export const natStamp = (node: NodeIndex, providerAddress: Address): Stamp =>
  recordStamp(node, NO_VSID, providerAddress);

/** A gateway's binding of an endpoint: inside, with its tenant, or outside, where `tenant` is -1. Moves when it comes, goes, or shall be used again. */
export const bindingStamp = (
  node: NodeIndex,
  tenant: number,
  protocol: number,
  address: Address,
  port: number,
): Stamp => {
  const flow = mix(mix(mix(node, tenant), protocol), port);
  const h = mix(mix(mix(mix(flow, address.w0), address.w1), address.w2), address.w3);
  return (RECORDS + ((h ^ (h >>> 16)) & (RECORDS - 1))) as Stamp;
};

/**
 * All customer routes of a host: they are few, and one route may change what many destinations match. Moves with the lookup
 * records of gateway addresses too, which give the gateway MACs.
 */
export const routesStamp = (node: NodeIndex): Stamp => (ROUTES + (node & (ROUTES - 1))) as Stamp;

/** Settings of a port and of who lives behind it. */
export const portStamp = (port: PortIndex): Stamp => (PORTS + (port & (PORTS - 1))) as Stamp;
export const isPortStamp = (stamp: Stamp): boolean => stamp >= PORTS && stamp < ROUTES;

/**
 * A host's provider addresses, provider routes, neighbors, MTU and switches. Moves with every change of the host's ports
 * too, so it stands for "no port has this VSID and MAC" and may take the place of any of their stamps.
 */
export const providerStamp = (node: NodeIndex): Stamp => (PROVIDER + (node & (PROVIDER - 1))) as Stamp;
