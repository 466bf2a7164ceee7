/** Select-NetVirtualizationNextHop (2012 R2): the decision that forwards, asked of the tables as they are at this point of the script. */
import { PolicyError } from "../../../dataplane/policy/index.js";
import { queryNextHop } from "../../../dataplane/slowpath/index.js";
import { formatAddress, formatMac, type Mac, parseAddress, type Vsid } from "../../../dataplane/wire/index.js";
import { Table, Thing, toText, type Value } from "../values.js";
import { type Call, CIM, type Cmdlet } from "./cmdlet.js";
import { policyOf } from "./policy-tables.js";

function select(call: Call): void {
  const host = call.hosts.find(call.host);
  call.budget.spend(1 + (host?.tables.lookupRecords.size ?? 0), call.place);
  const text = (name: string): Value => call.args.get(name) ?? null;
  const source = parseAddress(toText(text("SourceCustomerAddress"))) ?? null;
  const destination = parseAddress(toText(text("DestinationCustomerAddress")))!;
  const vsid = Number(text("SourceVirtualSubnetID")) as Vsid;
  try {
    const answer = queryNextHop(policyOf(host, call.hosts.mode), { source, destination, vsid });
    if ("reason" in answer) {
      call.fail("NO_NEXT_HOP", answer.why);
      return;
    }
    const properties = new Table()
      .set("SourceCustomerAddress", source && formatAddress(source))
      .set("DestinationCustomerAddress", formatAddress(destination))
      .set("NextHopAddress", formatAddress(answer.address))
      .set("SourceVirtualSubnetID", vsid)
      .set("NextHopMACAddress", bare(answer.mac))
      .set("SourceMACAddress", answer.sourceMac === null ? null : bare(answer.sourceMac));
    call.emit(new Thing("NetVirtualizationNextHopLookup", properties));
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    call.fail(error.code, error.message, error.accepted);
  }
}

const bare = (mac: Mac): string => formatMac(mac).replaceAll("-", "");

export const SELECT_NEXT_HOP: Cmdlet = {
  name: "Select-NetVirtualizationNextHop",
  parameters: [
    { name: "SourceCustomerAddress", kind: "address", position: 0 },
    { name: "DestinationCustomerAddress", kind: "address", position: 1, isRequired: true },
    { name: "SourceVirtualSubnetID", kind: "uint32", position: 2, isRequired: true },
    ...CIM,
  ],
  changes: true, // it has -WhatIf and -Confirm, and changes nothing
  isNewInR2: true,
  run: select,
};
