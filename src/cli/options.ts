/** Reads the values of options. Each reader refuses what it does not take, and says what it would have taken. */
import { InvalidArgumentError } from "commander";
import { type Address, isUnicast, type Mac, parseAddress, parseMac } from "../dataplane/wire/index.js";

/** A decimal number between two limits, both included. */
export const integer =
  (least: number, most: number) =>
  (text: string): number => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most))
      throw new InvalidArgumentError(`Expected a number from ${least} to ${most}.`);
    return value;
  };

export function macAddress(text: string): Mac {
  const mac = parseMac(text);
  if (mac === undefined) throw new InvalidArgumentError("Expected a MAC address such as 02-00-C0-A8-04-0B.");
  return mac;
}

/** An address that one host can have. */
export function unicastAddress(text: string): Address {
  const address = parseAddress(text);
  if (!address || !isUnicast(address)) throw new InvalidArgumentError("Expected a unicast IPv4 or IPv6 address.");
  return address;
}

/** A port of the lab and what belongs to it. */
export interface PortValue {
  readonly port: string;
  readonly value: string;
}

/** `PORT=VALUE`: the last `=` divides, since file names are free and port names are not. */
const portValue =
  (what: string) =>
  (text: string, before: readonly PortValue[] = []): readonly PortValue[] => {
    const at = what === "URI" ? text.indexOf("=") : text.lastIndexOf("="); // no port has one, but URIs and files may
    const port = text.slice(0, Math.max(at, 0));
    const value = text.slice(at + 1);
    if (port === "" || value === "") {
      throw new InvalidArgumentError(
        `Expected PORT=${what}, such as host1/Blue1=${what === "FILE" ? "vm.pcap" : "pcap:vm.pcap"}.`,
      );
    }
    return [...before, { port, value }];
  };

/** `PORT=FILE`, as often as wanted. */
export const portFile = portValue("FILE");
/** `PORT=URI`, as often as wanted. */
export const portUri = portValue("URI");

const WORKERS_MAX = 64;
/** `--workers N` */
export const workerCount = integer(1, WORKERS_MAX);

const SPEED_MAX = 1e6;
/** A decimal number, as `pcap:FILE#speed=N` takes it. */
export function speed(text: string): string {
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) > SPEED_MAX)
    throw new InvalidArgumentError(`Expected a number from 0 to ${SPEED_MAX}.`);
  return text;
}
