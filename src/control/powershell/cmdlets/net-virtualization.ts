/**
 * The cmdlets of the module NetWNV: New-, Get-, Set- and Remove- of the four tables, and the global settings. Which parameter does what is in
 * `policy-tables.ts`; here is what the verbs do with them.
 */
import type { Row, ScriptHost } from "../hosts.js";
import { isEqual } from "../operators.js";
import { isList, shown, Table, Thing, type Value } from "../values.js";
import { type Call, CIM, type Cmdlet, INPUT_OBJECT, type ParameterSpec } from "./cmdlet.js";
import { POLICY_TABLES, type PolicyTable, type Property } from "./policy-tables.js";

const PASS_THRU: ParameterSpec = { name: "PassThru", kind: "switch" };

function parameterOf(property: Property, use: "new" | "filter" | "set"): ParameterSpec {
  const { name, kind, values, isNewInR2 = false } = property;
  const parameter = { name, kind, isNewInR2, ...(values ? { values } : {}) };
  return use === "new"
    ? { ...parameter, isRequired: property.onNew === "required" }
    : { ...parameter, isList: use === "filter" };
}

function verbsOf(table: PolicyTable): readonly Cmdlet[] {
  const noun = `NetVirtualization${table.name}`;
  const { properties } = table;
  const filters = properties.map((property) => parameterOf(property, "filter"));
  return [
    {
      name: `New-${noun}`,
      parameters: [
        ...properties.filter(({ onNew }) => onNew !== "no").map((property) => parameterOf(property, "new")),
        ...CIM,
      ],
      changes: true,
      run: (call) => create(table, call),
    },
    {
      name: `Get-${noun}`,
      parameters: [...filters, ...CIM],
      run: (call) => {
        for (const row of matching(table, call, properties) ?? []) call.emit(objectOf(table, row, call.host));
      },
    },
    {
      name: `Set-${noun}`,
      parameters: [
        ...properties.filter(({ isKey }) => isKey).map((property) => parameterOf(property, "filter")),
        ...properties.filter(({ isSettable }) => isSettable).map((property) => parameterOf(property, "set")),
        INPUT_OBJECT,
        PASS_THRU,
        ...CIM,
      ],
      changes: true,
      run: (call) => change(table, call),
    },
    {
      name: `Remove-${noun}`,
      parameters: [...filters, INPUT_OBJECT, PASS_THRU, ...CIM],
      changes: true,
      run: (call) => remove(table, call),
    },
  ];
}

function create(table: PolicyTable, call: Call): void {
  const host = call.hosts.find(call.host);
  const properties: Record<string, Value> = {};
  for (const { name, standard } of table.properties) properties[name] = call.args.get(name) ?? standard;
  const row = table.complete({ properties, place: call.place }, call);
  if (row === undefined) return;
  const refusal = table.refusal(row, undefined, host, call);
  if (refusal) {
    call.fail(refusal.code, refusal.message, refusal.accepted);
    return;
  }
  put(table, call.hosts.host(call.host), row);
  call.emit(objectOf(table, row, call.host));
}

function put(table: PolicyTable, host: ScriptHost, row: Row): void {
  host.tables[table.list].set(table.identity(row), row);
}

/** What the filters or the objects given pick; undefined, and an error, where a filter finds nothing. */
function matching(table: PolicyTable, call: Call, keys: readonly Property[]): readonly Row[] | undefined {
  const rows = call.hosts.find(call.host)?.tables[table.list] ?? new Map<string, Row>();
  const given = call.args.get("InputObject");
  if (given !== undefined) return named(table, call, rows, given);
  call.budget.spend(1 + rows.size, call.place);
  const filters = keys.filter(({ name }) => call.args.has(name));
  let found = [...rows.values()];
  for (const { name } of filters) {
    const wanted = call.args.get(name)!;
    const choices = isList(wanted) ? wanted : [wanted];
    call.budget.spend(found.length * choices.length, call.place);
    found = found.filter(({ properties }) => choices.some((choice) => isEqual(properties[name] ?? null, choice)));
    if (found.length > 0) continue;
    const message = `no NetVirtualization${table.name} on ${call.host} has ${name} ${shown(wanted)}`;
    call.fail("NOT_FOUND", message);
    return undefined;
  }
  return found;
}

