/** What a host remembers of control messages: every limit is reached, and everything ends. */
import { describe, expect, it } from "vitest";
import { ANY_STAMP, type HostPolicy, recordStamp } from "../../../../src/dataplane/policy/index.js";
import {
  CONTROL_EVENTS_PER_SECOND,
  CONTROL_MESSAGES_PER_SECOND,
  type ControlEffect,
  ControlState,
  type NveWork,
  REDIRECT_LIFETIME_MS,
  REDIRECTS_MAX,
} from "../../../../src/dataplane/slowpath/index.js";
import type { Stamp } from "../../../../src/dataplane/transposition/index.js";
import { type Address, ipv4Address } from "../../../../src/dataplane/wire/address.js";
import type { Vsid } from "../../../../src/dataplane/wire/bytes.js";
import type { ControlKind } from "../../../../src/dataplane/wire/control-message.js";
import { host1, ip, NIC, node, vsid } from "../fixture.js";

const HOST = node(1);
const CA = ip("10.0.0.7");
const PA = ip("192.168.4.22");

/** A host's state, with a clock, and all that it does written down. */
class Bench {
  readonly control = new ControlState(HOST);
  nowMs = 1000;
  /** The provider address of all records. */
  recordAt = PA;
  sent = 0;
  readonly events: string[] = [];
  readonly moved: Stamp[] = [];
  #timers: { readonly atMs: number; readonly effect: ControlEffect }[] = [];

  settle(effect: ControlEffect): void {
    this.control.settle(effect, this.#work());
  }

  /** Lets time pass, with what is due. */
  until(nowMs: number): void {
    for (;;) {
      const due = this.#timers.filter(({ atMs }) => atMs <= nowMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.nowMs = due.atMs;
      this.settle(due.effect);
    }
    this.nowMs = nowMs;
  }

  get timers(): number {
    return this.#timers.length;
  }

  #work(): NveWork {
    const rule = "TranslationMethodEncap";
    const record = (customerAddress: Address) => ({ customerAddress, providerAddress: this.recordAt, rule });
    return {
      // All that is asked of the policy: where the record of an address places it.
      policy: { lookupRecords: { find: (_vsid: Vsid, address: Address) => record(address) } } as HostPolicy,
      ports: host1().ports,
      changePolicy: () => expect.unreachable(),
      node: HOST,
      nowMs: this.nowMs,
      emit: () => void this.sent++,
      resubmit: () => expect.unreachable(),
      setTimer: (atMs, effect) => void this.#timers.push({ atMs, effect: effect as ControlEffect }),
      moveStamps: (stamps) => void this.moved.push(...stamps),
      notify: ({ kind }) => void this.events.push(kind),
    };
  }
}

const message = (
  receiver = PA,
  customerAddress = CA,
  virtualSubnetID = vsid(5001),
  kind: ControlKind = "redirect",
): ControlEffect => ({
  kind: "controlMessage",
  message: kind,
  receiver,
  virtualSubnetID,
  customerAddress,
  output: NIC,
  frame: new Uint8Array(60),
});
const redirect = (customerAddress = CA, target = ip("192.168.4.33"), providerAddress = PA): ControlEffect => ({
  kind: "redirect",
  providerAddress,
  redirect: { virtualSubnetID: vsid(5001), customerAddress, target },
});
const mismatch = (customerAddress = CA): ControlEffect => ({
  kind: "policyMismatch",
  virtualSubnetID: vsid(5001),
  customerAddress,
  providerAddress: PA,
});
const nth = (n: number) => ipv4Address(0x0b00_0000 + n);

describe("sending", () => {
  it("an UNREACHABLE does not hold back the REDIRECT that may follow at once", () => {
    const bench = new Bench();
    bench.settle(message(PA, CA, vsid(5001), "unreachable"));
    bench.settle(message(PA, CA, vsid(5001), "redirect"));
    expect(bench.sent).toBe(2);
  });

  it("once in a second about each (sending host, VSID, CA)", () => {
    const bench = new Bench();
    for (let ms = 0; ms < 3000; ms += 10) {
      bench.until(1000 + ms);
      bench.settle(message());
    }
    expect([bench.sent, bench.control.counters]).toMatchObject([3, { sent: 3, held: 297 }]);
    for (const other of [message(nth(1)), message(PA, nth(1)), message(PA, CA, vsid(5002))]) bench.settle(other);
    expect(bench.sent).toBe(6);
  });

  it("what a limit would hold back need not be made: asked before, it is only counted", () => {
    const bench = new Bench();
    const subject = { message: "redirect", receiver: PA, virtualSubnetID: vsid(5001), customerAddress: CA } as const;
    const maySend = (): boolean => bench.control.maySend(subject, bench.nowMs);
    expect(maySend()).toBe(true);
    expect(maySend(), "asking changes nothing").toBe(true);
    bench.settle(message());
    expect([maySend(), bench.control.maySend({ ...subject, message: "unreachable" }, bench.nowMs)]).toEqual([
      false,
      true,
    ]);
    bench.settle({ kind: "controlMessageHeld" });
    expect(bench.control.counters).toMatchObject({ sent: 1, held: 1 });
    bench.until(1998);
    expect(maySend()).toBe(false);
    bench.until(1999); // it would be settled a millisecond later
    expect(maySend()).toBe(true);
    bench.until(2000);
    for (let n = 0; n < CONTROL_MESSAGES_PER_SECOND; n++) bench.settle(message(PA, nth(n)));
    expect(maySend(), "so many in all").toBe(false);
  });

  it("a hundred in a second in all", () => {
    const bench = new Bench();
    for (let n = 0; n < 1000; n++) bench.settle(message(PA, nth(n)));
    expect([bench.sent, bench.control.counters.held]).toEqual([CONTROL_MESSAGES_PER_SECOND, 900]);
    bench.until(1999);
    bench.settle(message(PA, nth(2000)));
    expect(bench.sent).toBe(CONTROL_MESSAGES_PER_SECOND);
    bench.until(2000);
    bench.settle(message(PA, nth(2000)));
    expect(bench.sent).toBe(CONTROL_MESSAGES_PER_SECOND + 1);
  });
});

