/** Records, routes and other objects of the policy as plain values and as one line, with addresses as people write them. */
import { Address, formatAddress, formatMac, formatPrefix, type Mac, type Prefix } from "../dataplane/wire/index.js";

/** Ready for JSON: addresses, prefixes and MAC addresses become text, what is not set is left out. */
export function plain(value: unknown, key = ""): unknown {
  if (value instanceof Address) return formatAddress(value);
  if (typeof value === "number" && /mac/i.test(key)) return formatMac(value as Mac);
  if (Array.isArray(value)) return value.map((item) => plain(item, key));
  if (typeof value !== "object" || value === null) return value;
  if (isPrefix(value)) return formatPrefix(value);
  const fields = Object.entries(value).filter(
    ([, field]) => field !== null && field !== undefined && typeof field !== "function",
  );
  return Object.fromEntries(fields.map(([name, field]) => [name, plain(field, name)]));
}

const isPrefix = (value: object): value is Prefix =>
  "address" in value && value.address instanceof Address && "length" in value && Object.keys(value).length === 2;

/** `virtualSubnetID 5001, customerAddress 10.0.0.7, …`; texts as they are. */
export function oneLine(value: unknown): string {
  const simple = plain(value);
  if (typeof simple !== "object" || simple === null) return String(simple);
  return Object.entries(simple)
    .map(([name, field]) => `${name} ${typeof field === "object" ? JSON.stringify(field) : String(field)}`)
    .join(", ");
}
