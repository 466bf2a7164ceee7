/**
 * One tunnel without policy: the nodes behind `hnv encap` and `hnv decap`.
 *
 * They use the same headers, checks and transpositions as the NVE, but ask nobody who may send what to whom. The encoder takes
 * any Ethernet frame, LLDP, spanning tree and malformed IP included; the decoder gives every inner frame back. For
 * untagged frames that fit, decoding undoes encoding, bit for bit.
 *
 * The IPv4 identification begins where the counter of the codec's node in the kernel's memory stands.
 */
import { Reason } from "../drop-reasons.js";
import type { DscpMode, EcnMode, EthernetFields, PortIndex } from "../transposition/transposition.js";
import type { Address } from "../wire/address.js";
import type { Vsid } from "../wire/bytes.js";
import type { ReceiveMode } from "../wire/nvgre.js";
import { isTpid } from "../wire/vlan.js";
import { dropFor, forwardTo, makeNode, type Pipeline, passFor } from "./evaluate.js";
import { CONTINUE, type Layer, type Node } from "./layer.js";
import { innerMtu, isTooBig, nvgrePush, OUTER_TTL } from "./nve/encapsulate.js";
import { flowText, frameText, tell } from "./nve/explain.js";
import { checkCongestion, checkOuterIp, enterInnerFrame, isGre, isIpEtherType, openNvgre } from "./nve/receive.js";

export interface EncapOptions {
  readonly output: PortIndex;
  readonly vsid: Vsid;
  /** Provider addresses, both of one family. */
  readonly source: Address;
  readonly destination: Address;
  /** Addresses and tag of the outer frame. */
  readonly ethernet: EthernetFields;
  /** TTL or hop limit; 128 if left out. */
  readonly ttl?: number;
  readonly dscp?: DscpMode;
  readonly ecn?: EcnMode;
  readonly flowId?: "hash" | "zero";
  /** IP MTU of the provider path; without it only what IP itself cannot hold is too big. */
  readonly mtu?: number;
  /** RFC 7637 §3.3 has no tags inside: take a frame's 802.1Q tag off, or drop the frame (the default). */
  readonly tagged?: "strip" | "drop";
}

/** Wraps every frame into one tunnel. */
export function encapNode(name: string, options: EncapOptions): Node {
  const pipeline: Pipeline<EncapOptions> = { layers: [untagged, wrap], unreadable: Reason.INVALID_PACKET };
  return makeNode(
    name,
    () => options,
    () => pipeline,
  );
}

/** No tag may remain; one 802.1Q tag can be taken off, deeper or other ones cannot. */
const untagged: Layer<EncapOptions> = {
  name: "tag",
  evaluate(options, { parsed, plan }, { observer }) {
    plan.removeTag = options.tagged === "strip";
    const isTagged = (parsed.tag !== null && !plan.removeTag) || isTpid(parsed.etherType);
    if (observer) {
      const without = parsed.tag === null ? "no tag" : "the tag is taken off";
      tell(observer, frameText(parsed), isTagged ? "a tag that must not go inside" : without);
    }
    return isTagged ? dropFor(Reason.TX_INNER_VLAN) : CONTINUE;
  },
};

const wrap: Layer<EncapOptions> = {
  name: "encapsulation",
  evaluate(options, packet, context) {
    const { parsed, plan } = packet;
    const limit = innerMtu(options.mtu ?? Number.POSITIVE_INFINITY, options.source.family);
    plan.vsid = options.vsid;
    plan.lengthLimit = limit;
    if (isTooBig(parsed, limit)) {
      context.doNotCache();
      if (context.observer) tell(context.observer, `${parsed.end - parsed.networkAt} octets`, `inner MTU is ${limit}`);
      return dropFor(Reason.TX_TOO_BIG);
    }
    // Malformed IP counts as no IP for the entropy, which no flow key tells apart.
    if (parsed.ip === null && isIpEtherType(parsed.etherType)) context.doNotCache();
    const push = nvgrePush(packet, {
      ethernet: options.ethernet,
      source: options.source,
      destination: options.destination,
      ttl: options.ttl ?? OUTER_TTL,
      settings: {
        ecn: options.ecn ?? "normal",
        dscp: options.dscp ?? { model: "pipe", value: 0 },
        flowId: options.flowId ?? "hash",
      },
      node: context.node,
    });
    if (context.observer) tell(context.observer, flowText(plan.vsid, parsed), `NVGRE with FlowID ${push.flowId}`);
    return forwardTo(packet, options.output, push);
  },
};

export interface DecapOptions {
  /** Where inner frames of a virtual subnet go; undefined leaves the packet to others, like what is not NVGRE. */
  readonly outputOf: (vsid: Vsid) => PortIndex | undefined;
  /** `strict` if left out. */
  readonly receive?: ReceiveMode;
}

/** Unwraps NVGRE, whoever it is for; everything else is passed on. */
export function decapNode(name: string, options: DecapOptions): Node {
  const pipeline: Pipeline<DecapOptions> = {
    layers: [outerHeader, nvgreHeader, innerFrame, unwrap],
    unreadable: Reason.RX_ETH_SHORT,
  };
  return makeNode(
    name,
    () => options,
    () => pipeline,
  );
}

/** Rows 3, 4, 5 and 9 of the receive checklist. */
const outerHeader: Layer<DecapOptions> = {
  name: "outer header",
  evaluate(_options, { bytes, parsed }, context) {
    const { ip } = parsed;
    const isIp = isIpEtherType(parsed.etherType);
    const reason = isIp ? checkOuterIp(bytes, ip) : Reason.NONE;
    const isOurs = reason === Reason.NONE && ip !== null && isGre(bytes, ip);
    if (context.observer) {
      const broken = "the IP header is broken";
      tell(
        context.observer,
        frameText(parsed),
        reason === Reason.NONE ? (isOurs ? "GRE" : "not GRE: passed on") : broken,
      );
    }
    if (reason !== Reason.NONE) {
      context.doNotCache();
      return dropFor(reason);
    }
    return isOurs ? CONTINUE : passFor(Reason.NONE);
  },
};

/** Rows 10 to 20. */
const nvgreHeader: Layer<DecapOptions> = {
  name: "NVGRE header",
  evaluate: (options, packet, context) => openNvgre(packet, options.receive ?? "strict", context),
};

/** Row 22. */
const innerFrame: Layer<DecapOptions> = {
  name: "inner frame",
  evaluate: (_options, packet, context) => enterInnerFrame(packet, context),
};

const unwrap: Layer<DecapOptions> = {
  name: "decapsulation",
  evaluate(options, packet, context) {
    const { vsid } = packet.plan;
    const output = options.outputOf(vsid);
    if (context.observer) tell(context.observer, `VSID ${vsid}`, output === undefined ? "not asked for" : "unwrapped");
    if (output === undefined) return passFor(Reason.NONE);
    const outcome = checkCongestion(packet, context); // decapsulation without RFC 6040 would lose marks
    return outcome === CONTINUE ? forwardTo(packet, output, null) : outcome;
  },
};
