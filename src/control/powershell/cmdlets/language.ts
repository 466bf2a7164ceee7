/** Cmdlets that handle objects of the pipeline and text, whatever these are about. */
import { property } from "../members.js";
import { binary } from "../operators.js";
import { Code, guidThing, isTrue, objectsOf, oneValue, Table, Thing, toText, type Value } from "../values.js";
import { type Call, type Cmdlet, INPUT_OBJECT, named, type ParameterSpec, positioned } from "./cmdlet.js";

/** What came through the pipeline, or as -InputObject. */
const inputOf = (call: Call): readonly Value[] => call.input ?? objectsOf(call.args.get("InputObject") ?? null);

const COMPARISONS = [
  "EQ",
  "NE",
  "GT",
  "GE",
  "LT",
  "LE",
  "Like",
  "NotLike",
  "Match",
  "NotMatch",
  "Contains",
  "NotContains",
  "In",
  "NotIn",
];

/** Where-Object { … }, and Where-Object Name -eq value */
function where(call: Call): void {
  const filter = call.args.get("FilterScript");
  const name = call.args.get("Property");
  const comparison = COMPARISONS.find((operator) => call.args.has(operator));
  for (const item of inputOf(call)) {
    if (filter instanceof Code) {
      if (isTrue(oneValue(call.runBlock(filter, item)))) call.emit(item);
    } else if (name !== undefined) {
      const value = property(item, toText(name), call);
      const wanted = comparison === undefined ? undefined : call.args.get(comparison)!;
      const holds = wanted === undefined ? value : binary(comparison!.toLowerCase(), value, wanted, call);
      if (isTrue(holds)) call.emit(item);
    }
  }
}

function forEach(call: Call): void {
  const block = (name: string): void => {
    const code = call.args.get(name);
    if (code instanceof Code) for (const value of call.runBlock(code, null)) call.emit(value);
  };
  const work = call.args.get("Process");
  const member = call.args.get("MemberName");
  block("Begin");
  for (const item of inputOf(call)) {
    if (work instanceof Code) for (const value of call.runBlock(work, item)) call.emit(value);
    else if (member !== undefined)
      for (const value of objectsOf(property(item, toText(member), call))) call.emit(value);
  }
  block("End");
}

function select(call: Call): void {
  let items = inputOf(call);
  const count = (name: string): number | undefined => {
    const value = call.args.get(name);
    return value === undefined ? undefined : Math.max(0, Number(value));
  };
  items = items.slice(count("Skip") ?? 0);
  const [first, last] = [count("First"), count("Last")];
  if (first !== undefined) items = items.slice(0, first);
  if (last !== undefined) items = last === 0 ? [] : items.slice(-last);
  const expand = call.args.get("ExpandProperty");
  const names = call.args.get("Property");
  const found = items.flatMap((item) => {
    if (expand !== undefined) return objectsOf(property(item, toText(expand), call));
    return names === undefined ? [item] : [selected(item, objectsOf(names), call)];
  });
  for (const item of call.args.get("Unique") === true ? distinct(found, call) : found) call.emit(item);
}

function distinct(items: readonly Value[], call: Call): readonly Value[] {
  call.budget.spend(items.length, call.place);
  const seen = new Set<string>();
  return items.filter((item) => {
    const text = toText(item).toLowerCase();
    return !seen.has(text) && seen.add(text);
  });
}

function selected(item: Value, names: readonly Value[], call: Call): Thing {
  const properties = new Table();
  for (const name of names) {
    if (name instanceof Table) {
      const label = name.get("Name") ?? name.get("n") ?? name.get("Label") ?? name.get("l") ?? null;
      const how = name.get("Expression") ?? name.get("e") ?? null;
      properties.set(
        toText(label),
        how instanceof Code ? oneValue(call.runBlock(how, item)) : property(item, toText(how), call),
      );
    } else if (toText(name) === "*" && item instanceof Thing) {
      for (const [key, value] of item.properties.entries()) properties.set(key, value);
    } else properties.set(toText(name), property(item, toText(name), call));
  }
  return new Thing("Selected", properties, null, item instanceof Thing ? item.behind : null);
}

function sort(call: Call): void {
  const by = call.args.get("Property");
  const items = [...inputOf(call)];
  call.budget.spend(items.length * 16, call.place);
  const keyOf = (item: Value): Value =>
    by === undefined ? item : by instanceof Code ? oneValue(call.runBlock(by, item)) : property(item, toText(by), call);
  const keyed = items.map((item) => ({ item, key: keyOf(item) }));
  const sign = call.args.get("Descending") === true ? -1 : 1;
  keyed.sort((a, b) => sign * compare(a.key, b.key));
  const sorted = keyed.map(({ item }) => item);
  for (const item of call.args.get("Unique") === true ? distinct(sorted, call) : sorted) call.emit(item);
}

function compare(a: Value, b: Value): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const [x, y] = [toText(a).toLowerCase(), toText(b).toLowerCase()];
  return x < y ? -1 : x > y ? 1 : 0;
}

function measure(call: Call): void {
  call.emit(new Thing("Measure", new Table().set("Count", inputOf(call).length)));
}

const write =
  (print: (call: Call, text: string) => void): Cmdlet["run"] =>
  (call) => {
    const given = call.args.get("Object");
    const values = given === undefined ? (call.input ?? []) : [given];
    for (const value of values) print(call, toText(value));
  };

