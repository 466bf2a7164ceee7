/**
 * Variables and functions where they can be seen. A function sees what its caller has (dynamic scope); what it assigns is its own.
 */
import type { Block } from "./syntax.js";
import type { Value } from "./values.js";

export class Scope {
  readonly #variables = new Map<string, Value>();
  readonly #functions = new Map<string, Block>();

  constructor(
    readonly parent: Scope | null,
    /** Where $using: looks: the scope that sent this block to another computer. Its own variables are not to be seen there. */
    readonly sender: Scope | null = null,
  ) {}

  get root(): Scope {
    return this.parent?.root ?? this;
  }

  /** The scope of the block that runs on this computer. */
  get #remote(): Scope | null {
    for (let scope: Scope | null = this; scope; scope = scope.parent) if (scope.sender) return scope;
    return null;
  }

  find(name: string): Value | undefined {
    const key = name.toLowerCase();
    for (let scope: Scope | null = this; scope; scope = scope.parent) {
      if (scope.#variables.has(key)) return scope.#variables.get(key);
    }
    return undefined;
  }

  /** $using:name; in a block that was not sent anywhere, the variable itself. */
  findUsing(name: string): Value | undefined {
    return (this.#remote?.sender ?? this).find(name);
  }

  /** Would the variable be there if this block had not been sent to another computer? */
  isLeftBehind(name: string): boolean {
    return this.find(name) === undefined && this.#remote?.sender?.find(name) !== undefined;
  }

  set(name: string, value: Value): void {
    this.#variables.set(name.toLowerCase(), value);
  }

  findFunction(name: string): Block | undefined {
    const key = name.toLowerCase();
    for (let scope: Scope | null = this; scope; scope = scope.parent) {
      const block = scope.#functions.get(key);
      if (block) return block;
    }
    return undefined;
  }

  setFunction(name: string, block: Block): void {
    this.#functions.set(name.toLowerCase(), block);
  }
}
