/**
 * Duplicate address detection for provider addresses (RFC 5227, RFC 4862 §5.4): Tentative until nobody has answered for it, then
 * Preferred and announced; Duplicate if somebody has. An address in use is defended, and stays. When its NIC has a link again it begins anew, for
 * nobody has heard of it meanwhile, and it of nobody.
 */
import type { ProviderAddress } from "../../policy/policy.js";
import { type Address, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { Mac } from "../../wire/bytes.js";
import { formatMac } from "../../wire/mac.js";
import { announcementOf, probeFor } from "./provider-frames.js";
import type { NveWork } from "./work.js";

/** RFC 5227 §1.1 would have pauses of random length; one second is in their range, and the same in every run. */
const PROBE_INTERVAL_MS = 1_000;
/** PROBE_NUM of RFC 5227 §1.1; DupAddrDetectTransmits of RFC 4862 §5.1. */
const PROBES = { 4: 3, 6: 1 } as const;
/** ANNOUNCE_NUM and ANNOUNCE_INTERVAL of RFC 5227 §1.1. */
const ANNOUNCEMENTS = 2;
const ANNOUNCE_INTERVAL_MS = 2_000;
/** DEFEND_INTERVAL of RFC 5227 §1.1. */
const DEFEND_INTERVAL_MS = 10_000;

export type DuplicateEffect =
  | { readonly kind: "addressProbe"; readonly address: Address; readonly sent: number; readonly round: number }
  | { readonly kind: "addressAnnounce"; readonly address: Address; readonly sent: number }
  /** Somebody else has the address, or wants it while we do not have it yet. */
  | { readonly kind: "addressConflict"; readonly address: Address; readonly mac: Mac };

export class DuplicateDetection {
  /** When each address was defended last. */
  readonly #defendedMs = new Map<string, number>();

  /** How often the detection of each address has begun; timers of earlier rounds no longer matter. */
  readonly #rounds = new Map<string, number>();

  /** No address is in use before it is known to be free. With an interface only those there, whatever they were. */
  markTentative(work: NveWork, interfaceIndex?: number): void {
    if (!work.policy.settings.duplicateAddressDetection) return;
    for (const { providerAddress } of addressesAt(work, interfaceIndex))
      this.#setState(providerAddress, "Tentative", work);
  }

  begin(work: NveWork, interfaceIndex?: number): void {
    for (const { providerAddress: address } of addressesAt(work, interfaceIndex)) {
      const round = this.#roundOf(address) + 1;
      this.#rounds.set(formatAddress(address), round);
      this.settle({ kind: "addressProbe", address, sent: 0, round }, work);
    }
  }

  #roundOf(address: Address): number {
    return this.#rounds.get(formatAddress(address)) ?? 0;
  }

  settle(effect: DuplicateEffect, work: NveWork): void {
    const pa = work.policy.providerAddresses.find(effect.address);
    if (!pa) return;
    if (effect.kind === "addressProbe") this.#probe(pa, effect, work);
    else if (effect.kind === "addressAnnounce") announce(pa, effect.sent, work);
    else this.#conflict(pa, effect.mac, work);
  }

  #probe(pa: ProviderAddress, probe: Extract<DuplicateEffect, { kind: "addressProbe" }>, work: NveWork): void {
    const { address, sent, round } = probe;
    if (pa.addressState !== "Tentative" || round !== this.#roundOf(address)) return;
    if (sent === PROBES[address.family]) {
      this.#setState(address, "Preferred", work);
      announce(pa, 0, work);
      return;
    }
    work.emit(work.ports.nicPort(pa.interfaceIndex), probeFor(pa));
    work.setTimer<DuplicateEffect>(work.nowMs + PROBE_INTERVAL_MS, { ...probe, sent: sent + 1 });
  }

  #conflict(pa: ProviderAddress, mac: Mac, work: NveWork): void {
    const { providerAddress: address } = pa;
    if (pa.addressState === "Tentative") this.#setState(address, "Duplicate", work, mac);
    if (pa.addressState !== "Preferred" || address.family === 6) return;
    const key = formatAddress(address);
    const last = this.#defendedMs.get(key);
    if (last !== undefined && work.nowMs - last < DEFEND_INTERVAL_MS) return; // RFC 5227 §2.4 (b): or two would go on for ever
    this.#defendedMs.set(key, work.nowMs);
    work.emit(work.ports.nicPort(pa.interfaceIndex), announcementOf(pa));
    work.notify({ kind: "addressDefended", address: key, mac: formatMac(mac) });
  }

  #setState(address: Address, addressState: ProviderAddress["addressState"], work: NveWork, mac?: Mac): void {
    const providerAddresses = work.policy.providerAddresses.all.map((pa) =>
      sameAddress(pa.providerAddress, address) ? { ...pa, addressState } : pa,
    );
    work.changePolicy({ kind: "providerReplaced", providerAddresses });
    const conflict = mac === undefined ? {} : { mac: formatMac(mac) };
    work.notify({ kind: "providerAddressChanged", address: formatAddress(address), addressState, ...conflict });
  }
}

const addressesAt = ({ policy }: NveWork, interfaceIndex?: number): readonly ProviderAddress[] =>
  policy.providerAddresses.all.filter((pa) => interfaceIndex === undefined || pa.interfaceIndex === interfaceIndex);

function announce(pa: ProviderAddress, sent: number, work: NveWork): void {
  const { providerAddress: address } = pa;
  if (address.family === 6 || sent === ANNOUNCEMENTS) return;
  work.emit(work.ports.nicPort(pa.interfaceIndex), announcementOf(pa));
  const next: DuplicateEffect = { kind: "addressAnnounce", address, sent: sent + 1 };
  work.setTimer(work.nowMs + ANNOUNCE_INTERVAL_MS, next);
}
