/**
 * The forwarding loop of a live run: an engine and all its interfaces. It pauses when nothing comes, tells its counters once a
 * second, and ends when it is told to. It runs in a thread of its own where it can (`worker.ts`), else in the main thread.
 */
import type { Engine, TimedEvent } from "../../dataplane/index.js";
import type { NodeIndex } from "../../dataplane/transposition/index.js";
import { CaptureQueue, type LiveInterface, openLive, PortCapture, type TimedInterface } from "../../io/index.js";
import type { Lab } from "../../vswitch/index.js";
import { makeRecipeLab } from "../engines.js";
import { explainError } from "../errors.js";
import { controlResults, countersOf } from "../results.js";
import { Clock } from "./clock.js";
import { LiveCompanions } from "./companions.js";
import { type Binding, Forwarder } from "./forwarder.js";
import type { FromForwarder, LiveJob, LiveState } from "./messages.js";
import type { MakePause } from "./pause.js";

const REPORT_EVERY_MS = 1000;
/** Time goes on for flow entries, and a wish to end is heard, after so long at the latest. */
const SLEEP_MS = 100;
/** How long frames on their way may take at the end; a packet ring shows its last ones after a millisecond. */
const DRAIN_MS = 20;
const DRAIN_STEP_MS = 3;

/** What nodes tell in a second beyond this is left out. */
const TOLD_MAX = 10_000;

type Tell = (message: FromForwarder) => void;

/** What must be seen to however the run ends. */
interface Possessions {
  readonly interfaces: LiveInterface[];
  readonly captures: PortCapture[];
  readonly companions: LiveCompanions | null;
}

/** Never throws: what goes wrong is told. */
export async function forward(job: LiveJob, tell: Tell, makePause: MakePause): Promise<void> {
  const interfaces: LiveInterface[] = [];
  const captures: PortCapture[] = [];
  const companions = job.companions === null ? null : new LiveCompanions(job.companions);
  try {
    await run(job, { interfaces, captures, companions }, tell, makePause);
  } catch (error) {
    for (const capture of captures) capture.finish(); // before it is told, for then the writer is told to end
    const { exitStatus, lines } = explainError(error);
    tell({ kind: "failed", exitStatus, lines });
  } finally {
    for (const live of interfaces) live.close();
    companions?.close();
  }
}

