/**
 * Policy as PowerShell prints it: `Get-NetVirtualizationLookupRecord | ConvertTo-Json` and its kin, as a fabric file.
 *
 *     one object or a list            of any of the five classes, told by their properties
 *     several documents               one after the other, as when several commands append to one file
 *     { "LookupRecord": …, … }        one object, keyed by cmdlet or class
 *     { "value": […], "Count": n }    what Windows PowerShell makes of some lists
 *
 * Such a text says what the tables hold and not what the host is. So the host is made up around them: NICs from the interface indexes,
 * VMs from the records that name the host's own provider addresses, neighbors from those that name others. All problems lead back to
 * line and column of the text.
 */
import type { Path } from "../../problem.js";
import { Lines } from "../lines.js";
import type { Source, SourcePosition, SourceProblem } from "../source.js";
import { CLASSES, classNamed, type PolicyClass, putField } from "./classes.js";
import { documentsOf, elementsOf, JsonError, type Member, membersOf, readValue, type Span, spanAt } from "./json.js";
import { policySource } from "./policy-source.js";
import type { Origin, PolicyLists, PolicyObject } from "./surroundings.js";

const POLICY_PROPERTY =
  /"(?:CustomerAddress|DestinationPrefix|ProviderAddress|UseExternalRouter|RoutingDomainID|(?:Get-)?NetVirtualization\w+)"\s*:/;
/** Where a fabric file in JSON says what it is, and policy its first properties. */
const HEAD_LENGTH = 65_536;
/** A million records with all that CIM adds is more; without it (`Select-Object`) it is not. */
const LENGTH_MAX = 256 * 1024 * 1024;
const DEPTH_MAX = 16;

