/**
 * Where frames come from and go to outside of the engine: capture files and live interfaces. Knows the engine's packet memory and nothing of policy.
 */
export { type Encoded, type Encoding, encode } from "./capture/encoding.js";
export { CaptureError, type CaptureErrorCode } from "./capture/errors.js";
export { type CapturedFrame, copyFrame, readFrames } from "./capture/frames.js";
export { type Memory, PlainMemory } from "./capture/memory.js";
export type { CaptureInterface } from "./capture/pcapng.js";
export {
  type CaptureFormat,
  type CaptureReader,
  type CaptureReaderOptions,
  type KeptBlock,
  openCapture,
} from "./capture/reader.js";
export { type CaptureRewriter, createRewriter, type RewriterInput, type RewriterOptions } from "./capture/rewriter.js";
export { RotatingCapture, type RotationForm, type RotationLimits } from "./capture/rotation.js";
export { allocateStream, type StreamBuffer } from "./capture/stream.js";
export {
  type CaptureOutput,
  type CaptureWriter,
  type CaptureWriterOptions,
  createCapture,
  type FrameDetails,
  formatFor,
  type InterfaceOptions,
} from "./capture/writer.js";
export { type CapInterface, openCap } from "./live/cap.js";
export { type CapturePiece, CaptureQueue, makeCaptureQueue, ringBell } from "./live/capture-queue.js";
export { LiveError, type LiveErrorCode } from "./live/errors.js";
export type { EventedInterface } from "./live/evented.js";
export { type Clock, type Generator, openGenerator } from "./live/generator.js";
export type { CheckerReport } from "./live/generator-checker.js";
export type { LatencySummary } from "./live/generator-latency.js";
export {
  BACKENDS,
  type Backend,
  type HostInterface,
  type HostSurvey,
  surveyInterfaces,
} from "./live/ifaces.js";
export type { LiveCounters, LiveInterface, LiveShare, SlotCounts } from "./live/live-interface.js";
export {
  deviceOfLive,
  hasStations,
  isLiveUri,
  isShareable,
  LIVE_SCHEMES,
  type LivePlace,
  mtuOfLive,
  needsEventLoop,
  openLive,
  rememberDevices,
} from "./live/open.js";
export {
  openPacedCapture,
  type PacedCapture,
  type PacedCaptureUri,
  parsePacedCaptureUri,
} from "./live/paced-capture.js";
export { type Pollable, Poller } from "./live/poller.js";
export { CAPTURE_QUEUE_BYTES, PortCapture, portCaptureForm } from "./live/port-capture.js";
export { openRawIp, type RawIpInterface, type RawIpOptions } from "./live/rawip.js";
export type { RowMemory } from "./live/rows.js";
export type { TimedInterface } from "./live/timed.js";
export { Wakeup } from "./live/wakeup.js";