async function run(
  job: LiveJob,
  { interfaces, captures, companions }: Possessions,
  tell: Tell,
  makePause: MakePause,
): Promise<void> {
  const stop = new Int32Array(job.stop);
  const { share } = job;
  const told: TimedEvent[] = [];
  const onEvent = (event: TimedEvent): void => {
    if (told.length < TOLD_MAX) told.push(event);
  };
  const lab = await makeRecipeLab(job.recipe, { onEvent, ...(companions && { companions }) });
  const { engine } = lab;
  for (const { uri, mac } of job.bindings) interfaces.push(await openLive(uri, engine.memory, { share, mac }));
  // Each host's identifications begin elsewhere in every thread, so that they do not repeat at once.
  const offset = Math.floor((job.worker * 65_536) / share.workers);
  engine.nodes.forEach((_, node) => {
    engine.setIdentification(node as NodeIndex, offset);
  });
  const bindings = job.bindings.map(({ port }, index) => ({ port, live: interfaces[index]! }));
  captures.push(...makeCaptures(job, engine));
  const forwarder = new Forwarder(engine, bindings, captures);
  const clock = new Clock();
  const state = (): LiveState => ({
    startMs: engine.startMs,
    told: told.splice(0),
    elapsedMs: clock.nowMs,
    counters: countersOf(engine),
    interfaces: interfaces.map((live) => live.counters()),
    mtus: interfaces.map(({ mtu }) => mtu),
    heldAnswers: engine.heldAnswers,
    untold: companions?.untold ?? 0,
    controlled: controlResults(lab),
    learning: lab.learning(),
    memberships: lab.memberships(),
    providerAddresses: lab.providerAddressStates(),
    captures: captures.map(({ frames, lost }) => ({ frames, lost })),
  });
  const round = (): number => {
    clock.advance();
    companions?.hear((node, effect) => engine.hear(node, effect));
    return forwarder.round(clock.nowNs);
  };
  const pause = makePause([...interfaces, ...(companions ? [companions] : [])], round);

  companions?.join(stop);
  forwarder.idle(clock.nowNs); // nodes begin now, and not with the first frame
  tell({ kind: "bound", mtus: interfaces.map(({ mtu }) => mtu) });
  const mtus = new NicMtus(lab, bindings);
  let reportAt = 0;
  while (Atomics.load(stop, 0) === 0 && interfaces.some(({ isOpen }) => isOpen)) {
    const count = round();
    if (clock.nowMs >= reportAt) {
      for (const live of interfaces) live.check?.();
      mtus.follow();
      tell({ kind: "state", state: state() });
      reportAt = clock.nowMs - (clock.nowMs % REPORT_EVERY_MS) + REPORT_EVERY_MS;
    }
    if (count === 0) forwarder.idle(clock.nowNs);
    const sleep = (): number => Math.min(sleepMs(interfaces, clock.nowNs), forwarder.untilNextInstantMs(clock.nowNs));
    const pausing = count > 0 || job.busyPoll ? pause.turn() : pause.wait(sleep());
    if (pausing) await pausing;
  }
  for (const until = clock.nowMs + DRAIN_MS; clock.nowMs < until; ) {
    if (round() === 0) await pause.wait(DRAIN_STEP_MS);
  }
  await pause.end();
  for (const capture of captures) capture.finish();
  const last = state();
  const damage = interfaces.flatMap((live) => live.damage ?? []);
  for (const live of interfaces.splice(0)) live.close();
  tell({ kind: "ended", state: last, damage: damage.map(({ message }) => message) });
}

function makeCaptures({ captures, bindings, bell }: LiveJob, engine: Engine): PortCapture[] {
  return captures.map(({ binding, format, queue }) => {
    const { port } = bindings[binding]!;
    return new PortCapture(engine.memory, new CaptureQueue(queue, new Int32Array(bell)), format, port);
  });
}

/** NICs of the lab have the MTU of what they are bound to, also when that changes. */
class NicMtus {
  readonly #hosts: readonly {
    readonly name: string;
    readonly mtus: number[];
    readonly bound: readonly (LiveInterface | undefined)[];
  }[];

  constructor(
    private readonly lab: Lab,
    bindings: readonly Binding[],
  ) {
    this.#hosts = lab.settings.hosts.map(({ name, nics }) => ({
      name,
      mtus: nics.map(({ mtu }) => mtu),
      bound: nics.map((nic) => bindings.find(({ port }) => port === lab.port(`${name}/${nic.name}`))?.live),
    }));
  }

  follow(): void {
    for (const { name, mtus, bound } of this.#hosts) {
      const now = mtus.map((mtu, nic) => bound[nic]?.mtu ?? mtu);
      if (now.every((mtu, nic) => mtu === mtus[nic])) continue;
      mtus.splice(0, mtus.length, ...now);
      this.lab.changePolicy(name, { kind: "providerReplaced", interfaceMtus: now });
    }
  }
}

/** Until the next frame of an interface that goes by the clock; 0 if one has no descriptor to wait for and does not tell. */
function sleepMs(interfaces: readonly LiveInterface[], nowNs: bigint): number {
  let sleep = SLEEP_MS;
  for (const live of interfaces) {
    if (live.descriptor !== null || !live.isOpen || "onArrival" in live) continue;
    const due = "nextFrameNs" in live ? (live as TimedInterface).nextFrameNs : null;
    sleep = due === null ? 0 : Math.max(0, Math.min(sleep, Math.floor(Number(due - nowNs) / 1e6)));
  }
  return sleep;
}
