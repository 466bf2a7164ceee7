/**
 * The schema of the fabric file: what may stand where, and what each field means.
 *
 * Published as docs/fabric-file.schema.json, so that editors complete it; docs/FABRIC-FILE.md explains it in prose.
 * Two levels share one file: the fabric (routing domains, hosts, VMs; short words) from which records are derived, and the
 * raw records (the NetWNV cmdlets' parameter names with a lower first letter), which win over derived ones.
 *
 * Nothing is defaulted here: what stands in a document is what was written, so that it can be shown and exported again.
 * All objects are strict: a misspelt field is an error, never ignored.
 */
import { z } from "zod";
import { INDIRECTION_TABLE_SIZE, NIC_FAULTS, TUNNEL_FAMILIES } from "../../dataplane/slowpath/index.js";
import {
  address,
  flag,
  freeText,
  guid,
  mac,
  metric,
  mtu,
  name,
  portName,
  portVsid,
  prefix,
  prefixLength,
  vlan,
  vsid,
} from "./scalars.js";

export const API_VERSION = "hnv/v1";

const DEFAULT_GATEWAY_MAC = "02-00-5E-00-01-01";

const mode = z.enum(["2012", "2012R2"]).meta({
  description: "The Windows Server whose data plane is emulated. A bare 2012 is read as text.",
  default: "2012R2",
});

const settings = z
  .strictObject({
    flowId: z
      .enum(["hash", "zero"])
      .optional()
      .meta({ description: "FlowID of what is sent: a hash of the inner flow, or always 0.", default: "hash" }),
    ecn: z.enum(["normal", "compat", "linux"]).optional().meta({
      description: "Outer ECN: RFC 6040 normal mode, RFC 6040 compatibility mode, or what Linux does.",
      default: "normal",
    }),
    dscp: z
      .union([z.enum(["pipe", "uniform"]), z.int().min(0).max(63)], {
        error: "expected uniform, pipe or a number from 0 to 63",
      })
      .optional()
      .meta({
        description:
          "Outer DSCP (RFC 2983): a number is the constant of the pipe model, pipe means 0, uniform copies the inner DSCP.",
        default: "pipe",
      }),
    receive: z.enum(["strict", "lenient"]).optional().meta({
      description: "lenient also accepts GRE with a checksum or a sequence number.",
      default: "strict",
    }),
    flood: z.enum(["l2only", "always"]).optional().meta({
      description:
        "Broadcast and multicast reach other hosts in every virtual subnet, or only where a record is L2Only.",
      default: "always",
    }),
    sendControlMessages: z.boolean().optional().meta({
      description: "Tell hosts that send what cannot be delivered: REDIRECT and UNREACHABLE. In mode 2012 never.",
      default: true,
    }),
    acceptRedirect: z.boolean().optional().meta({
      description: "Obey a REDIRECT until the lookup record is rewritten, for a minute at most. In mode 2012 never.",
      default: true,
    }),
    learnPathMtu: z.boolean().optional().meta({
      description: "Believe routers of the provider network that tell the MTU of a path, for ten minutes.",
      default: true,
    }),
    resolve: z.enum(["static", "wire"]).optional().meta({
      description:
        "wire: hosts ask for provider neighbors, and answer for their provider addresses, by ARP and ND. static: all are known. Left out: wire for hosts that a live run puts on a network, else static.",
    }),
    duplicateAddressDetection: z.boolean().optional().meta({
      description: "With resolve: wire, find out whether a provider address is free before using it.",
      default: true,
    }),
    innerFragmentation: z.boolean().optional().meta({
      description:
        "Cut IPv4 packets without DF that do not fit the provider path, each fragment an NVGRE packet of its own.",
      default: true,
    }),
    mssClamp: z.boolean().optional().meta({
      description: "Lower the segment size that SYN packets announce to what the provider path holds.",
      default: false,
    }),
    outerFragmentation: z.boolean().optional().meta({
      description: "Fragment NVGRE packets that do not fit. Breaks RFC 7637 §4.4; receivers need reassembly.",
      default: false,
    }),
    reassembly: z.boolean().optional().meta({
      description: "Put fragments of NVGRE packets together; otherwise they are dropped.",
      default: false,
    }),
    learnFromTraffic: z.boolean().optional().meta({
      description:
        "Learn the addresses of VMs with an L2Only record also from the source of what they send, not only from ARP, ND and DHCP.",
      default: false,
    }),
    learnFromFloods: z.boolean().optional().meta({
      description: "Learn the addresses of other hosts' VMs with an L2Only record from the ARP and ND that they flood.",
      default: false,
    }),
    learnedAddressLimit: z
      .int()
      .min(0)
      .max(1_000_000)
      .optional()
      .meta({ description: "Most addresses that a host holds learnt.", default: 10_000 }),
    distributeLearnedMs: z.int().min(0).max(3_600_000).optional().meta({
      description:
        "The lab stands in for the management layer: so many milliseconds after this host has learnt an address, the other hosts of the routing domain get its record. Left out: they do not.",
    }),
    useExternalRouter: flag(
      "What leaves its virtual subnet goes, unrouted, to a router outside of the hosts.",
    ).optional(),
  })
  .meta({ description: "Switches of the NVE; those of a host override those of the lab one by one." });

