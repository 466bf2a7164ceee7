/**
 * Guests of the Linux kernel behind emulated hosts: addresses from a DHCP server of the tenant's own, ping, TCP that finds out what the path carries,
 * over IPv4 and IPv6. All of it is recorded, and the recording replayed.
 *
 * With RECORD_GUESTS=1 in the environment the recordings take the place of those in pcaps/.
 */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { netnsMissing } from "../oracles/netns.js";
import { firstMissing, warnSkipped } from "../oracles/programs.js";
import { readRecording, replayGuests, timed } from "./guests-replay.js";
import { ROOT, workplace } from "./helpers.js";
import { leaseBetweenProcesses, PAIRS, RECORDED_GUESTS, recordGuests, TRANSFERS } from "./live-guests.js";
import { expectConserved } from "./live-lab.js";

const program = firstMissing(["dnsmasq", "dhclient", "ping"]);
const missing = netnsMissing() ?? (program ? `${program} is not installed` : null);
if (missing) warnSkipped("Linux guests behind live hosts", missing);

/** After its last request, ping waits for twice the time that an answer took before: too short where others want the processor. */
function expectAnswered(answers: readonly number[], pairs: number): void {
  expect(answers).toHaveLength(pairs);
  for (const count of answers) expect(count).toBeGreaterThan(0);
}

describe.skipIf(missing !== null)("guests of the Linux kernel behind two hosts", () => {
  test("DHCP, ping and TCP in both families; what was recorded is replayed to the same frames at the same times", {
    timeout: 120_000,
  }, async () => {
    const at = workplace();
    const folder = at(".");
    const { status, stderr, result, answers, digests } = await recordGuests(folder);
    expect([status, stderr]).toEqual([0, ""]);
    expectAnswered(answers, 2 * PAIRS.length);
    expect(digests).toHaveLength(TRANSFERS.length);
    for (const { sent, received } of digests) expect(received).toBe(sent);
    expectConserved(result);
    // Segments that did not fit, and neighbor discovery before anybody had an address, are all that may have come to nothing.
    const known = ["TX_TOO_BIG_ICMP4", "TX_TOO_BIG_ICMP6", "TX_NO_FLOOD", "TX_UNANSWERED"];
    expect(result.drops.map(({ reason }) => reason).filter((reason) => !known.includes(reason))).toEqual([]);
    for (const { lost } of result.captures!) expect(lost).toBe(0);

    const replayed = await replayGuests(folder, at);
    RECORDED_GUESTS.forEach((guest, index) => {
      expect(timed(replayed.received[index]!)).toEqual(timed(readRecording(folder, guest).received));
    });
    if (process.env.RECORD_GUESTS === "1") {
      for (const { recording } of RECORDED_GUESTS)
        copyFileSync(join(folder, recording), join(ROOT, "pcaps", recording));
    }
  });

  test("with each host in a process of its own: DHCP and ping in both families", { timeout: 120_000 }, async () => {
    const { answers, results } = await leaseBetweenProcesses(workplace()("."));
    expectAnswered(answers, 2);
    for (const result of results) expectConserved(result);
  });
});
