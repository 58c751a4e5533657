/**
 * What a seed stands for: a graph of derivations, a fleet, settings, and a list of things that happen to them.
 *
 * Each event carries its own small seed, so that leaving events out (to find a smaller failing history) does not
 * change what the others do.
 */
import type { SchedulerOptionsInput } from "../../lib/scheduler/index.js";
import { SeededRandom } from "../../lib/testing/simulated/seeded-random.js";

export interface PlannedStep {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly system: string;
  readonly features: readonly string[];
  readonly preferLocal: boolean;
  readonly durationMs: number;
  readonly expectedMs: number | undefined;
  /** `resolves`: a content-addressed one that turns into another at its first hand-out. `dynamic`: also needs what its first input names. */
  readonly kind: "plain" | "resolves" | "dynamic" | "gated";
  /** `dead`: its script fails at every try in a way that Nix calls transient. */
  readonly result: "succeeds" | "fails" | "timesOut" | "dead";
  /** Chance that a try ends in trouble of the infrastructure. */
  readonly flaky: number;
}

export type EventKind =
  | "build"
  | "cancel"
  | "bump"
  | "join"
  | "kill"
  | "silence"
  | "stall"
  | "drain"
  | "resume"
  | "disconnect"
  | "rejoin"
  | "shares"
  | "settings"
  | "load"
  | "finish"
  | "failStep"
  | "restart";

export interface PlannedEvent {
  readonly at: number;
  readonly kind: EventKind;
  readonly seed: number;
}

export interface Plan {
  readonly seed: number;
  readonly steps: ReadonlyMap<string, PlannedStep>;
  readonly jobsets: number;
  readonly options: SchedulerOptionsInput;
  readonly events: readonly PlannedEvent[];
  /** After this time nothing goes wrong any more. */
  readonly healAt: number;
}

const systems = ["x86_64-linux", "x86_64-linux", "aarch64-linux", "builtin"] as const;
const features = [[], [], [], ["kvm"], ["big"], ["kvm", "big"]] as const;

export function makePlan(seed: number): Plan {
  const random = new SeededRandom(seed);
  const steps = new Map<string, PlannedStep>();
  const count = random.int(3, 45);
  const width = random.int(1, 6);
  const names: string[] = [];
  const faults = random.next() * 0.4;
  const dead = random.chance(0.3) ? random.next() * 0.5 : 0;
  for (let i = 0; i < count; i++) {
    const name = `s${i}`;
    const inputs = new Set<string>();
    const fanIn = names.length === 0 ? 0 : random.int(0, width);
    for (let k = 0; k < fanIn; k++) inputs.add(random.pick(names));
    const kind = random.chance(0.1)
      ? random.pick(["resolves", "dynamic", "gated"] as const)
      : ("plain" as const);
    steps.set(name, {
      name,
      // What is only being uploaded has no inputs to wait for.
      inputs: kind === "gated" ? [] : [...inputs],
      system: random.pick(systems),
      features: random.pick(features),
      preferLocal: random.chance(0.1),
      durationMs: random.int(0, 100_000),
      expectedMs: random.chance(0.5) ? random.int(1, 100_000) : undefined,
      kind: kind === "dynamic" && inputs.size === 0 ? "plain" : kind,
      result: resultOf(random, dead),
      flaky: random.chance(0.3) ? faults : 0,
    });
    names.push(name);
  }
  const healAt = random.int(60_000, 3_000_000);
  const events: PlannedEvent[] = [];
  const add = (kind: EventKind, times: number): void => {
    for (let i = 0; i < times; i++) {
      events.push({ at: random.int(0, healAt), kind, seed: random.int(0, 0x7fffffff) });
    }
  };
  events.push({ at: 0, kind: "join", seed: random.int(0, 0x7fffffff) });
  add("build", random.int(1, 14));
  add("join", random.int(0, 5));
  for (const kind of [
    "cancel",
    "bump",
    "kill",
    "silence",
    "stall",
    "drain",
    "resume",
    "disconnect",
  ] as const) {
    if (random.chance(0.5)) add(kind, random.int(1, 6));
  }
  for (const kind of ["rejoin", "shares", "settings", "load", "finish", "failStep", "restart"] as const) {
    if (random.chance(0.35)) add(kind, random.int(1, 4));
  }
  events.sort((a, b) => a.at - b.at);
  return { seed, steps, jobsets: random.int(1, 4), options: makeOptions(random), events, healAt };
}

function resultOf(random: SeededRandom, dead: number): PlannedStep["result"] {
  if (random.chance(dead)) return "dead";
  return random.chance(0.06) ? random.pick(["fails", "timesOut"] as const) : "succeeds";
}

export function makeOptions(random: SeededRandom): SchedulerOptionsInput {
  return {
    stepOrder: random.pick(["Legacy", "WithRdeps", "WithCriticalPath"] as const),
    machineOrder: random.pick([
      "SpeedFactorOnly",
      "CpuCoreCountWithSpeedFactor",
      "BogomipsWithSpeedFactor",
    ] as const),
    machineFree: random.pick(["Static", "Static", "Dynamic", "DynamicWithMaxJobLimit"] as const),
    retry: { maxTries: random.int(1, 5), intervalMs: 5000, backoff: 2, jitterMs: 1000 },
    breaker: { failures: random.int(1, 4), holdMs: 20_000, maxHoldMs: 200_000, jitterMs: 3000 },
    deadlines: {
      acknowledgeMs: random.pick([0, 10_000]),
      graceMs: 60_000,
      uploadMs: 300_000,
      cancelMs: 15_000,
      heartbeatMs: random.pick([30_000, 60_000]),
    },
    burst: { jobs: random.int(1, 4), windowMs: 10_000 },
    maxUnsupportedMs: random.pick([20_000, 120_000, 3_600_000]),
    maxConcurrentUploadsPerMachine: random.pick([0, 0, 1, 2]),
    defaultTimeout: random.pick([60, 600]),
    abortOrphans: random.pick(["onCancel", "always"] as const),
  };
}
