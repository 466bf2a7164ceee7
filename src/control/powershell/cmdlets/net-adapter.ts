/** Network interfaces of a host. A lab knows none before a script names them, so each name is one's that is there. */
import type { Nic } from "../hosts.js";
import { isLike } from "../patterns.js";
import { isList, Table, Thing, toText, Unknown, type Value } from "../values.js";
import { type Call, CIM, type Cmdlet, INPUT_OBJECT, named, type ParameterSpec } from "./cmdlet.js";

const NAME: ParameterSpec = {
  name: "Name",
  aliases: ["ifAlias", "InterfaceAlias"],
  kind: "string",
  isList: true,
  position: 0,
};
const UNNAMED = "Ethernet";

const texts = (value: Value | undefined): readonly string[] =>
  value === undefined ? [] : (isList(value) ? value : [value]).map(toText);

/** A name as far as it is one: a pattern without its wildcards. */
const plainName = (text: string): string => text.replace(/[*?]/g, "").trim() || UNNAMED;

function nicsNamed(call: Call): readonly Nic[] {
  const host = call.hosts.host(call.host);
  const indexes = call.args.get("InterfaceIndex");
  if (indexes !== undefined) return (isList(indexes) ? indexes : [indexes]).map((index) => host.nicAt(Number(index)));
  const names = [...texts(call.args.get("Name")), ...texts(call.args.get("InterfaceDescription"))];
  if (names.length === 0) return host.nics.length > 0 ? host.nics : [host.nic(UNNAMED)];
  return names.flatMap((name) => {
    const known = host.nics.filter((nic) => isLike(nic.name, name));
    return known.length > 0 ? known : [host.nic(plainName(name))];
  });
}

function emitNic(call: Call, nic: Nic): void {
  const host = call.hosts.host(call.host);
  const isMadeUp = nic.name === UNNAMED;
  const name = isMadeUp
    ? new Unknown(
        (text) => host.renameNic(nic, plainName(text)),
        () => nic.name,
      )
    : nic.name;
  const properties = new Table()
    .set("Name", name)
    .set("InterfaceAlias", name)
    .set("InterfaceDescription", name)
    .set("InterfaceIndex", nic.index)
    .set("ifIndex", nic.index)
    .set("MacAddress", null)
    .set("Status", "Up")
    .set("PSComputerName", call.host);
  call.emit(new Thing("NetAdapter", properties, null, nic, call.host));
}

/** The component of the module; the second is a misprint that goes round. */
const COMPONENTS = ["ms_netwnv", "ms_netwv"];

function bind(call: Call): void {
  for (const component of texts(call.args.get("ComponentID"))) {
    if (component.toLowerCase() !== COMPONENTS[1]) continue;
    call.warn("COMPONENT_MISPRINT", `${component} is a misprint, taken for ${COMPONENTS[0]}`, `write ${COMPONENTS[0]}`);
  }
}

const BINDING: readonly ParameterSpec[] = [
  NAME,
  ...["InterfaceDescription", "ComponentID", "DisplayName"].map(
    (name): ParameterSpec => ({ name, kind: "string", isList: true }),
  ),
  ...named("switch", "AllBindings", "IncludeHidden", "PassThru"),
  INPUT_OBJECT,
  ...CIM,
];

export const NET_ADAPTER: readonly Cmdlet[] = [
  {
    name: "Get-NetAdapter",
    parameters: [
      { ...NAME, fromPipeline: true },
      { name: "InterfaceDescription", aliases: ["ifDesc"], kind: "string", isList: true },
      { name: "InterfaceIndex", aliases: ["ifIndex"], kind: "uint32", isList: true },
      ...named("switch", "Physical", "IncludeHidden"),
      ...CIM,
    ],
    run: (call) => {
      for (const nic of nicsNamed(call)) emitNic(call, nic);
    },
  },
  { name: "Enable-NetAdapterBinding", parameters: BINDING, changes: true, run: bind },
  { name: "Disable-NetAdapterBinding", parameters: BINDING, changes: true, run: bind },
];
