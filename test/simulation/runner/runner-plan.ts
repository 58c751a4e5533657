/** What a seed stands for here: derivations, builders, and what happens to a runner between them. */
import type { DerivationPlan } from "../../../lib/testing/simulated/derivations.js";
import { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";

/** When every history begins: milliseconds since the epoch. */
export const start = 1_700_000_000_000;

export interface PlannedDerivation extends DerivationPlan {
  readonly durationMs: number;
  readonly result: "succeeds" | "failsWithOutput" | "fails" | "timesOut";
  /** Chance that a try ends in trouble of the machine. */
  readonly flaky: number;
}

export const runnerEventKinds = [
  "build",
  "cancel",
  "bump",
  "restartBuild",
  "deleteBuild",
  "takeIn",
  "repoint",
  "shares",
  "join",
  "leave",
  "breakTunnel",
  "silence",
  "crash",
  "stallRun",
  "spoof",
  "database",
  "store",
  "kill",
  "stop",
] as const;

/** What builders do that lie, alone or together. */
const lyingEventKinds = ["lie", "claim", "seize", "peek", "forge", "forgeReport"] as const;
/** What the runner has to wait for. */
const starvingEventKinds = ["freeze", "loseDatabase", "bucket", "disk"] as const;

export type RunnerEventKind =
  | (typeof runnerEventKinds)[number]
  | (typeof lyingEventKinds)[number]
  | (typeof starvingEventKinds)[number];

/** Whose names builders call in: all in one, each in its own, or several in one. */
export type Principals = "one" | "each" | "pairs";

export interface RunnerEvent {
  readonly at: number;
  readonly kind: RunnerEventKind;
  /** Decides the details, so that leaving other events out does not change them. */
  readonly seed: number;
}

export interface RunnerPlan {
  readonly seed: number;
  readonly derivations: ReadonlyMap<string, PlannedDerivation>;
  readonly events: readonly RunnerEvent[];
  readonly maxTries: number;
  /** Chances of what builders do wrong. */
  readonly builders: {
    readonly reportTwice: number;
    readonly reportLate: number;
    readonly loseOutputs: number;
  };
  readonly principals: Principals;
  /** Milliseconds after which nothing goes wrong any more. */
  readonly healAt: number;
}

export function makeRunnerPlan(seed: number): RunnerPlan {
  const random = new SeededRandom(seed ^ 0x0dd);
  const derivations = new Map<string, PlannedDerivation>();
  const count = random.int(2, 16);
  const width = random.int(1, 4);
  const floating = random.chance(0.25) ? 0.2 : 0;
  const faults = random.next() * 0.5;
  for (let i = 0; i < count; i++) {
    const names = [...derivations.keys()];
    const inputs = new Set<string>();
    const fanIn = names.length === 0 ? 0 : random.int(0, width);
    for (let k = 0; k < fanIn; k++) inputs.add(random.pick(names));
    derivations.set(`d${i}`, {
      name: `d${i}`,
      inputs: [...inputs],
      system: random.chance(0.2) ? "aarch64-linux" : "x86_64-linux",
      features: random.chance(0.1) ? ["kvm"] : [],
      durationMs: random.int(0, 60_000),
      result: random.chance(0.15)
        ? random.pick(["fails", "timesOut", "failsWithOutput"] as const)
        : "succeeds",
      floating: random.chance(floating),
      flaky: random.chance(0.3) ? faults : 0,
    });
  }
  const healAt = random.int(30_000, 600_000);
  const events: RunnerEvent[] = [];
  const add = (kind: RunnerEventKind, times: number, until = healAt): void => {
    for (let i = 0; i < times; i++) {
      events.push({ at: random.int(0, until), kind, seed: random.int(0, 0x7fffffff) });
    }
  };
  add("join", random.int(1, 3), 1000);
  add("build", random.int(1, 7));
  for (const kind of runnerEventKinds) {
    if (kind === "join" || kind === "build") continue;
    if (random.chance(kind === "stop" || kind === "shares" ? 0.2 : 0.4)) add(kind, random.int(1, 4));
  }
  const { principals, villainy } = villains(seed, healAt);
  events.push(...villainy);
  events.sort((a, b) => a.at - b.at);
  const chance = (p: number): number => (random.chance(p) ? random.next() * 0.4 : 0);
  return {
    seed,
    derivations,
    events,
    maxTries: random.int(1, 4),
    builders: { reportTwice: chance(0.5), reportLate: chance(0.5), loseOutputs: chance(0.2) },
    principals,
    healAt,
  };
}

/** With chance of their own, so that the rest of a history stays what it was before they came. */
function villains(
  seed: number,
  until: number,
): { readonly principals: Principals; readonly villainy: RunnerEvent[] } {
  const random = new SeededRandom(seed ^ 0x11a5);
  const principals = random.pick(["one", "each", "each", "pairs"] as const);
  const villainy: RunnerEvent[] = [];
  const add = (kind: RunnerEventKind, chance: number, most: number): void => {
    if (!random.chance(chance)) return;
    const times = random.int(1, most);
    for (let i = 0; i < times; i++) {
      villainy.push({ at: random.int(0, until), kind, seed: random.int(0, 0x7fffffff) });
    }
  };
  for (const kind of lyingEventKinds) add(kind, 0.4, 6);
  for (const kind of starvingEventKinds) add(kind, 0.2, 2);
  return { principals, villainy };
}