const MESSAGE: readonly ParameterSpec[] = [
  {
    name: "Object",
    aliases: ["Message", "Msg", "MessageData", "InputObject"],
    kind: "object",
    position: 0,
    takesRest: true,
  },
  ...named("string", "ForegroundColor", "BackgroundColor", "Category", "ErrorId"),
  ...named("switch", "NoNewline", "NoEnumerate"),
  ...named("object", "Separator", "TargetObject"),
];
function show(call: Call): void {
  const names = call.args.get("Property");
  for (const item of inputOf(call)) call.show(names === undefined ? item : selected(item, objectsOf(names), call));
}
function newObject(call: Call): void {
  const type = toText(call.args.get("TypeName") ?? null).toLowerCase();
  if (type.endsWith("psobject") || type === "object" || type === "system.object") {
    const given = call.args.get("Property");
    const properties = new Table();
    if (given instanceof Table) for (const [name, value] of given.entries()) properties.set(name, value);
    call.emit(new Thing("PSCustomObject", properties));
  } else if (/(?:^|\.)(?:arraylist|list\[(?:string|object)\])$/.test(type)) call.emit([]);
  else call.fail("UNKNOWN_TYPE", `objects of the type ${type} are not known here`);
}

function addMember(call: Call): void {
  for (const item of inputOf(call)) {
    const name = call.args.get("Name");
    if (item instanceof Thing && name !== undefined) {
      call.budget.list(item.properties.size + 1, call.place, 1);
      item.properties.set(toText(name), call.args.get("Value") ?? null);
    }
    if (call.args.get("PassThru") === true) call.emit(item);
  }
}

/** A cmdlet that is handed all objects of the pipeline at once. */
const forAll = (name: string, run: Cmdlet["run"], ...parameters: readonly ParameterSpec[]): Cmdlet => ({
  name,
  parameters: [...parameters, INPUT_OBJECT],
  takesAll: true,
  run,
});
/** The same of messages, whose own parameter is the object. */
const ofMessages = (name: string, run: Cmdlet["run"]): Cmdlet => ({ name, parameters: MESSAGE, takesAll: true, run });

export const LANGUAGE: readonly Cmdlet[] = [
  forAll(
    "Where-Object",
    where,
    ...positioned("block", "FilterScript"),
    ...positioned("string", "Property"),
    { name: "Value", kind: "object", position: 1 },
    ...COMPARISONS.map((name): ParameterSpec => ({ name, kind: "object", aliases: [`C${name}`, `I${name}`] })),
  ),
  forAll(
    "ForEach-Object",
    forEach,
    ...positioned("block", "Process"),
    ...positioned("string", "MemberName"),
    ...named("block", "Begin", "End"),
  ),
  forAll(
    "Select-Object",
    select,
    ...positioned("object", "Property"),
    ...named("string", "ExpandProperty"),
    ...named("int32", "First", "Last", "Skip"),
    ...named("switch", "Unique"),
  ),
  forAll("Sort-Object", sort, ...positioned("object", "Property"), ...named("switch", "Descending", "Unique")),
  forAll("Measure-Object", measure, ...positioned("object", "Property"), ...named("switch", "Sum")),
  forAll("Out-Null", () => {}),
  ...["Out-Host", "Out-Default", "Out-String", "Format-Table", "Format-List", "Format-Wide"].map((name) =>
    forAll(
      name,
      show,
      ...positioned("object", "Property"),
      ...named("object", "GroupBy"),
      ...named("switch", "AutoSize", "Wrap", "HideTableHeaders"),
      ...named("int32", "Width"),
    ),
  ),
  forAll(
    "Add-Member",
    addMember,
    { name: "MemberType", aliases: ["Type"], kind: "string", position: 0 },
    { name: "Name", aliases: ["NotePropertyName"], kind: "string", position: 1 },
    { name: "Value", aliases: ["NotePropertyValue"], kind: "object", position: 2 },
    ...named("switch", "Force", "PassThru"),
  ),
  { name: "New-Guid", parameters: [], run: (call) => call.emit(guidThing(call.newGuid())) },
  {
    name: "New-Object",
    parameters: [
      { name: "TypeName", aliases: ["Type"], kind: "string", position: 0, isRequired: true },
      { name: "ArgumentList", aliases: ["Args"], kind: "object", position: 1 },
      ...named("object", "Property"),
    ],
    run: newObject,
  },
  ofMessages(
    "Write-Host",
    write((call, text) => call.say(text)),
  ),
  ofMessages("Write-Output", (call) => {
    for (const value of call.args.has("Object") ? objectsOf(call.args.get("Object")!) : (call.input ?? [])) {
      call.emit(value);
    }
  }),
  ofMessages(
    "Write-Warning",
    write((call, text) => call.say(`WARNING: ${text}`)),
  ),
  ofMessages(
    "Write-Error",
    write((call, text) => call.fail("SCRIPT_WRITES_ERROR", text)),
  ),
  ...["Write-Verbose", "Write-Debug", "Write-Information"].map((name) => ofMessages(name, () => {})),
  {
    name: "Write-Progress",
    parameters: [
      ...positioned("object", "Activity", "Status", "Id"),
      ...named("object", "PercentComplete", "ParentId", "CurrentOperation", "SecondsRemaining"),
      ...named("switch", "Completed"),
    ],
    run: () => {},
  },
  {
    name: "Start-Sleep",
    parameters: [...positioned("object", "Seconds"), ...named("object", "Milliseconds")],
    run: () => {},
  },
];
