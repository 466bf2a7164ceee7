/** Other computers: sessions, and blocks that are sent there. Nothing leaves this machine; a session is a name. */
import { Code, isList, objectsOf, Table, Thing, toText, type Value } from "../values.js";
import type { Call, Cmdlet, ParameterSpec } from "./cmdlet.js";

const COMPUTERS: ParameterSpec = {
  name: "ComputerName",
  aliases: ["CN", "Cn"],
  kind: "string",
  isList: true,
  position: 0,
  fromPipeline: true,
};
const INDIFFERENT: readonly ParameterSpec[] = [
  { name: "Credential", kind: "object" },
  { name: "Authentication", kind: "string" },
  { name: "Name", kind: "string" },
  { name: "Port", kind: "uint32" },
  { name: "UseSSL", kind: "switch" },
  { name: "ThrottleLimit", kind: "int32" },
  { name: "SessionOption", kind: "object" },
  { name: "ConfigurationName", kind: "string" },
];

function open(call: Call): void {
  const names = call.args.get("ComputerName") ?? call.host;
  for (const name of isList(names) ? names : [names]) {
    const properties = new Table().set("ComputerName", name).set("Name", toText(name));
    call.emit(new Thing("CimSession", properties));
  }
}

const nothing = (): void => {};

function invoke(call: Call): void {
  const block = call.args.get("ScriptBlock");
  if (!(block instanceof Code)) {
    call.fail("MISSING_PARAMETER", "Invoke-Command needs a script block", "files with scripts are not opened");
    return;
  }
  const computers = call.args.get("ComputerName");
  const sessions = call.args.get("Session");
  const args = objectsOf(call.args.get("ArgumentList") ?? null);
  if (computers === undefined && sessions === undefined) {
    for (const value of call.runBlock(block, null)) call.emit(value);
    return;
  }
  for (const target of objectsOf(computers ?? sessions ?? null)) {
    const name = target instanceof Thing ? toText(target.properties.get("ComputerName") ?? null) : toText(target);
    const host = /^(?:localhost|\.)$/i.test(name) ? call.host : name;
    if (!call.hosts.isKnown(host)) {
      call.fail("UNKNOWN_HOST", `there is no host ${JSON.stringify(host)}`, `known are ${call.hosts.known.join(", ")}`);
      continue;
    }
    for (const value of call.runOn(host, block, args)) {
      if (value instanceof Thing) value.properties.set("PSComputerName", host);
      call.emit(value as Value);
    }
  }
}

export const SESSIONS: readonly Cmdlet[] = [
  {
    name: "New-CimSession",
    parameters: [COMPUTERS, ...INDIFFERENT, { name: "SkipTestConnection", kind: "switch" }],
    run: open,
  },
  { name: "New-PSSession", parameters: [COMPUTERS, ...INDIFFERENT], run: open },
  {
    name: "Remove-CimSession",
    parameters: [
      { name: "CimSession", kind: "object", isList: true, position: 0, fromPipeline: true },
      { ...COMPUTERS, position: 1, fromPipeline: false },
    ],
    changes: true,
    run: nothing,
  },
  {
    name: "Remove-PSSession",
    parameters: [
      { name: "Session", kind: "object", isList: true, position: 0, fromPipeline: true },
      { ...COMPUTERS, position: 1, fromPipeline: false },
    ],
    changes: true,
    run: nothing,
  },
  {
    name: "Invoke-Command",
    parameters: [
      { ...COMPUTERS, fromPipeline: false },
      { name: "ScriptBlock", aliases: ["Command"], kind: "block", position: 1 },
      { name: "Session", kind: "object", isList: true },
      { name: "ArgumentList", aliases: ["Args"], kind: "object" },
      { name: "FilePath", kind: "string" },
      { name: "AsJob", kind: "switch" },
      { name: "HideComputerName", kind: "switch" },
      { name: "InputObject", kind: "object", isList: true, fromPipeline: true },
      ...INDIFFERENT.filter(({ name }) => name !== "Name"),
    ],
    takesAll: true,
    run: invoke,
  },
  {
    name: "Import-Module",
    parameters: [
      { name: "Name", kind: "string", isList: true, position: 0, fromPipeline: true },
      { name: "Force", kind: "switch" },
      { name: "Global", kind: "switch" },
      { name: "DisableNameChecking", kind: "switch" },
      { name: "PassThru", kind: "switch" },
    ],
    run: nothing,
  },
  {
    name: "Get-Credential",
    parameters: [
      { name: "Credential", kind: "object", position: 0 },
      { name: "UserName", kind: "string" },
      { name: "Message", kind: "string" },
    ],
    run: (call) => call.emit(new Thing("PSCredential", new Table().set("UserName", ""), "")),
  },
];
