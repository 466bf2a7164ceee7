/** A fabric file as YAML for people: hosts and lists in lines, each row in braces. Not for any other kind of value. */

/** Down to here mappings go over several lines. */
const BLOCK_DEPTH = 2;

export function writeYaml(document: Readonly<Record<string, unknown>>): string {
  return `${block(document, "", 0)}\n`;
}

type Mapping = Readonly<Record<string, unknown>>;
const isMapping = (value: unknown): value is Mapping =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function block(mapping: Mapping, indent: string, depth: number): string {
  return Object.entries(mapping)
    .map(([key, value]) => `${indent}${key}:${below(value, indent, depth)}`)
    .join("\n");
}

/** What stands behind a key. */
function below(value: unknown, indent: string, depth: number): string {
  if (Array.isArray(value) && value.length > 0 && value.every(isMapping)) {
    return value.map((item) => `\n${indent}  - ${row(item, `${indent}    `, depth + 1)}`).join("");
  }
  if (isMapping(value) && depth + 1 < BLOCK_DEPTH) return `\n${block(value, `${indent}  `, depth + 1)}`;
  return ` ${flow(value)}`;
}

/** A row of a list: in braces, unless it has lists of rows itself and there is room to go deeper. */
function row(mapping: Mapping, indent: string, depth: number): string {
  const isDeep = depth < BLOCK_DEPTH && Object.values(mapping).some((value) => Array.isArray(value));
  return isDeep ? block(mapping, indent, depth).slice(indent.length) : flow(mapping);
}

function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (isMapping(value)) {
    return `{ ${Object.entries(value)
      .map(([key, inner]) => `${key}: ${flow(inner)}`)
      .join(", ")} }`;
  }
  if (typeof value !== "string") return String(value);
  const isPlain =
    /^[A-Za-z0-9][A-Za-z0-9_./-]*$/.test(value) && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(value);
  return isPlain ? value : JSON.stringify(value);
}
