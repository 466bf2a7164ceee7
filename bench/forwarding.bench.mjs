/** How many packets a second does a host carry? `hnv bench` is the bench; this runs its whole list, or one small case. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { quick } from "./support/measure.mjs";

const program = fileURLToPath(new URL("../bin/hnv", import.meta.url));
const small = ["--flows", "10", "--seconds", "0.01"];
const { status } = spawnSync(process.execPath, [program, "bench", ...(quick ? small : [])], { stdio: "inherit" });
process.exitCode = status ?? 1;
