/**
 * A farm that the live page can be looked at with: answers of the API, typed by its contract, in the states that operators
 * see. `busy` has 100,000 steps and 200 machines. Everything follows from the state and the time; nothing is random. The
 * answers are made in `farm/`.
 */
import type {
  ApiBuild,
  ApiGraph,
  ApiHit,
  ApiJobsets,
  ApiMachine,
  ApiMachineDetail,
  ApiOverview,
  ApiProblem,
  ApiQueue,
  ApiStep,
  ApiTimeline,
  ApiUploads,
} from "../../lib/status/api/types.js";
import { buildWithId, graphOf, stepOf } from "./farm/builds.js";
import type { FarmFacts, FarmState } from "./farm/facts.js";
import { machineNamed, machinesOf } from "./farm/machines.js";
import { jobsetsOf, overviewOf, problemsOf, timelineOf, uploadsOf } from "./farm/overview.js";
import { queueOf } from "./farm/queue.js";
import { hitsFor } from "./farm/search.js";

export class SimulatedFarm implements FarmFacts {
  readonly state: FarmState;
  readonly now: () => number;
  /** Machines and steps; small where the state is idle. */
  readonly machineCount: number;
  readonly stepCount: number;
  readonly drained = new Set<string>();

  constructor(state: FarmState, now: () => number = Date.now) {
    this.state = state;
    this.now = now;
    this.machineCount = state === "busy" ? 200 : state === "standby" ? 0 : 6;
    this.stepCount = state === "busy" ? 100_000 : state === "broken" ? 420 : 0;
  }

  drain(name: string, draining: boolean): boolean {
    if (!this.machines().some((machine) => machine.name === name)) return false;
    if (draining) this.drained.add(name);
    else this.drained.delete(name);
    return true;
  }

  machines(): readonly ApiMachine[] {
    return machinesOf(this);
  }

  machine(name: string): ApiMachineDetail | undefined {
    return machineNamed(this, name);
  }

  overview(): ApiOverview {
    return overviewOf(this);
  }

  queue(query: URLSearchParams): ApiQueue {
    return queueOf(this, query);
  }

  build(id: number): ApiBuild | undefined {
    return buildWithId(this, id);
  }

  step(drv: string): ApiStep | undefined {
    return stepOf(this, drv);
  }

  graph(size?: number): ApiGraph {
    return graphOf(this, size);
  }

  timeline(query: URLSearchParams): ApiTimeline {
    return timelineOf(this, query);
  }

  jobsets(): ApiJobsets {
    return jobsetsOf(this);
  }

  uploads(): ApiUploads {
    return uploadsOf(this);
  }

  problems(): readonly ApiProblem[] {
    return problemsOf(this);
  }

  search(text: string): readonly ApiHit[] {
    return hitsFor(this, text);
  }
}
