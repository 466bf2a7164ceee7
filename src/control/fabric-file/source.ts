/**
 * From text to plain values that remember where they stood: YAML 1.2, of which JSON is a part.
 *
 * The yaml package's tree is kept, so that any path leads back to line and column. Scalars of text fields are taken from their
 * source, see TEXT_FIELDS. Hostile input is refused by name: too large, too deep, aliases that multiply or contain themselves.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  parseDocument,
  visit,
  type YAMLParseError,
} from "yaml";
import type { Path } from "../problem.js";
import { Lines } from "./lines.js";
import { TEXT_FIELDS } from "./schema.js";

/** The YAML tree takes some 8 kB of memory per lookup record; this is about 100,000 of them. */
export const FILE_LENGTH_MAX = 16 * 1024 * 1024;
/** The schema is 7 levels deep. */
const DEPTH_MAX = 64;
/** The parser works by recursion and would end the process on a file that is nothing but brackets. */
const BRACKETS_MAX = 1000;
/** Values that aliases may add by repeating what they name. */
const ALIASED_VALUES_MAX = 100_000;

export interface SourcePosition {
  /** Where a source was made of several files; absent: the one that was read. */
  readonly file?: string;
  readonly line: number;
  readonly column: number;
}

export interface SourceProblem extends SourcePosition {
  readonly code: string;
  readonly message: string;
  readonly cure?: string;
  /** After such a problem the parser guesses; what it says about later lines is worth nothing. */
  readonly derails: boolean;
}

/** A parsed text: its values and the way back to where they stood. */
export interface Source {
  /** Own, fresh objects and arrays. undefined if there is nothing to look at. */
  readonly plain: unknown;
  readonly problems: readonly SourceProblem[];
  /** Things the YAML parser wondered about, such as unknown tags. */
  readonly warnings: readonly SourceProblem[];
  /** Where the value at `path` begins; for what is not there, the innermost thing around it that is. */
  position(path: Path): SourcePosition;
  /** Where the key begins that `path` ends in. */
  keyPosition(path: Path): SourcePosition;
}

export function readSource(text: string): Source {
  const refusal = refuseUnread(text);
  if (refusal !== undefined) return unreadable(refusal);

  const document = parseDocument(text, { prettyErrors: false, logLevel: "error" });
  const tree = new Tree(document, new Lines(text));
  const syntax = withoutEchoes(document.errors).map((error) => {
    // What is not closed is noticed at the end of the file; the place to look at is where it opens.
    const offset = NEVER_CLOSED.test(error.message) ? tree.opening(error.pos[0]) : error.pos[0];
    return syntaxProblem(error.code, error.message, tree.at(offset));
  });
  const warnings = document.warnings.map((error) => syntaxProblem(error.code, error.message, tree.at(error.pos[0])));
  if (document.contents === null && syntax.length === 0) {
    return unreadable({
      code: "FILE_EMPTY",
      message: "the file holds no document",
      cure: "begin with: apiVersion: hnv/v1",
    });
  }
  const plain = tree.plain();
  return {
    plain,
    problems: [...syntax, ...tree.problems],
    warnings,
    position: (path) => tree.position(path),
    keyPosition: (path) => tree.keyPosition(path),
  };
}

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly cure?: string;
}

/** Is the text safe to hand to the parser at all? */
function refuseUnread(text: string): Refusal | undefined {
  if (text.length > FILE_LENGTH_MAX) {
    return {
      code: "FILE_TOO_LARGE",
      message: `the file has ${text.length} characters; at most ${FILE_LENGTH_MAX} are read`,
      cure: "derive records from routingDomains and hosts in place of listing them",
    };
  }
  if (text.includes("\u0000")) return { code: "FILE_NOT_TEXT", message: "the file holds a zero byte: it is not text" };
  if (bracketDepth(text) > BRACKETS_MAX || /^\s*(?:[-?][ \t]+){1000}/m.test(text)) {
    return { code: "FILE_TOO_DEEP", message: `the file nests more than ${BRACKETS_MAX} levels deep` };
  }
  return undefined;
}

