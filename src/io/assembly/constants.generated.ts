// Generated from src/io/capture/layout.ts by `npm run generate`. Do not edit.

export const EPB: u32 = 6;
export const EPB_FRAME: u32 = 28;
export const EPB_GAP: u32 = 36;
export const EPB_LENGTH_MIN: u32 = 32;
export const FRAME_MAX: u32 = 262144;
export const INTERFACE_MULTIPLIER: u32 = 0;
export const INTERFACE_DIVISOR: u32 = 8;
export const INTERFACE_OFFSET_NS: u32 = 16;
export const INTERFACE_SHIFT: u32 = 24;
export const INTERFACE_FLAGS: u32 = 28;
export const INTERFACE_SIZE: u32 = 32;
export const MODIFIED_RECORD_LENGTH: u32 = 24;
export const PACKET_BLOCK_MAX: u32 = 524288;
export const RECORD_SECONDS: u32 = 0;
export const RECORD_FRACTION: u32 = 4;
export const RECORD_CAPTURED: u32 = 8;
export const RECORD_ORIGINAL: u32 = 12;
export const RECORD_LENGTH: u32 = 16;
export const STOP_FULL: u32 = 0;
export const STOP_MORE: u32 = 1;
export const STOP_BAD: u32 = 2;
export const STOP_OTHER: u32 = 3;
export const STOP_LINK: u32 = 4;