const routingDomain = z.strictObject({
  name: name("The tenant's network, for people."),
  id: guid("RDID. With or without braces, in any case."),
  subnets: z
    .array(
      z.strictObject({
        vsid: vsid("VSID, unique in the lab."),
        prefixes: z
          .array(prefix("An on-link prefix of the virtual subnet."))
          .min(1)
          .max(2)
          .meta({ description: "At most one prefix per address family." }),
        gatewayMac: mac("MAC of the distributed router in this subnet.").optional().meta({
          default: DEFAULT_GATEWAY_MAC,
        }),
      }),
    )
    .min(1),
  gateways: z
    .array(
      z.strictObject({
        adapter: portName("The gateway VM's adapter, host/VM."),
        vsid: vsid("The gateway's own virtual subnet, one of the routing domain and of the adapter."),
        addresses: z
          .array(address("A CA of the gateway in that subnet."))
          .min(1)
          .max(2)
          .meta({ description: "One per address family at most." }),
        destinations: z
          .array(prefix("What lies behind the gateway."))
          .optional()
          .meta({ description: "Default routes of the addresses' families if left out." }),
      }),
    )
    .optional()
    .meta({ description: "Gateway VMs of the tenant; records and routes for them are derived." }),
});

const provider = z.strictObject({
  subnets: z
    .array(
      z.strictObject({
        prefix: prefix("Prefix of the subnet."),
        vlan: vlan("VLAN of the subnet; 0 is untagged.").optional().meta({ default: 0 }),
        mtu: mtu("IP MTU in bytes, the Ethernet header not counted.").optional().meta({ default: 1500 }),
        gateway: address(
          "The provider router's address in this subnet; without it the subnet has no router.",
        ).optional(),
      }),
    )
    .optional()
    .meta({ description: "Without them the subnets follow from the provider addresses' prefixes." }),
  routerMac: mac("MAC of the router between the subnets.").optional().meta({ default: "02-00-5E-00-02-01" }),
});

/** A week: times within a capture, in milliseconds. */
const MILLISECONDS_MAX = 604_800_000;
const at = z.int().min(0).max(MILLISECONDS_MAX).meta({ description: "Milliseconds after the first frame." });
const milliseconds = (description: string) => z.int().min(0).max(MILLISECONDS_MAX).meta({ description });
const encapsulatedTaskOffload = z
  .strictObject({
    lso: z.boolean().optional().meta({ description: "Cuts large sends (LSOv2).", default: true }),
    checksum: z.boolean().optional().meta({ description: "Completes checksums.", default: true }),
    rss: z.boolean().optional().meta({ description: "Spreads what it receives by the inner headers.", default: true }),
    vmq: z.boolean().optional().meta({
      description: "Filters what it receives by the inner MAC. Without effect: VMQ is not emulated.",
      default: true,
    }),
    families: z
      .array(z.enum(TUNNEL_FAMILIES))
      .optional()
      .meta({ description: "The IP versions that it does so for; by default all." }),
    maxHeaderSize: z.int().min(64).max(4096).optional().meta({
      description: "From the frame's first byte to the end of the inner TCP or UDP header.",
      default: 256,
    }),
    faults: z
      .array(z.enum(NIC_FAULTS))
      .optional()
      .meta({ description: "Known ways in which NICs get it wrong, switched on." }),
  })
  .meta({ description: "What the NIC can do with encapsulated packets: NDIS_ENCAPSULATED_PACKET_TASK_OFFLOAD." });

