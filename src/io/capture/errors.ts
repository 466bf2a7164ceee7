/**
 * What can be wrong with a capture file, as one typed error with a stable code.
 *
 * Bad frames inside a good file are not errors; they are rows that the engine drops under a reason.
 */
export type CaptureErrorCode =
  // Reading.
  | "CAPTURE_UNREADABLE"
  | "CAPTURE_DIRECTORY"
  | "CAPTURE_TERMINAL"
  | "CAPTURE_EMPTY"
  | "CAPTURE_UNKNOWN_FORMAT"
  | "CAPTURE_VERSION"
  | "CAPTURE_LINK_TYPE"
  | "CAPTURE_FCS"
  | "CAPTURE_COMPRESSION"
  | "CAPTURE_COMPRESSED_DATA"
  | "CAPTURE_TRUNCATED"
  | "CAPTURE_LENGTH"
  | "CAPTURE_CORRUPT"
  // Writing.
  | "CAPTURE_UNWRITABLE"
  | "CAPTURE_DISK_FULL"
  | "CAPTURE_PIPE_CLOSED"
  | "CAPTURE_FORMAT";

/** A capture that cannot be read or written (any further). The message is one line that names the file. */
export class CaptureError extends Error {
  override readonly name = "CaptureError";

  constructor(
    readonly code: CaptureErrorCode,
    /** The file as the user named it; "standard input" and "standard output" for "-". */
    readonly file: string,
    what: string,
    /**
     * Reading: the byte at which the damage begins, counted in the decompressed data. Writing: how many bytes, all of
     * whole frames, were written. 0 where the file as a whole is the trouble.
     */
    readonly offset: number = 0,
  ) {
    super(`${file}: ${what}`);
  }
}

/** The words of the operating system for a failed call. */
export function systemReason(error: unknown): string {
  const code = systemCode(error);
  switch (code) {
    case "ENOENT":
      return "no such file";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "ENOSPC":
    case "EDQUOT":
      return "no space left on the device";
    case "EPIPE":
      return "the reader has closed the pipe";
    case "ENOTDIR":
      return "a part of the path is not a directory";
    default:
      return error instanceof Error ? error.message : String(error);
  }
}

/** "ENOENT" and the like; "" for an error that is not the operating system's. */
export function systemCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
