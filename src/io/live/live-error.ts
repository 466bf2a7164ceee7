/** What can be wrong with a live interface when it is opened, as one typed error with a stable code. */
export type LiveErrorCode =
  /** The URI says something impossible. */
  | "LIVE_URI"
  /** A package, a privilege or a feature of the kernel is missing. */
  | "LIVE_UNAVAILABLE"
  /** There is no such interface or address here, or it is of the wrong kind. */
  | "LIVE_NO_INTERFACE"
  /** The system refused. */
  | "LIVE_REFUSED";

/** The message is one line that begins with the URI as the user wrote it. */
export class LiveError extends Error {
  override readonly name = "LiveError";

  constructor(
    readonly code: LiveErrorCode,
    readonly uri: string,
    what: string,
  ) {
    super(`${uri}: ${what}`);
  }
}
