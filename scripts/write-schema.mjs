// Writes docs/fabric-file.schema.json from the schema in src/control. Needs a build (dist/).
import { writeFileSync } from "node:fs";
import { fabricFileJsonSchema } from "../dist/control/index.js";

const file = new URL("../docs/fabric-file.schema.json", import.meta.url);
writeFileSync(file, `${JSON.stringify(fabricFileJsonSchema(), null, 2)}\n`);
console.log(`wrote ${file.pathname}`);
