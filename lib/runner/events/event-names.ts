/** The names of all events, for checks and for those who listen to all of them. */
import type { RunnerEventName } from "./runner-events.js";

const named: Readonly<Record<RunnerEventName, true>> = {
  stepStarted: true,
  stepProgress: true,
  stepFinished: true,
  stepRetried: true,
  stepRecorded: true,
  buildStarted: true,
  buildFinished: true,
  buildRemoved: true,
  machineJoined: true,
  machineLeft: true,
  machineHeld: true,
  machineReleased: true,
  uploadRetried: true,
  uploadFinished: true,
  problem: true,
};
/** All that can happen. */
export const runnerEventNames = Object.keys(named) as RunnerEventName[];