/** Is the text policy, and no fabric file? */
export function isPolicyJson(text: string): boolean {
  const head = text.slice(0, HEAD_LENGTH);
  return /^[\s\ufeff]*[[{]/.test(head) && POLICY_PROPERTY.test(head) && !/"apiVersion"\s*:/.test(head);
}

export function readPolicyJson(text: string): Source {
  const reader = new PolicyReader(text);
  try {
    if (text.length > LENGTH_MAX) throw new JsonError(`the text has more than ${LENGTH_MAX} characters`, 0);
    for (const document of documentsOf(text)) reader.read(document, undefined, 0);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return reader.broken(error);
  }
  return reader.source();
}

class PolicyReader {
  readonly #lists: PolicyLists = { lookupRecords: [], customerRoutes: [], providerAddresses: [], providerRoutes: [] };
  readonly #globals: PolicyObject[] = [];
  readonly #hosts: string[] = [];
  readonly #problems: SourceProblem[] = [];
  readonly #warnings: SourceProblem[] = [];
  #lines: Lines | undefined;

  constructor(private readonly text: string) {}

  /** Takes the objects out of a value. `known` is the class that a key around it names. */
  read(span: Span, known: PolicyClass | undefined, depth: number): void {
    const { text } = this;
    const first = text[span.start];
    if (depth > DEPTH_MAX || (first !== "{" && first !== "[")) {
      this.#problem(span.start, "POLICY_NO_OBJECT", "expected an object that a Get-NetVirtualization… cmdlet printed");
      return;
    }
    if (first === "[") {
      for (const element of elementsOf(text, span)) this.read(element, known, depth + 1);
      return;
    }
    const members = membersOf(text, span);
    const wrapped = members.find(({ key }) => key === "value");
    if (wrapped && members.every(({ key }) => key === "value" || key === "Count")) {
      this.read(wrapped, known, depth + 1);
      return;
    }
    if (members.length > 0 && members.every(({ key }) => classNamed(key))) {
      for (const member of members) {
        if (text[member.start] !== "n") this.read(member, classNamed(member.key), depth + 1); // null: the cmdlet printed nothing
      }
      return;
    }
    this.#object(span, members, known);
  }

  #object(span: Span, members: readonly Member[], known: PolicyClass | undefined): void {
    const properties = new Set(members.map(({ key }) => key));
    const isA = known ?? CLASSES.find((candidate) => candidate.has(properties));
    if (!isA) {
      const cure = `what ${CLASSES.map(({ name }) => `Get-NetVirtualization${name}`).join(", ")} print is read`;
      this.#problem(span.start, "POLICY_UNKNOWN_OBJECT", "this object has no property that policy has", cure);
      return;
    }
    const raw: Record<string, unknown> = {};
    const host = this.#hostOf(members);
    if (host !== undefined) raw.host = host;
    for (const member of members) {
      const isField = putField(raw, isA, member.key, () => readValue(this.text, member));
      if (!isField) this.#notice(member);
    }
    (isA.list === null ? this.#globals : this.#lists[isA.list]).push({ raw, offset: span.start });
  }

  /** What Windows knows about an object and the lab does not. */
  #notice(member: Member): void {
    const warn = (code: string, message: string): void => {
      this.#warnings.push({ ...this.#at(member.start), code, message, derails: false });
    };
    const value = (): unknown => readValue(this.text, member);
    if (member.key === "Unusable" && value() === true) {
      warn("RECORD_UNUSABLE", "the host found this record unusable; the lab uses it");
    } else if (member.key === "AddressState" && !["Preferred", 4, null].includes(value() as string)) {
      warn("PA_STATE", `the address was in state ${String(value())} on the host; in the lab it is Preferred`);
    }
  }

  /** The computer that a CIM session went to, else the one that CIM itself names. */
  #hostOf(members: readonly Member[]): string | undefined {
    const valueAt = (key: string): unknown => {
      const member = members.find((candidate) => candidate.key === key);
      return member && readValue(this.text, member);
    };
    const system = valueAt("CimSystemProperties"); // an object, or its name where ConvertTo-Json did not go so deep
    const server = typeof system === "object" && system !== null && "ServerName" in system ? system.ServerName : null;
    const name = [valueAt("PSComputerName"), server].find((value) => typeof value === "string" && value !== "");
    if (typeof name !== "string") return undefined;
    if (!this.#hosts.includes(name)) this.#hosts.push(name);
    return name;
  }

  #problem(offset: number, code: string, message: string, cure?: string): void {
    this.#problems.push({
      ...this.#at(offset),
      code,
      message,
      derails: false,
      ...(cure === undefined ? {} : { cure }),
    });
  }

  broken({ message, offset }: JsonError): Source {
    const at = this.#at(offset);
    const problem = { ...at, code: "JSON_SYNTAX", message, derails: true };
    return { plain: undefined, problems: [problem], warnings: [], position: () => at, keyPosition: () => at };
  }

  source(): Source {
    const { plain, originOf } = policySource({ lists: this.#lists, globals: this.#globals, hosts: this.#hosts });
    if (this.#lists.providerAddresses.length === 0) {
      const cure = "append the output of: Get-NetVirtualizationProviderAddress | ConvertTo-Json";
      this.#problem(
        0,
        "NO_PROVIDER_ADDRESS",
        "no object is a provider address, so none of the records is of this host",
        cure,
      );
    }
    const position = (path: Path): SourcePosition => {
      const found = originOf(path);
      return this.#at(found ? this.#propertyOffset(found.origin, found.field) : 0);
    };
    return { plain, problems: this.#problems, warnings: this.#warnings, position, keyPosition: position };
  }

  /** The value of a field within its object; the object, where there is no such property. */
  #propertyOffset({ list, offset }: Origin, field: string | number | undefined): number {
    const { fields } = CLASSES.find((candidate) => candidate.list === list)!;
    const found = membersOf(this.text, spanAt(this.text, offset)).find(
      ({ key }) => Object.hasOwn(fields, key) && fields[key] === field,
    );
    return found?.start ?? offset;
  }

  #at(offset: number): SourcePosition {
    this.#lines ??= new Lines(this.text);
    return this.#lines.position(offset);
  }
}
