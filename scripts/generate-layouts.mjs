// Writes the constants of the AssemblyScript parts from the tables that TypeScript uses (compiled before), so that both sides
// cannot disagree. `--check` writes nothing and fails if a committed file differs.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const { Reason } = await import(`${root}dist/dataplane/drop-reasons.js`);

const FILES = [
  {
    source: "src/dataplane/packet/layout.ts",
    target: "src/dataplane/kernel/assembly/layout.generated.ts",
    tables: { ...(await import(`${root}dist/dataplane/packet/layout.js`)), REASON: Reason },
  },
  {
    source: "src/io/capture/layout.ts",
    target: "src/io/assembly/constants.generated.ts",
    tables: await import(`${root}dist/io/capture/layout.js`),
  },
];

let stale = 0;
for (const { source, target, tables } of FILES) {
  const text = generate(source, tables);
  if (!process.argv.includes("--check")) writeFileSync(root + target, text);
  else if (readFileSync(root + target, "utf8") !== text) {
    console.error(`${target} differs from ${source}: run \`npm run generate\``);
    stale = 1;
  }
}
process.exit(stale);

function generate(source, tables) {
  const lines = [`// Generated from ${source} by \`npm run generate\`. Do not edit.`, ""];
  for (const [name, value] of Object.entries(tables)) {
    if (typeof value === "number") lines.push(`export const ${name}: u32 = ${value};`);
    else
      for (const [field, number] of Object.entries(value))
        lines.push(`export const ${name}_${field}: u32 = ${number};`);
  }
  return `${lines.join("\n")}\n`;
}
