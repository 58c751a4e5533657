/**
 * Tools to try a policy, a sink or a builder without a farm: traces of what was built and their replay, and a simulated
 * farm.
 *
 * In this room lives what runs the library's own parts against simulated surroundings. Nothing in the other rooms
 * imports it. `simulated/`: database, store, wire, time and chance as the runner sees them; our own simulation stands on
 * the same. `farm/`: a farm of these, with honest machines. Both are loaded by the first `simulateFarm`.
 */

/** Makes a trace from the history in Hydra's database. */
export { type ExportedTrace, type ExportTraceOptions, exportTrace } from "./export-trace.js";
/** What `simulateFarm` returns: the farm, its clock and its controls. */
export type { SimulatedFarm } from "./farm/farm.js";
/** What a farm in virtual time is, and what one can do to it. */
export type { FarmDatabase, FarmStore, SimulatedBuild, SimulatedStep } from "./farm/farm-edges.js";
/** A farm in virtual time. */
export { simulateFarm } from "./farm/index.js";
/** What a farm in virtual time is made of. */
export {
  type SimulatedFarmOptions,
  type SimulatedJob,
  type SimulatedMachine,
  type SimulatedOutcome,
  type SimulatedPackage,
  type SimulatedRequest,
  type SimulatedRunOptions,
  SimulationError,
} from "./farm/options.js";
/** What a policy would have done with a trace. */
export { type ReplayPolicy, replay } from "./replay.js";
/** What a replay found. */
export type { JobsetReplay, MachineReplay, ReplayReport, Waits } from "./replay-report.js";
/** Chance that is the same for the same seed. */
export { SeededRandom } from "./simulated/seeded-random.js";
/** What is wrong with a simulated database. */
export type { DatabaseFaults } from "./simulated/simulated-database.js";
/** What is wrong with a simulated store. */
export type { StoreFaults } from "./simulated/simulated-store.js";
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
