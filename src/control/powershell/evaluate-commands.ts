/** Runs cmdlets: binds what the command line says to the table of parameters, and calls them for each object of the pipeline and each host. */
import { assign, BindingError, convertArgument, type Given, withCommon } from "./binding.js";
import type { Call, Cmdlet, ParameterSpec } from "./cmdlets/cmdlet.js";
import { ExpressionEvaluator, type Outputs } from "./evaluate-expressions.js";
import { type Place, RuntimeProblem } from "./script.js";
import type { CommandCall } from "./syntax.js";
import { type Code, objectsOf, oneValue, shown, Thing, toText, type Value } from "./values.js";

/** What of a call is the same for all objects that come through the pipeline. */
interface Prepared {
  readonly cmdlet: Cmdlet;
  readonly args: Map<string, Value>;
  readonly hosts: readonly string[];
  readonly isExplicit: boolean;
  readonly isPiped: boolean;
  readonly errorAction: string | null;
  readonly place: Place;
}

export abstract class CommandRunner extends ExpressionEvaluator {
  /** The command line's arguments as values. */
  protected abstract given(command: CommandCall): readonly Given[];
  /** Runs a block in the caller's scope, $_ being the item. */
  protected abstract runHere(code: Code, item: Value): readonly Value[];
  /** Runs a block on a computer. */
  protected abstract runOn(host: string, code: Code, args: readonly Value[]): readonly Value[];

  protected cmdlet(
    cmdlet: Cmdlet,
    command: CommandCall,
    input: readonly Value[] | undefined,
    isPiped: boolean,
  ): readonly Value[] {
    const out: Value[] = [];
    try {
      const { assigned, prepared } = this.#prepare(cmdlet, command, isPiped);
      const pipelined = cmdlet.parameters.find((parameter) => parameter.fromPipeline && !assigned.has(parameter.name));
      if (input === undefined || cmdlet.takesAll) {
        this.#runCmdlet(prepared, input, out);
        return out;
      }
      if (!pipelined) {
        if (input.length === 0) return out;
        throw new BindingError("INPUT_NOT_TAKEN", `${cmdlet.name} takes nothing from the pipeline here`);
      }
      for (const item of input) {
        const args = new Map(prepared.args).set(pipelined.name, convertArgument(item, pipelined));
        // An object of another computer is handled there, unless the command names one.
        const origin = item instanceof Thing && !prepared.isExplicit ? item.origin : null;
        this.#runCmdlet({ ...prepared, args, hosts: origin === null ? prepared.hosts : [origin] }, input, out);
      }
      return out;
    } catch (error) {
      if (!(error instanceof BindingError)) throw error;
      throw new RuntimeProblem(error.code, error.message, command.place, error.cure);
    }
  }

