/** What ARP and neighbor discovery say, in words that both share. */
import type { Address } from "../../wire/address.js";
import type { Mac } from "../../wire/bytes.js";

/** What the sender says about itself: these addresses are at this MAC address. None if it has no address yet. */
export interface Claims {
  readonly mac: Mac;
  readonly addresses: readonly Address[];
}

/** Who has `target`? An ARP request or a neighbor solicitation. */
export interface Question {
  readonly kind: "question";
  readonly target: Address;
  /** null: the asker wants `target` for itself and looks whether it is free (RFC 5227 §2.1, RFC 4862 §5.4). */
  readonly asker: Address | null;
  /** Where the answer goes. */
  readonly askerMac: Mac;
  /** Broadcast or multicast; else sent to one station, to see whether it is still there. */
  readonly isToAll: boolean;
  readonly claims: Claims;
}

/** `target` is here: unasked and to all, or an answer to one station. */
export interface Statement {
  readonly kind: "announcement" | "answer";
  readonly target: Address;
  readonly claims: Claims;
}

/** What nobody here answers, in words for people: router solicitations and advertisements, redirects, other operations of ARP. */
export interface OtherMessage {
  readonly kind: "other";
  readonly what: string;
  readonly claims: Claims;
}

export type Message = Question | Statement | OtherMessage;
