/** Recordings of Linux guests (`live-guests.ts`), given back to the lab that they were made in. */
import { join } from "node:path";
import { hnv, type NgPacket, type RunResult, readPcapng, resultOf } from "./helpers.js";
import { GUESTS_LAB, RECORDED_GUESTS, type RecordedGuest } from "./live-guests.js";

/** What a guest sent and got, each frame with its time. */
export interface Dialogue {
  readonly sent: readonly NgPacket[];
  readonly received: readonly NgPacket[];
}

export function readRecording(folder: string, { recording }: RecordedGuest): Dialogue {
  const packets = readPcapng(join(folder, recording));
  const going = (way: "received" | "sent"): NgPacket[] => packets.filter(({ description }) => description === way);
  return { sent: going("received"), received: going("sent") }; // hnv says it from its own side
}

export interface Replayed {
  readonly result: RunResult;
  readonly stderr: string;
  /** What left towards each guest, in the order of `RECORDED_GUESTS`. */
  readonly received: readonly (readonly NgPacket[])[];
}

/** `hnv run LAB --in auto:HOST=RECORDING… --out PORT=FILE…` with the recordings of this folder; `at` says where the files go. */
export async function replayGuests(
  folder: string,
  at: (name: string) => string,
  options: readonly string[] = [],
  labFile = GUESTS_LAB,
): Promise<Replayed> {
  const inputs = RECORDED_GUESTS.flatMap(({ host, recording }) => ["--in", `auto:${host}=${join(folder, recording)}`]);
  const outputOf = ({ recording }: RecordedGuest): string => at(`to-${recording}`);
  const outputs = RECORDED_GUESTS.flatMap((guest) => ["--out", `${guest.port}=${outputOf(guest)}`]);
  const ended = await hnv(["run", labFile, ...inputs, ...outputs, ...options, "--json"]);
  if (ended.status !== 0) throw new Error(ended.stderr);
  return {
    result: resultOf(ended),
    stderr: ended.stderr,
    received: RECORDED_GUESTS.map((guest) => readPcapng(outputOf(guest))),
  };
}

/**
 * Frames with their times, in the order of the times; where several have one, by content, for the order of a live burst is not that of a file: what
 * hosts answer comes behind all that came in.
 */
export const timed = (packets: readonly NgPacket[]): string[] =>
  packets.map(({ time, data }) => `${time} ${data}`).sort();