  #prepare(
    cmdlet: Cmdlet,
    command: CommandCall,
    isPiped: boolean,
  ): { assigned: ReadonlySet<string>; prepared: Prepared } {
    const { hosts, journal } = this.around;
    if (cmdlet.isNewInR2 && hosts.mode === "2012") {
      throw new BindingError("NEW_IN_R2", `${cmdlet.name} came with Windows Server 2012 R2`);
    }
    const parameters = withCommon(cmdlet.parameters, cmdlet.changes === true);
    const { assigned, left } = assign<ParameterSpec>(this.given(command), parameters, cmdlet.name);
    const rest = cmdlet.parameters.find(({ takesRest }) => takesRest);
    if (rest && left.length > 0)
      assigned.set(rest, [...objectsOf(assigned.get(rest) ?? null), ...left.flatMap(objectsOf)]);
    else if (left.length > 0) {
      const cure = cmdlet.parameters.some(({ position }) => position !== undefined)
        ? undefined
        : "all its parameters are named";
      throw new BindingError("NO_POSITION", `${cmdlet.name} has no parameter for ${shown(left[0]!)}`, cure);
    }
    const args = new Map<string, Value>();
    let sessions: Value | undefined;
    for (const [parameter, value] of assigned) {
      if (parameter.isNewInR2 && hosts.mode === "2012") {
        throw new BindingError("NEW_IN_R2", `-${parameter.name} came with Windows Server 2012 R2`);
      }
      if (parameter.isIgnored) journal.note(`${cmdlet.name} -${parameter.name}`, command.place);
      if (parameter.isSession) sessions = value;
      else args.set(parameter.name, convertArgument(value, parameter));
    }
    const prepared: Prepared = {
      cmdlet,
      args,
      hosts: sessions === undefined ? [this.host] : this.#hostsOf(sessions),
      isExplicit: sessions !== undefined,
      isPiped,
      errorAction: args.has("ErrorAction") ? toText(args.get("ErrorAction")!) : null,
      place: command.place,
    };
    return { assigned: new Set(args.keys()), prepared };
  }

  #runCmdlet(prepared: Prepared, input: readonly Value[] | undefined, out: Value[]): void {
    const { cmdlet, args, place } = prepared;
    const missing = cmdlet.parameters.filter((parameter) => parameter.isRequired && !args.has(parameter.name));
    if (missing.length > 0) {
      const names = missing.map(({ name }) => `-${name}`).join(", ");
      throw new BindingError("MISSING_PARAMETER", `${cmdlet.name} needs ${names}`);
    }
    if (args.get("WhatIf") === true) {
      this.around.journal.say(`What if: ${cmdlet.name}`);
      return;
    }
    const before = out.length;
    for (const host of this.#known(prepared, prepared.hosts)) {
      this.compute(place, () => cmdlet.run(this.#call(prepared, host, input, out)));
    }
    const outVariable = args.get("OutVariable");
    if (outVariable !== undefined) this.scope.set(toText(outVariable).replace(/^\+/, ""), oneValue(out.slice(before)));
  }

  /** Those of the hosts that there are; each other one is an error of the command, which goes on. */
  *#known(prepared: Prepared, names: readonly string[]): Generator<string> {
    const { hosts } = this.around;
    for (const name of names) {
      if (hosts.isKnown(name)) yield name;
      else {
        const cure = `known are ${hosts.known.join(", ")}`;
        this.#fail(prepared, "UNKNOWN_HOST", `there is no host ${JSON.stringify(name)}`, cure);
      }
    }
  }

  #hostsOf(sessions: Value): readonly string[] {
    return objectsOf(sessions).map((session) => sessionHost(session, this.host));
  }

  #call(prepared: Prepared, host: string, input: readonly Value[] | undefined, out: Outputs): Call {
    const { hosts, budget, journal } = this.around;
    return {
      cmdlet: prepared.cmdlet.name,
      args: prepared.args,
      input,
      host,
      hosts,
      budget,
      place: prepared.place,
      isPiped: prepared.isPiped,
      hostsOf: (sessions) => this.#known(prepared, this.#hostsOf(sessions)),
      newGuid: () => this.newGuid(prepared.place),
      emit: (value) => {
        if (prepared.isExplicit && value instanceof Thing) value.properties.set("PSComputerName", host);
        budget.spend(STEPS_PER_OBJECT, prepared.place);
        out.push(value);
      },
      fail: (code, message, cure) => this.#fail(prepared, code, message, cure),
      warn: (code, message, cure) => journal.warn(code, message, prepared.place, cure),
      say: (text) => journal.say(text),
      show: (value) => journal.print(value),
      runBlock: (code, item) => this.runHere(code, item),
      runOn: (where, code, args) => this.runOn(where, code, args),
    };
  }

  /** A command's error does not end its statement, unless errors are to stop. */
  #fail({ errorAction, place }: Prepared, code: string, message: string, cure: string | undefined): void {
    const action = errorAction ?? toText(this.scope.find("ErrorActionPreference") ?? null);
    const isStop = action.toLowerCase() === "stop";
    const error = new RuntimeProblem(code, message, place, cure, isStop);
    if (isStop) throw error;
    if (!isSilent(action)) this.around.journal.error(error);
  }
}

/** An object with a dozen properties takes some kilobytes. */
const STEPS_PER_OBJECT = 50;

export const isSilent = (action: string): boolean => /^(?:silentlycontinue|ignore|0|4)$/i.test(action);

/** The computer that a session object or a text names. */
function sessionHost(session: Value, current: string): string {
  const name = session instanceof Thing ? toText(session.properties.get("ComputerName") ?? null) : toText(session);
  return /^(?:localhost|\.|127\.0\.0\.1|::1|)$/i.test(name) ? current : name;
}