/** The rows that objects of the pipeline stand for. */
function named(table: PolicyTable, call: Call, rows: ReadonlyMap<string, Row>, given: Value): readonly Row[] {
  return (isList(given) ? given : [given]).flatMap((object) => {
    if (!(object instanceof Thing) || object.typeName !== `NetVirtualization${table.name}`) {
      call.fail("WRONG_OBJECT", `${shown(object)} is no NetVirtualization${table.name}`);
      return [];
    }
    const row = rows.get(table.identity(object.behind as Row));
    if (!row) call.fail("NOT_FOUND", `the NetVirtualization${table.name} is not there (any more) on ${call.host}`);
    return row ? [row] : [];
  });
}

function change(table: PolicyTable, call: Call): void {
  const rows = matching(
    table,
    call,
    table.properties.filter(({ isKey }) => isKey),
  );
  const host = call.hosts.find(call.host);
  if (!host) {
    if (rows) call.fail("NOT_FOUND", `${call.host} has no NetVirtualization${table.name}`);
    return;
  }
  if (rows?.length === 0 && !call.args.has("InputObject"))
    call.fail("NOT_FOUND", `${call.host} has no NetVirtualization${table.name}`);
  for (const row of rows ?? []) {
    const properties = { ...row.properties };
    for (const { name, isSettable } of table.properties) {
      if (isSettable && call.args.has(name)) properties[name] = call.args.get(name)!;
    }
    const changed: Row = { properties, place: call.place };
    const refusal = table.refusal(changed, row, host, call);
    if (refusal) call.fail(refusal.code, refusal.message, refusal.accepted);
    else {
      put(table, host, changed);
      if (call.args.get("PassThru") === true) call.emit(objectOf(table, changed, call.host));
    }
  }
}

function remove(table: PolicyTable, call: Call): void {
  const rows = matching(table, call, table.properties) ?? [];
  const host = call.hosts.find(call.host);
  if (!host) return;
  for (const row of rows) {
    host.tables[table.list].delete(table.identity(row));
    if (call.args.get("PassThru") === true) call.emit(objectOf(table, row, call.host));
  }
}

/** The row as the cmdlets print it. */
function objectOf(table: PolicyTable, row: Row, host: string): Thing {
  const shownRow = new Table();
  for (const { name } of table.properties) shownRow.set(name, row.properties[name] ?? null);
  shownRow.set("PSComputerName", host);
  return new Thing(`NetVirtualization${table.name}`, shownRow, null, row, host);
}

const GLOBAL: readonly Cmdlet[] = [
  {
    name: "Get-NetVirtualizationGlobal",
    parameters: [{ name: "UseExternalRouter", kind: "boolean", isList: true }, ...CIM],
    run: (call) => {
      const value = call.hosts.find(call.host)?.useExternalRouter?.value ?? false;
      const wanted = call.args.get("UseExternalRouter");
      if (isList(wanted ?? null) && !(wanted as readonly Value[]).includes(value)) return;
      const properties = new Table().set("UseExternalRouter", value).set("PSComputerName", call.host);
      call.emit(new Thing("NetVirtualizationGlobal", properties));
    },
  },
  {
    name: "Set-NetVirtualizationGlobal",
    parameters: [{ name: "UseExternalRouter", kind: "boolean" }, INPUT_OBJECT, PASS_THRU, ...CIM],
    changes: true,
    run: (call) => {
      const value = call.args.get("UseExternalRouter");
      if (typeof value === "boolean") call.hosts.host(call.host).useExternalRouter = { value, place: call.place };
    },
  },
];

export const NET_VIRTUALIZATION: readonly Cmdlet[] = [...POLICY_TABLES.flatMap(verbsOf), ...GLOBAL];
