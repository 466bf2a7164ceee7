/** The door of `timeline`: state that outlives packets, and when it changes. */
export { type Companions, type TimedEvent, Timeline, type TimelineHost } from "./timeline.js";
