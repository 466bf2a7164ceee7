/** A whole lab under a clock of its own: frames in at instants, what comes of them in short words, and what the nodes tell. */
import { loadFabricFile } from "../../src/control/index.js";
import { type Companions, reasonName, type TimedEvent } from "../../src/dataplane/index.js";
import { formatAddress } from "../../src/dataplane/wire/index.js";
import { kernelModule } from "../../src/kernel-file.js";
import { Lab } from "../../src/vswitch/index.js";

type Ends = ReturnType<Lab["engine"]["send"]>;

export class TimedLab {
  readonly lab: Lab;
  readonly events: TimedEvent[] = [];
  #nowMs = 0;

  /** `text` is that of a fabric file. */
  constructor(text: string, companions?: Companions) {
    const loaded = loadFabricFile(text, "lab");
    if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join("\n"));
    const onEvent = (event: TimedEvent): void => void this.events.push(event);
    this.lab = new Lab(loaded.lab, { kernel: kernelModule(), onEvent, ...(companions && { companions }) });
  }

  /** Each end as `verdict at port` or `REASON at port`, at this time. */
  send(port: string, bytes: Uint8Array, ms = this.#nowMs): string[] {
    return this.#texts(this.sendFor(port, bytes, ms));
  }

  /** What the hosts did by themselves until then. */
  wait(ms: number): string[] {
    return this.#texts(this.waitFor(ms));
  }

  sendFor(port: string, bytes: Uint8Array, ms = this.#nowMs): Ends {
    this.#nowMs = ms;
    const { engine } = this.lab;
    return engine.send([{ port: this.lab.port(port)!, frame: bytes }], BigInt(ms) * 1_000_000n);
  }

  waitFor(ms: number): Ends {
    this.#nowMs = ms;
    return this.lab.engine.sendNothing(BigInt(ms) * 1_000_000n);
  }

  /** What comes out at the port's far end is nobody's business any more: it leaves the lab there. */
  cut(port: string): void {
    this.lab.engine.setPeer(this.lab.port(port)!, null);
  }

  #texts(ends: Ends): string[] {
    const { engine } = this.lab;
    return ends.map(({ verdict, port, reason }) =>
      verdict === "dropped"
        ? `${reasonName(reason)} at ${engine.ports[port]!.name}`
        : `${verdict} at ${engine.ports[port]!.name}`,
    );
  }

  neighbors(host: string): string[] {
    return this.lab.policyOf(host)!.neighbors.all.map(({ address }) => formatAddress(address));
  }

  states(host: string): string[] {
    return this.lab.policyOf(host)!.providerAddresses.all.map(({ addressState }) => addressState);
  }
}
