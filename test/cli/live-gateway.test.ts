/** The built-in gateway live: Linux guests of two tenants, with the same addresses, reach a Linux server outside. */
import { afterEach, describe, expect, test } from "vitest";
import { createNetnsLab, type NetnsLab, netnsMissing } from "../oracles/netns.js";
import { hasProgram, warnSkipped } from "../oracles/programs.js";
import { ROOT } from "./helpers.js";
import { expectConserved, type Guest, LiveHnv, ping, settle, transfer } from "./live-lab.js";

const missing = netnsMissing() ?? (hasProgram("ping") ? null : "ping is not installed (Debian package iputils-ping)");
if (missing) warnSkipped("the gateway on live interfaces", missing);

const CONTOSO: Guest = { namespace: "contoso", address: "10.0.1.101", mac: "00:15:5d:e2:ab:00" };
const FABRIKAM: Guest = { namespace: "fabrikam", address: "10.0.1.101", mac: "00:15:5d:e2:ab:01" };
/** Where the lab's default route leads. */
const OUTSIDE: Guest = { namespace: "outside", address: "203.0.113.1", mac: "02:00:cb:00:71:01" };
const PORTS = [
  ["hv1/Contoso1", CONTOSO],
  ["hv1/Fabrikam1", FABRIKAM],
  ["edge/external", OUTSIDE],
] as const;

let lab: NetnsLab | undefined;
afterEach(async () => {
  await lab?.close();
  lab = undefined;
}, 30_000);

/** The whole lab of examples/gateway.yaml in one process, its ends on TAP devices of three namespaces. */
async function start(): Promise<{ lab: NetnsLab; live: LiveHnv }> {
  lab = await createNetnsLab(["fabric", "contoso", "fabrikam", "outside"]);
  const binds = PORTS.flatMap(([port, guest]) => ["--bind", `${port}=tap:${guest.namespace}`]);
  const live = new LiveHnv(lab, "fabric", [`${ROOT}/examples/gateway.yaml`, ...binds, "--json"]);
  await live.ready();
  for (const [, guest] of PORTS) {
    await settle(lab, guest, { namespace: "fabric", device: guest.namespace });
    if (guest !== OUTSIDE) await lab.exec(guest.namespace, "ip", "route", "add", "default", "via", "10.0.1.1");
  }
  return { lab, live };
}

describe.skipIf(missing)("through the built-in gateway", () => {
  test("both tenants ping, and one sends a file; ARP on all sides is the kernels' own", async () => {
    const { lab, live } = await start();
    const pings = await Promise.all([CONTOSO, FABRIKAM].map((guest) => ping(lab, guest, OUTSIDE.address, 5)));
    expect(pings).toEqual([5, 5]);
    const { sent, received } = await transfer(lab, FABRIKAM, OUTSIDE, 4 << 20);
    expect(received).toBe(sent);
    const { status, result } = await live.end();
    expect(status).toBe(0);
    expectConserved(result);
  }, 90_000);

  test("a static mapping lets the outside in; a closed port outside is heard of inside", async () => {
    const { lab, live } = await start();
    const serve = `require("node:http").createServer((_, response) => response.end("Contoso")).listen(80, "10.0.1.101", () => console.log("ready"))`;
    const server = lab.start("contoso", process.execPath, "-e", serve);
    await new Promise((resolve) => server.stdout!.once("data", resolve));
    const get = `require("node:http").get("http://203.0.113.2:8080", (r) => r.on("data", (text) => { console.log(String(text)); process.exit(); }))`;
    expect(await lab.exec("outside", process.execPath, "-e", get)).toBe("Contoso\n");
    const knock = `
      const socket = require("node:dgram").createSocket("udp4");
      socket.connect(9, "203.0.113.1", () => socket.send("?"));
      socket.on("error", ({ code }) => { console.log(code); process.exit(); });
      setTimeout(() => process.exit(), 5000);`;
    expect(await lab.exec("fabrikam", process.execPath, "-e", knock)).toBe("ECONNREFUSED\n");
    await live.end();
  }, 90_000);
});
