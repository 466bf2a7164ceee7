/** Packages that not every installation has: loaded when they are wanted, and missed in one line. */
import { createRequire } from "node:module";
import { liveErrorAt } from "./errors.js";

const require = createRequire(import.meta.url);

/** Loads a package; throws an error whose message says in a line why that cannot be. */
function load(name: string): unknown {
  try {
    return require(name);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const isMissing = error instanceof Error && "code" in error && error.code === "MODULE_NOT_FOUND";
    if (isMissing && text.includes(`'${name}'`))
      throw new Error(`package ${name} is not installed (npm install ${name})`);
    throw new Error(`package ${name} does not load: ${text.split("\n")[0]}`);
  }
}

/** Why a package cannot be used, or null. */
export function packageObstacle(name: string): string | null {
  try {
    load(name);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The package, whose shape the caller knows; throws a LiveError for the interface that needs it. */
export function loadFor(uri: string, name: string): unknown {
  try {
    return load(name);
  } catch (error) {
    throw liveErrorAt("LIVE_UNSUPPORTED", uri, (error as Error).message);
  }
}
