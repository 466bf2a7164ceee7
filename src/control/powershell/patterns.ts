/**
 * Patterns of scripts: wildcards of -like, and regular expressions of -match, -replace and -split, as far as they end in time.
 *
 * JavaScript's regular expressions try one way after the other, and a hostile pattern has more ways than there is time. So the ways of a
 * pattern on a text are counted beforehand, and one with too many is refused.
 */

const WAYS_MAX = 200_000_000;
const WAYS_PER_STEP = 32;
const PATTERN_LENGTH_MAX = 1000;

export class PatternError extends Error {}

/** A pattern for texts up to a length, whose ways are paid for. Throws a PatternError. */
export function regularExpression(
  pattern: string,
  length: number,
  flags: "i" | "gi",
  spend: (steps: number) => void,
): RegExp {
  if (pattern.length > PATTERN_LENGTH_MAX) throw new PatternError("the pattern is too long");
  const count = ways(pattern, length);
  if (count > WAYS_MAX) {
    throw new PatternError("the pattern could take too long on this text: too many repetitions or alternatives");
  }
  spend(count / WAYS_PER_STEP);
  try {
    return new RegExp(pattern, `${flags}u`);
  } catch {
    try {
      return new RegExp(pattern, flags); // .NET lets more characters be escaped than JavaScript in its strict form
    } catch {
      throw new PatternError("the pattern is no regular expression");
    }
  }
}

/** An upper bound of the ways to match a text of this length, from each of its places. */
function ways(pattern: string, length: number): number {
  /** Ways of the whole, and of each group that is open. */
  const open = [1];
  const multiply = (factor: number): void => {
    open[open.length - 1]! *= factor;
  };
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at]!;
    if (character === "\\") {
      at++;
      if (/[1-9k]/.test(pattern[at] ?? "")) return Number.POSITIVE_INFINITY; // a reference back
    } else if (character === "[") at = endOfClass(pattern, at);
    else if (character === "(") {
      open.push(1);
      if (pattern[at + 1] === "?") at += 2;
    } else if (character === ")" && open.length > 1) {
      const inside = open.pop()!;
      multiply(inside ** timesAfter(pattern, at + 1, inside));
    } else if (character === "|" || character === "?") multiply(2);
    else if (character === "*" || character === "+") multiply(length + 1);
    else if (character === "{") multiply(choicesOf(pattern, at, length));
  }
  return open.reduce((product, factor) => product * factor, length + 1);
}

/** {2,5} */
const counted = (pattern: string, at: number): readonly (string | undefined)[] =>
  /^\{(\d+)(,?)(\d*)\}/.exec(pattern.slice(at, at + 16)) ?? [];

/** How often a group with several ways is gone through; endlessly, if it is repeated without a bound. */
function timesAfter(pattern: string, at: number, inside: number): number {
  if (inside === 1) return 1;
  const next = pattern[at];
  const [, least, comma, most] = counted(pattern, at);
  if (next === "*" || next === "+" || (comma === "," && most === "")) return Number.POSITIVE_INFINITY;
  return Math.max(1, Number(most || least || 1));
}

function choicesOf(pattern: string, at: number, length: number): number {
  const [, least, comma, most] = counted(pattern, at);
  if (least === undefined || comma === "") return 1;
  return most === "" ? length + 1 : Math.max(1, Number(most) - Number(least) + 1);
}

function endOfClass(pattern: string, from: number): number {
  for (let at = from + 1; at < pattern.length; at++) {
    if (pattern[at] === "\\") at++;
    else if (pattern[at] === "]" && at > from + 1) return at;
  }
  return pattern.length;
}

/** -like: * is any text, ? a character, [a-f] one of a class; without regard to case. Takes at most length × length steps. */
export function isLike(text: string, pattern: string): boolean {
  const parts = pattern.toLowerCase().match(/`?\*|`?\?|\[[^\]]+\]|`?./gsu) ?? [];
  const characters = [...text.toLowerCase()];
  let [at, part] = [0, 0];
  let [starAt, starPart] = [0, -1];
  while (at < characters.length) {
    if (parts[part] === "*") {
      [starAt, starPart] = [at, part++];
    } else if (part < parts.length && isOne(characters[at]!, parts[part]!)) {
      at++;
      part++;
    } else if (starPart >= 0) {
      at = ++starAt;
      part = starPart + 1;
    } else return false;
  }
  while (parts[part] === "*") part++;
  return part === parts.length;
}

function isOne(character: string, part: string): boolean {
  if (part === "?") return true;
  if (part.length > 2 && part.startsWith("[")) {
    const inside = part.slice(1, -1);
    for (let at = 0; at < inside.length; at++) {
      if (inside[at + 1] === "-" && at + 2 < inside.length) {
        if (character >= inside[at]! && character <= inside[at + 2]!) return true;
        at += 2;
      } else if (inside[at] === character) return true;
    }
    return false;
  }
  return character === (part.startsWith("`") && part.length > 1 ? part.slice(1) : part);
}
