/** Other computers: sessions, and blocks that are sent there. Nothing leaves this machine; a session is a name. */
import { Code, isList, objectsOf, Table, Thing, toText } from "../values.js";
import { type Call, type Cmdlet, INPUT_OBJECT, named, type ParameterSpec, positioned } from "./cmdlet.js";

const COMPUTERS: ParameterSpec = {
  name: "ComputerName",
  aliases: ["Cn"],
  kind: "string",
  isList: true,
  position: 0,
  fromPipeline: true,
};
/** Of no matter where nobody is asked for a password. */
const INDIFFERENT: readonly ParameterSpec[] = [
  ...named("object", "Credential", "SessionOption"),
  ...named("string", "Authentication", "ConfigurationName"),
  ...named("uint32", "Port", "ThrottleLimit"),
  ...named("switch", "UseSSL"),
];
const NAME = named("string", "Name");

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
  for (const host of call.hostsOf(computers ?? sessions ?? null)) {
    for (const value of call.runOn(host, block, args)) {
      if (value instanceof Thing) value.properties.set("PSComputerName", host);
      call.emit(value);
    }
  }
}

const remover = (name: string, sessions: string): Cmdlet => ({
  name,
  parameters: [
    { name: sessions, kind: "object", isList: true, position: 0, fromPipeline: true },
    { ...COMPUTERS, position: 1, fromPipeline: false },
    ...NAME,
  ],
  changes: true,
  run: nothing,
});

export const SESSIONS: readonly Cmdlet[] = [
  {
    name: "New-CimSession",
    parameters: [COMPUTERS, ...NAME, ...INDIFFERENT, ...named("switch", "SkipTestConnection")],
    run: open,
  },
  { name: "New-PSSession", parameters: [COMPUTERS, ...NAME, ...INDIFFERENT], run: open },
  remover("Remove-CimSession", "CimSession"),
  remover("Remove-PSSession", "Session"),
  {
    name: "Invoke-Command",
    parameters: [
      { ...COMPUTERS, fromPipeline: false },
      { name: "ScriptBlock", aliases: ["Command"], kind: "block", position: 1 },
      { name: "Session", kind: "object", isList: true },
      { name: "ArgumentList", aliases: ["Args"], kind: "object" },
      ...named("string", "FilePath"),
      ...named("switch", "AsJob", "HideComputerName"),
      ...INDIFFERENT,
      INPUT_OBJECT,
    ],
    takesAll: true,
    run: invoke,
  },
  {
    name: "Import-Module",
    parameters: [
      { name: "Name", kind: "string", isList: true, position: 0, fromPipeline: true },
      ...named("switch", "Force", "Global", "DisableNameChecking", "PassThru"),
    ],
    run: nothing,
  },
  {
    name: "Get-Credential",
    parameters: [...positioned("object", "Credential"), ...named("string", "UserName", "Message")],
    run: (call) => call.emit(new Thing("PSCredential", new Table().set("UserName", ""), "")),
  },
];
