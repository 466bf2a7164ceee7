/** The namespaces helper itself: a real kernel answers on the other side, and nothing is left behind. */
import { describe, expect, it } from "vitest";
import { createNetnsLab, netnsMissing } from "./netns.js";
import { run, warnSkipped } from "./programs.js";

const missing = netnsMissing();
if (missing) warnSkipped("network namespaces", missing);

describe.skipIf(missing !== null)("private network namespaces", () => {
  it("joins two by a veth pair over which IPv4 and IPv6 pass, and removes them", async () => {
    const lab = await createNetnsLab(["left", "right"]);
    const names = [lab.name("left"), lab.name("right")];
    try {
      await lab.veth(
        { namespace: "left", device: "eth0", mac: "06:06:00:00:00:05", addresses: ["10.0.0.5/24", "fd00:10::5/64"] },
        { namespace: "right", device: "eth0", addresses: ["10.0.0.7/24", "fd00:10::7/64"] },
        9000,
      );
      expect(await lab.exec("left", "cat", "/sys/class/net/eth0/address")).toBe("06:06:00:00:00:05\n");
      expect(await lab.exec("right", "cat", "/sys/class/net/eth0/mtu")).toBe("9000\n");
      expect(await lab.exec("left", "ping", "-c1", "-W2", "10.0.0.7")).toContain("1 received");
      expect(await lab.exec("left", "ping", "-6", "-c1", "-W2", "fd00:10::7")).toContain("1 received");
      const sleeper = lab.start("right", "sleep", "60");
      await lab.close();
      expect(sleeper.signalCode).toBe("SIGTERM");
    } finally {
      await lab.close();
    }
    const left = await run("ip", ["netns", "list"]);
    for (const name of names) expect(left).not.toContain(name);
  });

  it("names namespaces apart, even of the same lab name", async () => {
    const [one, two] = [await createNetnsLab(["a"]), await createNetnsLab(["a"])];
    try {
      expect(one.name("a")).not.toBe(two.name("a"));
      expect(() => one.name("b")).toThrow("no namespace b");
    } finally {
      await one.close();
      await two.close();
    }
  });
});