const rss = z
  .strictObject({
    numberOfReceiveQueues: z.int().min(1).max(INDIRECTION_TABLE_SIZE).optional().meta({
      description: "Over so many receive queues the NIC spreads what arrives.",
      default: 1,
    }),
  })
  .meta({ description: "Receive-side scaling: Set-NetAdapterRss." });

const isolation = z
  .strictObject({
    mode: z.enum(["None", "NativeVirtualSubnet", "ExternalVirtualSubnet"]).meta({
      description:
        "NativeVirtualSubnet: isolation ids are VSIDs. ExternalVirtualSubnet: a forwarding extension's business, frames are left alone.",
    }),
    multiTenantStack: flag(
      "The guest is told the isolation id of each frame: a port host/VM:VSID for each.",
    ).optional(),
    allowUntaggedTraffic: flag(
      "Frames without an isolation id are taken, and belong to defaultIsolationID.",
    ).optional(),
    defaultIsolationID: portVsid("The VSID of frames without an isolation id.").optional(),
    routingDomains: z
      .array(
        z.strictObject({
          name: name("The routing domain, by its name.").optional(),
          id: guid("The routing domain, by its RDID.").optional(),
          isolationIDs: z.array(vsid("A VSID of the routing domain.")).min(1),
          isolationNames: z
            .array(freeText("Interface alias in the guest."))
            .optional()
            .meta({ description: "Names for the isolation ids, in their order. For people." }),
        }),
      )
      .optional()
      .meta({ description: "Add-VMNetworkAdapterRoutingDomainMapping" }),
  })
  .meta({ description: "Set-VMNetworkAdapterIsolation; not together with vsid." });

const host = z.strictObject({
  name: name("The host; ports are named host/port."),
  mode: mode.optional(),
  settings: settings.optional(),
  mtu: mtu("IP MTU of the NICs that have none of their own.").optional(),
  policyDelay: milliseconds("How late events that change policy reach this host.").optional().meta({ default: 0 }),
  nics: z
    .array(
      z.strictObject({
        name: name("The NIC; its port is host/NIC."),
        mac: mac("MAC of the NIC."),
        mtu: mtu(
          "IP MTU in bytes; by default that of the provider subnets of the NIC's addresses, else 1500.",
        ).optional(),
        encapsulatedTaskOffload: encapsulatedTaskOffload.optional(),
        rss: rss.optional(),
      }),
    )
    .optional(),
  team: z
    .strictObject({
      name: name("The team; its port is host/TEAM."),
      mode: z.enum(["SwitchIndependent", "Static", "LACP"]).optional().meta({ default: "SwitchIndependent" }),
      loadBalancing: z
        .enum(["TransportPorts", "IPAddresses", "MacAddresses", "HyperVPort", "Dynamic"])
        .optional()
        .meta({ default: "Dynamic" }),
      members: z.array(name("A NIC of the host.")).min(1),
    })
    .optional()
    .meta({ description: "A team of one member; teams of several are not emulated yet." }),
  providerAddresses: z
    .array(
      z.strictObject({
        address: address("The provider address (PA)."),
        prefixLength: prefixLength("By default that of the provider subnet that holds the address.").optional(),
        vlan: vlan("VLAN; by default that of the provider subnet that holds the address, else 0.").optional(),
        mac: mac("The PA's own MAC; by default the NIC's.").optional(),
        nic: name("The NIC or team that carries the PA; by default the first NIC.").optional(),
      }),
    )
    .optional()
    .meta({ description: "The first one is the PA in the derived records of this host's VMs." }),
  vms: z
    .array(
      z.strictObject({
        name: name("The VM; its first adapter's port is host/VM, the second's host/VM.2."),
        adapters: z
          .array(
            z.strictObject({
              mac: mac("MAC of the adapter."),
              vsid: portVsid("VSID of the port; 0 is not virtualized.").optional(),
              addresses: z
                .array(address("A customer address (CA) of the VM."))
                .optional()
                .meta({ description: "A Static lookup record is derived for each." }),
              macAddressSpoofing: flag("Let the VM send with other source MACs.").optional(),
              ieeePriorityTag: flag("Let the VM send 802.1p priority tags.").optional(),
              mtu: mtu(
                "The VM's own IP MTU; by default 1500, or what Windows Server 2012 R2 lowers it to at boot.",
              ).optional(),
              lso: flag("Large send offload: the VM sends TCP packets longer than its MTU, to be cut.").optional(),
              mss: z.int().min(1).max(65_475).optional().meta({
                description: "Bytes of payload in each segment of a large send; by default as many as the MTU holds.",
              }),
              checksumOffload: flag("The VM leaves TCP and UDP checksums to be completed.").optional(),
              dhcpGuard: flag("Drop what the VM sends as a DHCP server.").optional(),
              stormLimit: z.int().min(0).max(0xffff_ffff).optional().meta({
                description: "Most broadcast and multicast frames that the VM may send in a second; 0 is no limit.",
                default: 0,
              }),
              dynamicIPAddressLimit: z
                .int()
                .min(0)
                .max(0xffff_ffff)
                .optional()
                .meta({ description: "Most addresses that are learnt on the port; 0 is no limit.", default: 0 }),
              routerGuard: flag("Drop what the VM sends as a router: advertisements and redirects.").optional(),
              isolation: isolation.optional(),
            }),
          )
          .min(1),
      }),
    )
    .optional(),
});

