/** Packet memory and the slow path's parser. */
export * from "./layout.js";
export { type MemorySizes, PacketMemory } from "./memory.js";
export * from "./parse.js";
