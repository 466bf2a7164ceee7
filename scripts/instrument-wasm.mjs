/**
 * Puts an assertion in front of every memory access of a compiled module: docs/decisions/0009-bounds-assertions.md says why so.
 *
 * What may be accessed is said by a *shadow*, one byte for each byte of memory: bit 0 "may be read", bit 1 "may be written". A
 * byte that is written may be read from then on, so that memory which nobody has filled is not read either. The module
 * imports and exports what it did before; the shadow's place and the report of a fault are words in its memory, below
 * everything that `packet/layout.ts` places there:
 *
 *     512  address of the shadow; 0: no assertion is made       520  what was asked of the memory: 1 read, 2 write
 *     516  first address that the shadow does not know          524  address, 528 length, 532 first byte refused, 536 site
 *
 * An access that is refused leaves its report there and traps before anything happens. `test/support/fences.ts` is the other side.
 */
import binaryen from "assemblyscript/binaryen";

const READ = 1;
const WRITE = 2;
const WIDTHS = { i32: 4, f32: 4, i64: 8, f64: 8, v128: 16 };
const ACCESS = /^(i32|i64|f32|f64|v128)\.(load|store)(\d+)?(x\d+)?(_[a-z]+)?$/;

const CHECKS = `
  (func $fence.check (param $at i32) (param $offset i32) (param $size i32) (param $need i32) (param $site i32)
    (local $shadow i32) (local $from i64) (local $i i32) (local $flags i32)
    (local.set $shadow (i32.load (i32.const 512)))
    (if (i32.eqz (local.get $shadow)) (then (return)))
    (local.set $from (i64.add (i64.extend_i32_u (local.get $at)) (i64.extend_i32_u (local.get $offset))))
    (if (i64.gt_u (i64.add (local.get $from) (i64.extend_i32_u (local.get $size))) (i64.load32_u (i32.const 516)))
      (then (call $fence.refuse (i32.wrap_i64 (local.get $from)) (local.get $size) (i32.const 0) (local.get $need) (local.get $site))))
    (local.set $shadow (i32.add (local.get $shadow) (i32.wrap_i64 (local.get $from))))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $i) (local.get $size)))
        (local.set $flags (i32.load8_u (i32.add (local.get $shadow) (local.get $i))))
        (if (i32.eqz (i32.and (local.get $flags) (local.get $need)))
          (then (call $fence.refuse (i32.wrap_i64 (local.get $from)) (local.get $size) (local.get $i) (local.get $need) (local.get $site))))
        (if (i32.and (i32.eq (local.get $need) (i32.const ${WRITE})) (i32.eq (local.get $flags) (i32.const ${WRITE})))
          (then (i32.store8 (i32.add (local.get $shadow) (local.get $i)) (i32.const ${READ | WRITE}))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next))))
  (func $fence.refuse (param $at i32) (param $size i32) (param $byte i32) (param $need i32) (param $site i32)
    (i32.store (i32.const 520) (local.get $need))
    (i32.store (i32.const 524) (local.get $at))
    (i32.store (i32.const 528) (local.get $size))
    (i32.store (i32.const 532) (i32.add (local.get $at) (local.get $byte)))
    (i32.store (i32.const 536) (local.get $site))
    (unreachable))
  (func $fence.address (param $at i32) (param $offset i32) (param $size i32) (param $need i32) (param $site i32) (result i32)
    (call $fence.check (local.get $at) (local.get $offset) (local.get $size) (local.get $need) (local.get $site))
    (local.get $at))
  (func $fence.copy (param $to i32) (param $from i32) (param $size i32) (param $site i32)
    (call $fence.check (local.get $from) (i32.const 0) (local.get $size) (i32.const ${READ}) (local.get $site))
    (call $fence.check (local.get $to) (i32.const 0) (local.get $size) (i32.const ${WRITE}) (local.get $site))
    (memory.copy (local.get $to) (local.get $from) (local.get $size)))
  (func $fence.fill (param $to i32) (param $value i32) (param $size i32) (param $site i32)
    (call $fence.check (local.get $to) (i32.const 0) (local.get $size) (i32.const ${WRITE}) (local.get $site))
    (memory.fill (local.get $to) (local.get $value) (local.get $size)))
`;

/**
 * The module with assertions, and what stands at each site, to say where a fault was. Throws where the module does to memory what
 * is not known here: better no build than an access without assertion.
 */
export function instrument(binary) {
  const sites = [];
  const fields = parse(moduleFromBinary(binary).emitText());
  for (const field of fields) if (field[0] === "func") instrumentAll(field, field[1], sites);
  const checks = parse(`(module ${CHECKS})`).filter((field) => Array.isArray(field));
  const module = binaryen.parseText(write([...fields, ...checks]));
  module.setFeatures(binaryen.Features.All);
  if (!module.validate()) throw new Error("the module with assertions is not valid WebAssembly");
  return { binary: module.emitBinary(), sites };
}

function moduleFromBinary(binary) {
  const module = binaryen.readBinary(binary);
  module.setFeatures(binaryen.Features.All);
  return module;
}

/** Rewrites the accesses in an expression, innermost first. */
function instrumentAll(expression, name, sites) {
  for (const part of expression) if (Array.isArray(part)) instrumentAll(part, name, sites);
  const [operator] = expression;
  const access = ACCESS.exec(operator);
  if (access) {
    const [, type, kind, bits, lanes] = access;
    const size = lanes ? 8 : bits ? Number(bits) / 8 : WIDTHS[type];
    const offset = Number(expression.find((part) => /^offset=/.test(part))?.slice("offset=".length) ?? 0);
    const address = expression.findIndex((part) => Array.isArray(part));
    const need = kind === "load" ? READ : WRITE;
    const numbers = [offset, size, need, siteOf(name, operator, sites)].map(constant);
    expression[address] = ["call", "$fence.address", expression[address], ...numbers];
  } else if (operator === "memory.copy" || operator === "memory.fill") {
    const operands = expression.filter((part) => Array.isArray(part));
    const call = `$fence.${operator.slice("memory.".length)}`;
    expression.splice(0, expression.length, "call", call, ...operands, constant(siteOf(name, operator, sites)));
  } else if (/^memory\.(?!size$)|\.atomic\.|^data\.drop$/.test(operator)) {
    throw new Error(`${operator} in ${name} has no assertion`);
  }
}

function siteOf(name, operator, sites) {
  sites.push(`${operator} in ${name.replace(/^\$/, "")}`);
  return sites.length - 1;
}

const constant = (value) => ["i32.const", String(value)];

/** The text format as nested lists, without comments. The list of a module's fields, "module" first. */
function parse(text) {
  const stack = [[]];
  for (const [token] of text.matchAll(/;;[^\n]*|\(;[\s\S]*?;\)|"(?:[^"\\]|\\.)*"|[()]|[^\s()";]+/g)) {
    if (token.startsWith(";;") || token.startsWith("(;")) continue;
    if (token === "(") stack.push([]);
    else if (token === ")") stack.at(-2).push(stack.pop());
    else stack.at(-1).push(token);
  }
  return stack[0][0];
}

const write = (part) => (Array.isArray(part) ? `(${part.map(write).join(" ")})` : part);