const onHost = name("The host that has this record; absent: every host.").optional();
const interfaceIndex = z
  .int()
  .min(1)
  .max(0xffff_ffff)
  .optional()
  .meta({ description: "Place of the NIC in the host's list, from 1.", default: 1 });

const lookupRecord = z
  .strictObject({
    host: onHost,
    customerAddress: address("CA; 0.0.0.0 or :: for L2Only and GatewayWildcard."),
    virtualSubnetID: vsid("VSID."),
    macAddress: mac("MAC of the VM's adapter."),
    providerAddress: address("PA of the host that runs the VM; of any family."),
    rule: z
      .enum(["TranslationMethodEncap", "TranslationMethodNat", "TranslationMethodNone"])
      .optional()
      .meta({ default: "TranslationMethodEncap" }),
    type: z.enum(["Static", "Dynamic", "GatewayWildcard", "L2Only"]).optional().meta({ default: "Static" }),
    customerID: freeText("Free text; by habit the RDID in braces.").optional(),
    context: freeText("Free text.").optional(),
    vmName: freeText("Free text.").optional(),
    useVmMACAddress: flag("Only together with TranslationMethodNat.").optional(),
  })
  .meta({ description: "New-NetVirtualizationLookupRecord" });

const customerRoute = z
  .strictObject({
    host: onHost,
    routingDomainID: guid("RDID."),
    virtualSubnetID: vsid("VSID; for a route with a gateway that of the gateway."),
    destinationPrefix: prefix("Destination."),
    nextHop: address("CA of the next hop; 0.0.0.0 or :: is on-link."),
    metric: metric("The lowest wins among equally long prefixes.").optional(),
  })
  .meta({ description: "New-NetVirtualizationCustomerRoute" });

const providerAddress = z
  .strictObject({
    host: onHost,
    providerAddress: address("PA."),
    interfaceIndex,
    prefixLength: prefixLength("By default that of the provider subnet that holds the address.").optional(),
    vlanID: vlan("Outer VLAN; 0 is untagged. By default that of the provider subnet.").optional(),
    macAddress: mac("The PA's own MAC; by default the NIC's.").optional(),
  })
  .meta({ description: "New-NetVirtualizationProviderAddress" });