describe("redirects", () => {
  const find = (bench: Bench, address = CA) => bench.control.redirects.find(vsid(5001), address);

  it("hold for a minute, and move the stamp of the record when they come and when they go", () => {
    const bench = new Bench();
    bench.settle(redirect());
    expect(find(bench)).toEqual(ip("192.168.4.33"));
    expect(bench.control.redirects.find(vsid(5002), CA)).toBeUndefined();
    expect(find(bench, nth(1))).toBeUndefined();
    const stamp = recordStamp(HOST, vsid(5001), CA);
    expect([bench.moved, bench.events]).toEqual([[ANY_STAMP, stamp], ["redirect"]]);
    bench.until(1000 + REDIRECT_LIFETIME_MS - 1);
    expect(find(bench)).toBeDefined();
    bench.until(1000 + REDIRECT_LIFETIME_MS);
    expect([find(bench), bench.moved, bench.timers]).toEqual([undefined, [ANY_STAMP, stamp, ANY_STAMP, stamp], 0]);
  });

  it("a later one for the same record takes the place of the first, and holds for a minute of its own", () => {
    const bench = new Bench();
    bench.settle(redirect());
    bench.until(31_000);
    bench.settle(redirect(CA, ip("192.168.4.44"), ip("192.168.4.33")));
    bench.until(1000 + REDIRECT_LIFETIME_MS);
    expect([find(bench), bench.control.redirects.size]).toEqual([ip("192.168.4.44"), 1]);
    bench.until(31_000 + REDIRECT_LIFETIME_MS);
    expect(bench.control.redirects.size).toBe(0);
  });

  it("come to nothing if the record has been written before they are settled, or another came first", () => {
    const bench = new Bench();
    bench.recordAt = ip("192.168.4.44");
    bench.settle(redirect());
    expect([find(bench), bench.events, bench.timers]).toEqual([undefined, [], 0]);
    bench.recordAt = PA;
    bench.settle(redirect());
    bench.settle(redirect(CA, ip("192.168.4.44")));
    expect([find(bench), bench.events]).toEqual([ip("192.168.4.33"), ["redirect"]]);
    expect(bench.control.counters.redirects).toBe(1);
  });

  it("end when their record is written, and no others do", () => {
    const bench = new Bench();
    bench.settle(redirect());
    bench.settle(redirect(nth(1)));
    bench.control.redirects.forget([recordStamp(HOST, vsid(5001), CA)]);
    expect([find(bench), find(bench, nth(1))]).toEqual([undefined, ip("192.168.4.33")]);
    bench.until(1000 + REDIRECT_LIFETIME_MS);
    expect([bench.control.redirects.size, bench.timers]).toEqual([0, 0]);
  });

  it("the oldest of too many go, counted, with one timer for all", () => {
    const bench = new Bench();
    for (let n = 0; n < REDIRECTS_MAX + 10; n++) {
      if (n % 1000 === 0) bench.until(bench.nowMs + 1000);
      bench.settle(redirect(nth(n)));
    }
    expect([bench.control.redirects.size, bench.timers]).toEqual([REDIRECTS_MAX, 1]);
    expect(bench.control.counters).toMatchObject({ redirects: REDIRECTS_MAX + 10, redirectsEvicted: 10 });
    expect([find(bench, nth(9)), find(bench, nth(10))]).toEqual([undefined, ip("192.168.4.33")]);
    expect(bench.moved).toContain(recordStamp(HOST, vsid(5001), nth(9)));
    expect(bench.moved.filter((stamp) => stamp !== ANY_STAMP)).toHaveLength(REDIRECTS_MAX + 20);
    bench.until(bench.nowMs + REDIRECT_LIFETIME_MS);
    expect([bench.control.redirects.size, bench.timers]).toEqual([0, 0]);
  });
});

describe("events", () => {
  it("once in a second of each kind about each (VSID, CA), a thousand in all", () => {
    const bench = new Bench();
    const back = redirect(CA, PA, ip("192.168.4.33"));
    for (const effect of [mismatch(), mismatch(), redirect(), back, mismatch(nth(1))]) bench.settle(effect);
    expect(bench.events).toEqual(["policyMismatch", "redirect", "policyMismatch"]);
    expect(bench.control.counters.eventsHeld).toBe(2);
    for (let n = 0; n < 2000; n++) bench.settle(mismatch(nth(n)));
    expect(bench.events).toHaveLength(CONTROL_EVENTS_PER_SECOND);
    bench.until(2000);
    bench.settle(mismatch());
    expect(bench.events).toHaveLength(CONTROL_EVENTS_PER_SECOND + 1);
  });
});