/** The deepest nesting of brackets, as far as one can tell without parsing: brackets in quotes count too. */
function bracketDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x5b || c === 0x7b) {
      if (++depth > deepest) deepest = depth;
    } else if ((c === 0x5d || c === 0x7d) && depth > 0) depth--;
  }
  return deepest;
}

function unreadable(refusal: Refusal): Source {
  const start = { line: 1, column: 1 };
  return {
    plain: undefined,
    problems: [{ ...refusal, ...start, derails: true }],
    warnings: [],
    position: () => start,
    keyPosition: () => start,
  };
}

/** Where the parser loses its way, it complains of every token that follows: the first complaint is the one to read. */
function withoutEchoes(errors: readonly YAMLParseError[]): readonly YAMLParseError[] {
  const lost = errors.findIndex((error) => error.code === "UNEXPECTED_TOKEN");
  if (lost < 0) return errors;
  const before = errors.slice(0, lost);
  const isExplained = before.some((error) => !HARMLESS.has(error.code));
  return isExplained ? before : errors.slice(0, lost + 1);
}

const NEVER_CLOSED = /^Missing closing|and end with a/;

/** Errors that concern one scalar or key and leave the structure around it in no doubt. */
const HARMLESS: ReadonlySet<string> = new Set(["DUPLICATE_KEY", "BAD_DQ_ESCAPE", "TAG_RESOLVE_FAILED", "BAD_ALIAS"]);

function syntaxProblem(code: string, message: string, at: SourcePosition): SourceProblem {
  const derails = !HARMLESS.has(code);
  if (code === "DUPLICATE_KEY") {
    return { ...at, code, message: "this field was already given above", cure: "remove one of the two", derails };
  }
  if (code === "MULTIPLE_DOCS") {
    const problem = { code, message: "a second document begins here", cure: "one fabric file holds one document" };
    return { ...at, ...problem, derails };
  }
  const cure = SYNTAX_CURES[code];
  return { ...at, code: "YAML_SYNTAX", message, derails, ...(cure === undefined ? {} : { cure }) };
}

const SYNTAX_CURES: Readonly<Record<string, string>> = {
  BLOCK_AS_IMPLICIT_KEY: 'put text that ends in a colon, such as the IPv6 prefix "fd00::", in quotes',
  TAB_AS_INDENT: "indent with spaces",
};

/** The yaml package's tree with our reading of it. */
class Tree {
  readonly problems: SourceProblem[] = [];
  private readonly anchors = new Map<string, Node>();
  private readonly targets = new Map<Alias, Node>();
  private readonly open = new Set<Node>();
  private aliasDepth = 0;
  private aliasedValues = 0;

  constructor(
    private readonly document: Document,
    /** Counted by us: after syntax errors the yaml package's own counter misses the line ends within scalars. */
    private readonly lines: Lines,
  ) {}

  plain(): unknown {
    return this.convert(this.document.contents as Node | null, false, 0);
  }

  at(offset: number): SourcePosition {
    return this.lines.position(offset);
  }

  /** Where the outermost quoted scalar or bracketed collection begins that reaches to `offset`. */
  opening(offset: number): number {
    let start = offset;
    visit(this.document, (_, node) => {
      const range = isNode(node) ? node.range : undefined;
      if (range === undefined || range === null) return undefined;
      const isBracketed =
        (isScalar(node) && node.type?.startsWith("QUOTE") === true) || (isCollection(node) && node.flow === true);
      if (!isBracketed || range[0] > offset || offset > range[2]) return undefined;
      start = range[0];
      return visit.BREAK;
    });
    return start;
  }

  position(path: Path): SourcePosition {
    let node = this.document.contents as Node | null;
    let offset = node?.range?.[0] ?? 0;
    for (const step of path) {
      const found = this.child(node, step);
      if (found === undefined) break;
      node = found.value;
      // An empty value has no place of its own.
      offset =
        node?.range !== undefined && node.range !== null && node.range[0] < node.range[1] ? node.range[0] : found.at;
    }
    return this.at(offset);
  }

