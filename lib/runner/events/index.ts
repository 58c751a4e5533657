/**
 * What happens in a runner, said once: the map of events and the bus that brings them to listeners. Which part emits
 * what is up to the rooms above.
 */
export { EventBus, type EventEmitter, type RunnerListener, type Unsubscribe } from "./event-bus.js";
export type { EventStream, EventStreamOptions } from "./event-stream.js";
export type * from "./runner-events.js";
