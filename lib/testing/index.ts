/**
 * Tools to try a policy, a sink or a builder without a farm: traces of what was built, and their replay in virtual time.
 *
 * In this room lives what runs the library's own parts against simulated surroundings. Nothing in the other rooms
 * imports it.
 */

/** Makes a trace from the history in Hydra's database. */
export { type ExportedTrace, type ExportTraceOptions, exportTrace } from "./export-trace.js";
/** What a policy would have done with a trace. */
export {
  type JobsetReplay,
  type MachineReplay,
  type ReplayPolicy,
  type ReplayReport,
  replay,
  type Waits,
} from "./replay.js";
/** Virtual time. */
export { TimeQueue } from "./time-queue.js";
/** The history of a farm as data. */
export {
  checkTrace,
  parseTrace,
  type Trace,
  type TraceBuild,
  TraceError,
  type TraceMachine,
  type TraceStep,
} from "./trace.js";
