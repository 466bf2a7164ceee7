/**
 * The characters that PowerShell takes for one another (Windows PowerShell language specification §2.3): dashes and quotes as word
 * processors and web pages write them are dashes and quotes.
 */

const DOUBLE_QUOTES = '"\u201c\u201d\u201e';
const SINGLE_QUOTES = "'\u2018\u2019\u201a\u201b";
/** Hyphen-minus, en dash, em dash, horizontal bar. */
const DASHES = "-\u2013\u2014\u2015";

const isOneOf =
  (set: string) =>
  (character: string): boolean =>
    character !== "" && set.includes(character);

export const isDoubleQuote = isOneOf(DOUBLE_QUOTES);
export const isSingleQuote = isOneOf(SINGLE_QUOTES);
export const isDash = isOneOf(DASHES);
export const isNewline = isOneOf("\r\n");
export const isDigit = (character: string): boolean => character >= "0" && character <= "9";
export const isLetter = (character: string): boolean => /^[\p{L}_]$/u.test(character);
export const isWordCharacter = (character: string): boolean => /^[\p{L}\p{N}_]$/u.test(character);
/** Blank, tab and their kin, no-break spaces of web pages among them; line ends are none. */
export const isSpace = (character: string): boolean =>
  character === " " || character === "\t" || (character > "\u007f" && /^[\p{Zs}\ufeff]$/u.test(character));

/** A command's name as it is known. */
export const withPlainDashes = (text: string): string => text.replace(/[\u2013-\u2015]/g, "-");
