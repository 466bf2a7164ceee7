/** What can be wrong with a live interface, as one typed error with a stable code. */
import { getSystemErrorMap, getSystemErrorName } from "node:util";

export type LiveErrorCode =
  /** The URI names nothing that can be bound. */
  | "LIVE_URI"
  /** Another system, processor or installation than this needs. */
  | "LIVE_UNSUPPORTED"
  | "LIVE_NO_INTERFACE"
  | "LIVE_NOT_PERMITTED"
  /** The system refused a call. */
  | "LIVE_REFUSED";

/** An interface that cannot be used. The message is one line that names it. */
export class LiveError extends Error {
  override readonly name = "LiveError";

  constructor(
    readonly code: LiveErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** The error of an interface, whose URI begins the message. */
export const liveErrorAt = (code: LiveErrorCode, uri: string, what: string): LiveError =>
  new LiveError(code, `${uri}: ${what}`);

/** A system call that failed: `setsockopt(PACKET_RX_RING): ENOMEM, not enough memory`. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  /** `ENOMEM` */
  readonly code: string;

  constructor(
    call: string,
    readonly errno: number,
  ) {
    super(`${call}: ${errnoText(errno)}`);
    this.code = errnoName(errno);
  }
}

/** `ENOMEM`; the number where it has no name. */
export function errnoName(errno: number): string {
  return getSystemErrorMap().has(-errno) ? getSystemErrorName(-errno) : (OTHER_NAMES[errno] ?? `error ${errno}`);
}

/** `ENOMEM, not enough memory` */
export function errnoText(errno: number): string {
  const words = getSystemErrorMap().get(-errno)?.[1] ?? OTHER_WORDS[errno];
  return words === undefined ? errnoName(errno) : `${errnoName(errno)}, ${words}`;
}

/** Numbers of Linux that Node.js does not know. */
const OTHER_NAMES: Readonly<Record<number, string>> = { 77: "EBADFD" };
const OTHER_WORDS: Readonly<Record<number, string>> = { 77: "the device is gone" };

/** Says of a failed call on an interface what a person can do about it. */
export function liveErrorOf(uri: string, error: unknown, privilege: string): unknown {
  if (!(error instanceof SystemError)) return error;
  if (error.code === "EPERM" || error.code === "EACCES") {
    return new LiveError("LIVE_NOT_PERMITTED", `${uri}: needs root or ${privilege} (${error.message})`);
  }
  if (error.code === "ENODEV") return new LiveError("LIVE_NO_INTERFACE", `${uri}: there is no such interface here`);
  return new LiveError("LIVE_REFUSED", `${uri}: ${error.message}`);
}
