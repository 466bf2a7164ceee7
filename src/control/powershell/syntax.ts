/** The syntax tree of a script: what was written, with places. No part of it knows how it is carried out. */
import type { Place } from "./script.js";

interface Node {
  readonly place: Place;
}

export type Expression =
  /** `text` is set where the number was written otherwise than it prints: 0x1389, 060600000005. */
  | (Node & {
      readonly kind: "literal";
      readonly value: string | number | boolean | null;
      readonly text: string | undefined;
    })
  | Variable
  /** "$a and $( b )" */
  | (Node & { readonly kind: "expandable"; readonly parts: readonly (string | Expression)[] })
  /** a, b */
  | (Node & { readonly kind: "list"; readonly items: readonly Expression[] })
  /** @( … ) and $( … ) */
  | (Node & { readonly kind: "array" | "subexpression"; readonly body: readonly Statement[] })
  /** ( … ) */
  | (Node & { readonly kind: "group"; readonly body: Statement })
  /** @{ a = 1; b = 2 } */
  | (Node & { readonly kind: "hash"; readonly entries: readonly (readonly [Expression, Statement])[] })
  | (Node & { readonly kind: "block"; readonly block: Block })
  | (Node & { readonly kind: "unary"; readonly operator: string; readonly operand: Expression })
  /** ++$i, $i-- */
  | (Node & { readonly kind: "step"; readonly by: 1 | -1; readonly isPrefix: boolean; readonly target: Expression })
  | (Node & {
      readonly kind: "binary";
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    })
  | (Node & { readonly kind: "cast"; readonly type: string; readonly operand: Expression })
  /** [int] by itself */
  | (Node & { readonly kind: "type"; readonly type: string })
  | (Node & {
      readonly kind: "member";
      readonly target: Expression;
      readonly name: Expression;
      readonly isStatic: boolean;
    })
  | (Node & {
      readonly kind: "call";
      readonly target: Expression;
      readonly name: Expression;
      readonly isStatic: boolean;
      readonly args: readonly Expression[];
    })
  | (Node & { readonly kind: "index"; readonly target: Expression; readonly index: Expression });

/** $name, $scope:name, @name */
export interface Variable extends Node {
  readonly kind: "variable";
  /** Lower case: using, script, global, local, private, env; or null. */
  readonly scope: string | null;
  readonly name: string;
}

/** A piece of a command line behind the command's name. */
export type Element =
  | (Node & { readonly kind: "parameter"; readonly name: string; readonly value: Expression | undefined })
  | (Node & { readonly kind: "argument"; readonly value: Expression })
  | (Node & { readonly kind: "splat"; readonly variable: Variable });

export interface CommandCall extends Node {
  readonly kind: "command";
  /** A bare word is a literal; behind & and . anything. */
  readonly name: Expression;
  readonly invocation: "" | "&" | ".";
  readonly elements: readonly Element[];
}

export type Stage = CommandCall | (Node & { readonly kind: "expression"; readonly expression: Expression });

export type Statement =
  | (Node & { readonly kind: "pipeline"; readonly stages: readonly Stage[]; readonly isDiscarded: boolean })
  | (Node & {
      readonly kind: "assignment";
      readonly target: Expression;
      /** =, +=, … */
      readonly operator: string;
      readonly value: Statement;
    })
  | (Node & {
      readonly kind: "if";
      readonly branches: readonly (readonly [Statement, readonly Statement[]])[];
      readonly otherwise: readonly Statement[];
    })
  | (Node & {
      readonly kind: "for";
      readonly label: string | null;
      readonly first: Statement | undefined;
      readonly condition: Statement | undefined;
      readonly step: Statement | undefined;
      readonly body: readonly Statement[];
    })
  | (Node & {
      readonly kind: "foreach";
      readonly label: string | null;
      readonly variable: Variable;
      readonly items: Statement;
      readonly body: readonly Statement[];
    })
  | (Node & {
      readonly kind: "do";
      readonly label: string | null;
      readonly body: readonly Statement[];
      readonly condition: Statement;
      readonly isUntil: boolean;
    })
  | (Node & {
      readonly kind: "switch";
      readonly label: string | null;
      readonly match: "exact" | "wildcard" | "regex";
      readonly value: Statement;
      readonly cases: readonly { readonly test: Expression | null; readonly body: readonly Statement[] }[];
    })
  | (Node & { readonly kind: "function"; readonly name: string; readonly block: Block })
  | (Node & {
      readonly kind: "try";
      readonly body: readonly Statement[];
      readonly catchBody: readonly Statement[] | undefined;
      readonly finallyBody: readonly Statement[];
    })
  | (Node & { readonly kind: "return" | "throw" | "exit"; readonly value: Statement | undefined })
  | (Node & { readonly kind: "break" | "continue"; readonly label: string | null })
  /** inlinescript { }, sequence { }, parallel { } of workflows */
  | (Node & { readonly kind: "inline"; readonly body: readonly Statement[] });

export interface Parameter extends Node {
  readonly name: string;
  readonly aliases: readonly string[];
  /** As written, without brackets; null: none. */
  readonly type: string | null;
  readonly isMandatory: boolean;
  /** [Parameter(ValueFromPipeline)] */
  readonly fromPipeline: boolean;
  readonly standard: Expression | undefined;
}

/** A script block, the body of a function, or a whole script. */
export interface Block extends Node {
  readonly parameters: readonly Parameter[];
  readonly begin: readonly Statement[];
  /** What runs for each object of the pipeline; undefined: there is no such part. */
  readonly process: readonly Statement[] | undefined;
  readonly end: readonly Statement[];
}
