import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { TEXT_FIELDS } from "../../../src/control/fabric-file/schema.js";
import { fabricFileJsonSchema, loadFabricFile } from "../../../src/control/index.js";

const docs = (name: string): string => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), "utf8");

interface Node {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: unknown;
  readonly items?: Node;
}

/** Every field of the schema: its name, what it is, and the mapping it is in. */
function* fields(node: Node): Generator<{ readonly name: string; readonly node: Node; readonly parent: Node }> {
  for (const [name, child] of Object.entries(node.properties ?? {})) {
    yield { name, node: child, parent: node };
    yield* fields(child);
  }
  if (node.items !== undefined) yield* fields(node.items);
  for (const choice of [...(node.anyOf ?? []), ...(node.oneOf ?? [])]) yield* fields(choice);
}
const all = [...fields(fabricFileJsonSchema() as Node)];

describe("the schema", () => {
  it("is published as docs/fabric-file.schema.json (if not: npm run build, then node scripts/write-schema.mjs)", () => {
    expect(JSON.parse(docs("fabric-file.schema.json"))).toEqual(JSON.parse(JSON.stringify(fabricFileJsonSchema())));
  });

  it("knows no mapping that takes unknown fields", () => {
    const open = all.filter(({ node }) => node.properties !== undefined && node.additionalProperties !== false);
    expect(open.map(({ name }) => name)).toEqual([]);
  });

  it("fields of text, and no others, are read from their source text", () => {
    const isText = (node: Node): boolean =>
      node.type === "string" ||
      node.type?.includes("string") === true ||
      (node.enum !== undefined && node.type === undefined);
    const texts = all.filter(({ node }) => isText(node) || (node.items !== undefined && isText(node.items)));
    expect(new Set(texts.map(({ name }) => name))).toEqual(TEXT_FIELDS);
    const others = all.filter((field) => !texts.includes(field)).map(({ name }) => name);
    expect(others.filter((name) => TEXT_FIELDS.has(name))).toEqual([]);
  });
});

describe("docs/FABRIC-FILE.md", () => {
  const page = docs("FABRIC-FILE.md");
  const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);

  it("has two complete examples at least", () => expect(blocks.length).toBeGreaterThanOrEqual(2));
  it.each(blocks.map((block, index) => [index + 1, block] as const))("example %i loads", (_, block) => {
    const loaded = loadFabricFile(block, "FABRIC-FILE.md");
    expect(loaded.ok ? [] : loaded.problems).toEqual([]);
  });
  it("explains every field", () => {
    const missing = [...new Set(all.map(({ name }) => name))].filter((name) => !page.includes(`\`${name}\``));
    expect(missing).toEqual([]);
  });
});