const providerRoute = z
  .strictObject({
    host: onHost,
    interfaceIndex,
    destinationPrefix: prefix("Destination."),
    nextHop: address("Provider router; 0.0.0.0 or :: is on-link."),
    metric: metric("The lowest wins among equally long prefixes.").optional(),
  })
  .meta({ description: "New-NetVirtualizationProviderRoute" });

const neighbor = z
  .strictObject({
    host: onHost,
    address: address("An address of the provider network."),
    mac: mac("Its MAC."),
  })
  .meta({ description: "What ARP or ND would find in the provider network." });

const event = z
  .discriminatedUnion(
    "event",
    [
      z.strictObject({ at, event: z.enum(["recordAdded", "recordChanged"]), record: lookupRecord }),
      z.strictObject({
        at,
        event: z.literal("recordRemoved"),
        record: z.strictObject({
          host: onHost,
          virtualSubnetID: vsid("VSID."),
          customerAddress: address("CA of the record, or records."),
          macAddress: mac("Only the record of this MAC.").optional(),
          type: z.enum(["Static", "Dynamic", "GatewayWildcard", "L2Only"]).optional(),
        }),
      }),
      z.strictObject({
        at,
        event: z.literal("vmMoved"),
        vm: freeText("HOST/VM: the VM, where it stands then."),
        to: name("The host that it moves to."),
        downtime: milliseconds("How long it stands still.").optional().meta({ default: 0 }),
      }),
      z.strictObject({ at, event: z.enum(["linkDown", "linkUp"]), port: freeText("HOST/NIC.") }),
      z.strictObject({
        at,
        event: z.literal("hostRebooted"),
        host: name("It loses its policy, which does not survive a reboot."),
        downtime: milliseconds("How long it is away.").optional().meta({ default: 0 }),
        restoreAfter: milliseconds(
          "When management writes its policy again, once it is back; absent: never.",
        ).optional(),
      }),
    ],
    {
      error: "expected recordAdded, recordChanged, recordRemoved, vmMoved, linkDown, linkUp or hostRebooted",
    },
  )
  .meta({ description: "Something that happens while frames pass." });

const port = (description: string) => z.int().min(1).max(65_535).meta({ description });
const seconds = (description: string, usual: number) =>
  z.int().min(1).max(86_400).optional().meta({ description, default: usual });

const gateway = z
  .strictObject({
    name: name("The gateway; its ports are gateway/VSID for each tenant, and gateway/external."),
    adapter: portName("The adapter, host/VM, that it stands behind in place of a guest."),
    external: z.strictObject({
      mac: mac("Its MAC on the outside."),
      mtu: mtu("IP MTU on the outside.").optional().meta({ default: 1500 }),
      routes: z
        .array(
          z.strictObject({
            destinationPrefix: prefix("Destination."),
            nextHop: address("Next hop; 0.0.0.0 or :: is on-link."),
          }),
        )
        .min(1),
      neighbors: z
        .array(z.strictObject({ address: address("An address of the outside."), mac: mac("Its MAC.") }))
        .optional()
        .meta({ description: "What ARP or ND would find outside; next hops need theirs." }),
    }),
    tenants: z
      .array(
        z.strictObject({
          routingDomain: name("A routing domain with this adapter among its gateways."),
          internalPrefixes: z
            .array(prefix("Sources that may go out: New-NetNat -InternalIPInterfaceAddressPrefix."))
            .optional()
            .meta({ description: "All prefixes of the routing domain if left out." }),
          externalAddresses: z
            .array(
              z.strictObject({
                address: address("An external address; several tenants may have it."),
                portStart: port("First port.").optional().meta({ default: 1 }),
                portEnd: port("Last port.").optional().meta({ default: 49_151 }),
              }),
            )
            .optional()
            .meta({ description: "Add-NetNatExternalAddress" }),
          staticMappings: z
            .array(
              z.strictObject({
                protocol: z.enum(["TCP", "UDP"]),
                externalAddress: address("Where packets from outside are sent to."),
                externalPort: port("And its port."),
                internalAddress: address("The VM that gets them."),
                internalPort: port("And its port."),
              }),
            )
            .optional()
            .meta({ description: "Add-NetNatStaticMapping" }),
          tunnels: z
            .array(
              z.strictObject({
                name: name("The tunnel, for people."),
                key: z.int().min(0).max(0xffff_ffff).meta({ description: "GRE key." }),
                source: address("Our end."),
                destination: address("The far end."),
                prefixes: z.array(prefix("What lies behind the far end.")).min(1),
              }),
            )
            .optional()
            .meta({ description: "Add-VpnS2SInterface -GreTunnel" }),
        }),
      )
      .min(1),
    timeouts: z
      .strictObject({
        tcpEstablished: seconds("TCP connections.", 7440),
        tcpTransitory: seconds("TCP connections that open or have ended.", 240),
        udp: seconds("UDP.", 300),
        icmp: seconds("ICMP echo.", 60),
      })
      .optional()
      .meta({ description: "How long bindings may be idle, in seconds." }),
  })
  .meta({ description: "A built-in gateway with NAT and site-to-site GRE." });