  keyPosition(path: Path): SourcePosition {
    const parent = path
      .slice(0, -1)
      .reduce<Node | null>(
        (node, step) => this.child(node, step)?.value ?? null,
        this.document.contents as Node | null,
      );
    const found = path.length === 0 ? undefined : this.child(parent, path[path.length - 1]!);
    return found === undefined ? this.position(path) : this.at(found.at);
  }

  /** The value at `step` and where its key, or itself in a list, begins. */
  private child(node: Node | null, step: string | number): { value: Node | null; at: number } | undefined {
    const target = isAlias(node) ? (this.targets.get(node) ?? null) : node;
    if (isSeq(target) && typeof step === "number") {
      const item = target.items[step] as Node | null | undefined;
      if (item === undefined) return undefined;
      return { value: item, at: item?.range?.[0] ?? target.range?.[0] ?? 0 };
    }
    if (isMap(target)) {
      const pair = target.items.find((item) => keyText(item.key as Node | null) === String(step));
      if (pair === undefined) return undefined;
      return { value: pair.value as Node | null, at: (pair.key as Node | null)?.range?.[0] ?? 0 };
    }
    return undefined;
  }

  private convert(node: Node | null, isText: boolean, depth: number): unknown {
    if (node === null) return null;
    if (this.aliasDepth > 0 && ++this.aliasedValues > ALIASED_VALUES_MAX) return null;
    if (depth > DEPTH_MAX) return this.refuse(node, "FILE_TOO_DEEP", `nested more than ${DEPTH_MAX} levels deep`);
    if (isAlias(node)) return this.follow(node, isText, depth);
    if (node.anchor !== undefined) this.anchors.set(node.anchor, node);
    if (isScalar(node)) {
      const isPlain = node.type === "PLAIN" && node.value !== null;
      return isText && isPlain && node.source !== undefined && typeof node.value !== "string"
        ? node.source
        : node.value;
    }
    this.open.add(node);
    const value = isSeq(node)
      ? node.items.map((item) => this.convert(item as Node | null, isText, depth + 1))
      : isMap(node)
        ? this.convertMap(node.items as readonly { key: unknown; value: unknown }[], depth)
        : null;
    this.open.delete(node);
    return value;
  }

  private convertMap(pairs: readonly { key: unknown; value: unknown }[], depth: number): unknown {
    const object: Record<string, unknown> = {};
    for (const { key, value } of pairs) {
      const field = keyText(key as Node | null);
      if (Object.hasOwn(object, field)) continue; // the parser has complained of it
      const plain = this.convert(value as Node | null, TEXT_FIELDS.has(field), depth + 1);
      // Not by assignment: a field called __proto__ must be seen and refused like any unknown one.
      Object.defineProperty(object, field, { value: plain, enumerable: true, writable: true, configurable: true });
    }
    return object;
  }

  private follow(alias: Alias, isText: boolean, depth: number): unknown {
    const target = this.anchors.get(alias.source);
    if (target === undefined) return this.refuse(alias, "YAML_SYNTAX", `nothing above is called &${alias.source}`);
    if (this.open.has(target)) return this.refuse(alias, "ALIAS_LOOP", `*${alias.source} contains itself`);
    this.targets.set(alias, target);
    const wasWithin = this.aliasedValues <= ALIASED_VALUES_MAX;
    this.aliasDepth++;
    const value = this.convert(target, isText, depth);
    this.aliasDepth--;
    if (wasWithin && this.aliasedValues > ALIASED_VALUES_MAX && this.aliasDepth === 0) {
      return this.refuse(alias, "ALIAS_BOMB", `the file's aliases repeat more than ${ALIASED_VALUES_MAX} values`);
    }
    return value;
  }

  private refuse(node: Node, code: string, message: string): null {
    this.problems.push({ ...this.at(node.range?.[0] ?? 0), code, message, derails: false });
    return null;
  }
}

/** A key as text; a key that is a list or a mapping is no field of ours, whatever it is called here. */
function keyText(key: Node | null): string {
  if (isScalar(key)) return key.type === "PLAIN" ? (key.source ?? String(key.value)) : String(key.value);
  return key === null ? "" : "(a collection)";
}
