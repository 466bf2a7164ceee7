/**
 * The scalars of a fabric file: MAC addresses, GUIDs, IP addresses, prefixes, names and numbers with their limits.
 *
 * Each is a zod schema over the text or number as it stands in the file. Parsing into the values of the data plane is
 * the business of `read.ts`, which may rely on what was accepted here.
 */

import { z } from "zod";
import {
  type Address,
  type Mac,
  type Prefix,
  parseAddress,
  parseMac,
  parsePrefix,
} from "../../dataplane/wire/index.js";

/** The cmdlets' lowest VSID; RFC 7637 §3.2 reserves 0–4095. */
export const VSID_MIN = 4096;
/** The records' highest VSID; RFC 7637 §3.2 reserves 16777215. */
export const VSID_MAX = 16_777_214;
/** Set-VMNetworkAdapter takes one more than the records do; a port with it is never matched. */
export const PORT_VSID_MAX = 16_777_215;
/** The smallest datagram that every IPv4 host takes (RFC 791 §3.1). */
export const MTU_MIN = 576;
export const MTU_MAX = 65_535;

interface TextRule {
  readonly code: string;
  readonly accepts: (text: string) => boolean;
  readonly expected: string;
  readonly cure?: string;
  /** For editors; the check itself is `accepts`. */
  readonly pattern?: string;
  readonly description?: string;
}

/** A scalar that is read from its source text (decision: a bare 060600000005 is a MAC, not a number). */
function text(rule: TextRule) {
  const { code, accepts, expected, cure, pattern, description } = rule;
  return z
    .string()
    .refine(accepts, {
      error: (issue) => `${quote(issue.input)} is not ${expected}`,
      params: cure === undefined ? { code } : { code, cure },
    })
    .meta({ ...(pattern === undefined ? {} : { pattern }), ...(description === undefined ? {} : { description }) });
}

/** A value as messages show it: quoted and cut to a readable length. */
export function quote(value: unknown): string {
  const shown = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return JSON.stringify(shown.length > 60 ? `${shown.slice(0, 57)}...` : shown);
}

const MAC_PATTERN =
  "^([0-9A-Fa-f]{12}|([0-9A-Fa-f]{2}-){5}[0-9A-Fa-f]{2}|([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}|([0-9A-Fa-f]{4}\\.){2}[0-9A-Fa-f]{4})$";

export const mac = (description: string) =>
  text({
    code: "BAD_MAC",
    accepts: (value) => parseMac(value) !== undefined,
    expected: "a MAC address",
    cure: "write 12 hexadecimal digits, for example 06-06-00-00-00-05 or 060600000005",
    pattern: MAC_PATTERN,
    description,
  });

export const address = (description: string) =>
  text({
    code: "BAD_ADDRESS",
    accepts: (value) => parseAddress(value) !== undefined,
    expected: "an IPv4 or IPv6 address",
    cure: 'write for example 10.0.0.5 or "fd00:10::5", without a prefix length',
    description,
  });

export const prefix = (description: string) =>
  text({
    code: "BAD_PREFIX",
    accepts: (value) => readPrefix(value) !== undefined,
    expected: "an IPv4 or IPv6 prefix whose host bits are zero",
    cure: 'write for example 10.0.0.0/24 or "fd00:10::/64"; bits behind the length must be zero',
    description,
  });

export const guid = (description: string) =>
  text({
    code: "BAD_GUID",
    accepts: (value) => readGuid(value) !== undefined,
    expected: "a GUID",
    cure: 'write for example "{11111111-2222-3333-4444-000000005001}"',
    pattern: "^(\\{[0-9A-Fa-f-]{36}\\}|[0-9A-Fa-f-]{36})$",
    description,
  });

/** Names become parts of port names `host/NIC`, and the last `=` divides `PORT=FILE` on the command line. */
export const name = (description: string) =>
  text({
    code: "BAD_NAME",
    accepts: isName,
    expected: "a usable name",
    cure: "a name has 1 to 64 characters, no '/', no '=', no control characters, and no space at either end",
    pattern: "^[^/=]{1,64}$",
    description,
  });

/** `host/VM`, as ports are named. */
export const portName = (description: string) =>
  text({
    code: "BAD_NAME",
    accepts: (value) => value.split("/").length === 2 && value.split("/").every(isName),
    expected: "the name of a port",
    cure: "write host/VM, and host/VM.2 for the VM's second adapter",
    pattern: "^[^/=]{1,64}/[^/=]{1,64}$",
    description,
  });

export const freeText = (description: string) => z.string().max(1024).meta({ description });

export const vsid = (description: string) => z.int().min(VSID_MIN).max(VSID_MAX).meta({ description });

/** 0, or 4096–16777215 as Set-VMNetworkAdapter -VirtualSubnetId. */
export const portVsid = (description: string) =>
  z
    .int()
    .min(0)
    .max(PORT_VSID_MAX)
    .refine((value) => value === 0 || value >= VSID_MIN, {
      error: (issue) => `${issue.input} is not the VSID of a port`,
      params: { code: "OUT_OF_RANGE", cure: `write 0 (not virtualized) or ${VSID_MIN} to ${PORT_VSID_MAX}` },
    })
    .meta({ description, default: 0 });

export const vlan = (description: string) => z.int().min(0).max(4094).meta({ description });
export const mtu = (description: string) => z.int().min(MTU_MIN).max(MTU_MAX).meta({ description });
export const metric = (description: string) => z.int().min(0).max(0xffff_ffff).meta({ description, default: 0 });
export const prefixLength = (description: string) => z.int().min(0).max(128).meta({ description });
export const flag = (description: string) => z.boolean().meta({ description, default: false });

// The same texts as values. Undefined for what the schemas above refuse.

/** The GUID in braces and upper case. */
export function readGuid(value: string): string | undefined {
  const digits = /^(?:\{([^{}]*)\}|([^{}]*))$/.exec(value);
  const bare = digits?.[1] ?? digits?.[2] ?? "";
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(bare) ? `{${bare.toUpperCase()}}` : undefined;
}

export const readMac = (value: string | undefined): Mac | undefined =>
  value === undefined ? undefined : parseMac(value);

export const readAddress = (value: string | undefined): Address | undefined =>
  value === undefined ? undefined : parseAddress(value);

export function readPrefix(value: string | undefined): Prefix | undefined {
  const prefix = value === undefined ? undefined : parsePrefix(value);
  return prefix === "host-bits" ? undefined : prefix;
}

function isName(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
  return /^[^/=\u0000-\u001f\u007f]{1,64}$/.test(value) && value.trim() === value;
}