export const fabricFileSchema = z
  .strictObject({
    apiVersion: z.literal(API_VERSION).meta({ description: "Version of this format." }),
    mode: mode.optional(),
    settings: settings.optional(),
    routingDomains: z.array(routingDomain).optional(),
    provider: provider.optional(),
    hosts: z.array(host).min(1),
    gateways: z.array(gateway).optional(),
    lookupRecords: z.array(lookupRecord).optional(),
    customerRoutes: z.array(customerRoute).optional(),
    providerAddresses: z.array(providerAddress).optional(),
    providerRoutes: z.array(providerRoute).optional(),
    neighbors: z.array(neighbor).optional(),
    events: z.array(event).optional().meta({ description: "What happens while frames pass, by the frames' own time." }),
  })
  .meta({ title: "hnv fabric file", description: "A lab for hnv, the NVGRE data-plane emulator." });

/** A fabric file as it was written. */
export type FabricFile = z.infer<typeof fabricFileSchema>;
export type HostDocument = FabricFile["hosts"][number];
export type VmDocument = NonNullable<HostDocument["vms"]>[number];
export type AdapterDocument = VmDocument["adapters"][number];
export type SettingsDocument = z.infer<typeof settings>;
export type NicOffloadDocument = z.infer<typeof encapsulatedTaskOffload>;

/**
 * Fields whose scalars are read from their source text, not as YAML would type them: 060600000005 and 1e1000000000 are MACs,
 * 2012 is a mode, 5001 may be a name. A test holds this list against the schema.
 */
export const TEXT_FIELDS: ReadonlySet<string> = new Set([
  "apiVersion",
  "name",
  "id",
  "mode",
  "flowId",
  "ecn",
  "receive",
  "flood",
  "resolve",
  "loadBalancing",
  "members",
  "families",
  "faults",
  "prefixes",
  "prefix",
  "gateway",
  "gatewayMac",
  "routerMac",
  "mac",
  "nic",
  "address",
  "addresses",
  "host",
  "customerAddress",
  "macAddress",
  "providerAddress",
  "rule",
  "type",
  "customerID",
  "context",
  "vmName",
  "routingDomainID",
  "destinationPrefix",
  "nextHop",
  "event",
  "vm",
  "to",
  "port",
  "adapter",
  "destinations",
  "isolationNames",
  "routingDomain",
  "internalPrefixes",
  "protocol",
  "externalAddress",
  "internalAddress",
  "source",
  "destination",
]);

/** The schema as JSON Schema (draft 2020-12), for editors. */
export function fabricFileJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(fabricFileSchema, {
    io: "input",
    override: ({ jsonSchema }) => {
      // What is read from its source text may look like a number to an editor.
      if (jsonSchema.pattern?.includes("0-9A-Fa-f") === true) jsonSchema.type = ["string", "integer"] as never;
      if (jsonSchema.enum?.includes("2012") === true && !jsonSchema.enum.includes(2012)) {
        delete jsonSchema.type;
        jsonSchema.enum = [...jsonSchema.enum, 2012];
      }
    },
  }) as Record<string, unknown>;
}
