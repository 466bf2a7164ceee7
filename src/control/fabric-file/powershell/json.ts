/**
 * JSON by offsets: where each value of a text begins and ends, without reading what nobody asks for.
 *
 * ConvertTo-Json surrounds every record with some kilobytes about its class; a fabric's policy is hundreds of megabytes. So
 * the text is walked once, and only the values of known properties become JavaScript values.
 */

/** What is wrong with a text, at an offset. */
export class JsonError extends Error {
  constructor(
    message: string,
    readonly offset: number,
  ) {
    super(message);
  }
}

/** A value's place: text[start, end). */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Member extends Span {
  readonly key: string;
}

/** Documents one after the other, divided by white space, commas or nothing. */
export function documentsOf(text: string): Span[] {
  const documents: Span[] = [];
  for (let at = skipSpace(text, 0); at < text.length; ) {
    const end = valueEnd(text, at);
    documents.push({ start: at, end });
    at = skipSpace(text, end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return documents;
}

/** The value that begins at an offset. */
export const spanAt = (text: string, start: number): Span => ({ start, end: valueEnd(text, start) });

/** The elements of an array. */
export function elementsOf(text: string, { start, end }: Span): Span[] {
  const elements: Span[] = [];
  let at = skipSpace(text, start + 1);
  while (at < end - 1) {
    const stop = valueEnd(text, at);
    elements.push({ start: at, end: stop });
    at = afterComma(text, stop, end);
  }
  return elements;
}

/** The members of an object. */
export function membersOf(text: string, { start, end }: Span): Member[] {
  const members: Member[] = [];
  let at = skipSpace(text, start + 1);
  while (at < end - 1) {
    if (text[at] !== '"') throw new JsonError("expected the name of a property in quotes", at);
    const keyEnd = stringEnd(text, at);
    const colon = skipSpace(text, keyEnd);
    if (text[colon] !== ":") throw new JsonError("expected a colon behind the name of a property", colon);
    const value = skipSpace(text, colon + 1);
    const stop = valueEnd(text, value);
    members.push({ key: String(readValue(text, { start: at, end: keyEnd })), start: value, end: stop });
    at = afterComma(text, stop, end);
  }
  return members;
}

export function readValue(text: string, { start, end }: Span): unknown {
  try {
    return JSON.parse(text.slice(start, end));
  } catch {
    throw new JsonError("this is no JSON value", start);
  }
}

function afterComma(text: string, at: number, end: number): number {
  const next = skipSpace(text, at);
  if (next >= end - 1) return next;
  if (text[next] !== ",") throw new JsonError("expected a comma", next);
  return skipSpace(text, next + 1);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const isSpace = (c: number): boolean => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09 || c === 0xfeff;
const isOpening = (c: number): boolean => c === 0x5b || c === 0x7b;
const isClosing = (c: number): boolean => c === 0x5d || c === 0x7d;

function skipSpace(text: string, at: number): number {
  while (at < text.length && isSpace(text.charCodeAt(at))) at++;
  return at;
}

/** Behind the value that begins at `at`. Brackets are counted, kinds of brackets not compared: `membersOf` does that. */
function valueEnd(text: string, at: number): number {
  const first = text.charCodeAt(at);
  if (first === QUOTE) return stringEnd(text, at);
  if (!isOpening(first)) return scalarEnd(text, at);
  let depth = 0;
  for (let next = at; next < text.length; next++) {
    const c = text.charCodeAt(next);
    if (c === QUOTE) next = stringEnd(text, next) - 1;
    else if (isOpening(c)) depth++;
    else if (isClosing(c) && --depth === 0) return next + 1;
  }
  throw new JsonError("what opens here is never closed", at);
}

function stringEnd(text: string, at: number): number {
  for (let next = at + 1; next < text.length; next++) {
    const c = text.charCodeAt(next);
    if (c === BACKSLASH) next++;
    else if (c === QUOTE) return next + 1;
  }
  throw new JsonError("the quote that opens here is never closed", at);
}

function scalarEnd(text: string, at: number): number {
  const [word] = /^[-+.\w]+/.exec(text.slice(at, at + 64)) ?? [];
  if (word === undefined) throw new JsonError("expected a value", at);
  return at + word.length;
}
