/** What can be known of network devices without a package: by /sys/class/net, and by what Node.js tells of addresses. */
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { type Address, parseAddress, sameAddress } from "../../dataplane/wire/index.js";

/** What Linux says of a device; null elsewhere, and where there is no such device. */
export function deviceAttribute(device: string, name: string): string | null {
  try {
    return readFileSync(`/sys/class/net/${device}/${name}`, "utf8").trim();
  } catch {
    return null;
  }
}

/** The longest IP packet that the device carries; null where nobody tells. */
export function mtuBySysfs(device: string): number | null {
  const text = deviceAttribute(device, "mtu");
  return text === null ? null : Number(text);
}

/** The device of this machine that is up and has this address. */
export function deviceWith(address: Address): string | undefined {
  const devices = Object.entries(networkInterfaces());
  return devices.find(([, list]) =>
    list?.some((each) => {
      const one = parseAddress(each.address);
      return one !== undefined && sameAddress(one, address);
    }),
  )?.[0];
}
