/** What must be true of a simulated runner: between two events, when everything is done, and at the very end. */

import { givenBackMessage, machineLeftMessage } from "../../../lib/database/index.js";
import { parseFullStorePath, type StorePath } from "../../../lib/nix/index.js";
import { buildId } from "../../../lib/scheduler/ids.js";
import type { StoredOutput } from "../../../lib/testing/simulated/simulated-store.js";
import { storeDir } from "../../../lib/testing/simulated/store-paths.js";
import type { BuildRow } from "../../../lib/testing/simulated/tables.js";
import { demand, fits } from "../oracle.js";
import type { RunnerLife } from "./runner-life.js";
import { type PlannedDerivation, start } from "./runner-plan.js";
import type { RunnerWorld } from "./runner-world.js";

/** After trouble of its neighbours the runner may take this long to be itself again. Milliseconds. */
const calmMs = 100_000;
/** How long the runner looks for a machine, and a little more. Milliseconds. */
const unsupportedMs = 130_000;

/** Between any two events. */
export function checkState(world: RunnerWorld): void {
  const { life } = world;
  if (life === undefined) return;
  checkProgress(world, life);
  const { scheduler, attempts, recorder } = life.parts;
  for (const { id } of scheduler.view.builds()) {
    demand(!recorder.holds(id), "a build that is being recorded is not taken in", () => `build ${id}`);
  }
  for (const attempt of attempts.all()) {
    if (!attempt.sent && attempt.adopted !== true) continue;
    const given = world.ledger.order(attempt.id);
    demand(
      given !== undefined && given.machine === attempt.machine && given.order.drv === attempt.drv,
      "an attempt belongs to the machine that it was given to",
      () => `${attempt.id} on ${attempt.machine}`,
    );
  }
  const running = new Set<string>();
  for (const { step, attempt } of scheduler.view.attempts()) {
    demand(!running.has(step), "one owner per derivation", () => step);
    running.add(step);
    const known = attempts.get(attempt);
    demand(known === undefined || known.drv === (step as string), "one owner per derivation", () => attempt);
  }
}

/** Nothing is believed that its owner did not build. Derivations and paths that are not there are no outputs. */
export function checkBuilt(world: RunnerWorld, path: StorePath, what: string): void {
  const hash = world.store.hashOf(path);
  if (hash === undefined) return;
  demand(
    world.ledger.isBuilt(path, hash),
    "nothing is believed that its owner did not build",
    () => `${path}, ${what}`,
  );
}

/** What is public stays what it is. */
export function checkReplaced(world: RunnerWorld, { info }: StoredOutput): void {
  const { path, narHash } = info;
  const genuine = world.ledger.isBuilt(path, narHash) && world.published.has(path);
  demand(!genuine, "what was published is not replaced", () => path);
}

/** Nobody waits for what is there: neither steps for machines nor builds for the queue monitor. */
function checkProgress(world: RunnerWorld, life: RunnerLife): void {
  const { scheduler, recorder, monitor } = life.parts;
  if (!life.active) return;
  const now = world.time.now();
  demand(
    monitor.problem === undefined || !world.faultlessFor(calmMs),
    "passes fail only when their neighbours do",
    () => String(monitor.problem),
  );
  const machines = scheduler.machines().filter(({ block }) => block === undefined);
  const assignable = scheduler.view
    .steps()
    .filter(
      (step) => step.state === "ready" && step.tries === 0 && machines.some((machine) => fits(step, machine)),
    );
  keepSince(life.assignableSince, new Set(assignable.map(({ id }) => id)), now);
  for (const [id, since] of life.assignableSince) {
    demand(now - since <= 1_000, "no step waits for a machine that is free", () => id);
  }
  if (!world.calmFor(calmMs)) return;
  const missing = world.database
    .unfinished()
    .filter(({ id }) => !scheduler.view.hasBuild(buildId(id)) && !recorder.holds(buildId(id)));
  keepSince(life.missingSince, new Set(missing.map(({ id }) => id)), now);
  for (const [id, since] of life.missingSince) {
    demand(now - since <= 10_000, "no build waits for the queue monitor", () => `build ${id}`);
  }
}

function keepSince<T>(since: Map<T, number>, present: ReadonlySet<T>, now: number): void {
  for (const key of since.keys()) if (!present.has(key)) since.delete(key);
  for (const key of present) if (!since.has(key)) since.set(key, now);
}

/** The runner has ended a build by a step of its own. */
export function checkEnded(world: RunnerWorld, row: BuildRow): void {
  const [own] = closureOf(world, parseFullStorePath(storeDir, row.drvPath));
  const known = own === undefined ? undefined : world.derivations.get(own.name);
  const output = known?.derivation.outputs.get("out");
  if (output?.kind !== "inputAddressed") return;
  if (row.status === 0 || row.status === 6) checkBuilt(world, output.path, `output of build ${row.id}`);
  if (row.cached) return;
  if (row.status === 0 || row.status === 6) {
    demand(world.published.has(output.path), "a build ends when its outputs are public", () => `${row.id}`);
  }
  if (row.status === 1) {
    const path = `${storeDir}/${output.path}`;
    demand(world.database.tables.failedPaths.has(path), "failures are remembered", () => `${row.id}`);
  }
}

/** Everything is drained: each build has an outcome that the plan allows, and no row is left open. */
export function checkOutcomes(world: RunnerWorld): void {
  const { tables } = world.database;
  for (const row of tables.builds.values()) {
    checkOutcome(world, row);
    checkTries(world, row);
  }
  for (const step of tables.steps.values()) {
    const key = `${step.build}/${step.stepnr}`;
    demand(step.busy === 0, "no busy row at the end", () => `step ${key}`);
    demand(step.status !== undefined, "no row without an outcome", () => `step ${key}`);
  }
}

function closureOf(world: RunnerWorld, drv: StorePath): PlannedDerivation[] {
  const own = [...world.derivations.values()].find((known) => known.drv === drv || known.twin === drv);
  const names = new Set(own === undefined ? [] : [own.planned.name]);
  for (const name of names) for (const input of world.planned(name).inputs) names.add(input);
  return [...names].map((name) => world.planned(name));
}

/** As long as a build is unfinished its steps are tried so often and not more, whatever runners die. */
function checkTries(world: RunnerWorld, { id }: BuildRow): void {
  if (world.restarts > 0) return;
  const tries = new Map<string, number>();
  for (const row of world.database.tables.steps.values()) {
    const counts =
      row.build === id &&
      row.status === 3 &&
      row.stopTime !== 0 &&
      row.propagatedFrom === undefined &&
      row.error !== givenBackMessage &&
      row.error !== machineLeftMessage;
    if (counts) tries.set(row.drvPath, (tries.get(row.drvPath) ?? 0) + 1);
  }
  for (const [drv, count] of tries) {
    demand(count <= world.plan.maxTries, "no step is tried too often", () => `${count} times ${drv}`);
  }
}

/** Tries that came to nothing through no fault of the derivation. Runners that died do not count. */
function triesOf(world: RunnerWorld, { name }: PlannedDerivation): number {
  return [...world.database.tables.steps.values()].filter(
    (row) =>
      row.drvPath.endsWith(`-${name}.drv`) &&
      row.status === 3 &&
      row.stopTime !== 0 &&
      row.propagatedFrom === undefined,
  ).length;
}

function checkOutcome(world: RunnerWorld, row: BuildRow): void {
  const drv = parseFullStorePath(storeDir, row.drvPath);
  const all = closureOf(world, drv);
  const [own, ...below] = all;
  const fails = (one: PlannedDerivation): boolean =>
    one.result === "fails" || world.ledger.misreported.has(one.name);
  const allowed = (): boolean => {
    switch (row.status ?? -1) {
      case 0:
        return own?.result === "succeeds" || world.ledger.misreported.has(own?.name ?? "");
      case 1:
        return own !== undefined && fails(own);
      case 2:
        return below.some(fails);
      case 3:
        // Rows of builds that were deleted tell nothing any more; a machine lost before the order was sent leaves none.
        return (
          world.deletions > 0 || all.some((one) => triesOf(world, one) + world.losses >= world.plan.maxTries)
        );
      case 4:
        return world.cancelled.has(row.id);
      case 9:
        // Since then there is a machine for everything.
        return (row.stopTime ?? 0) * 1000 <= start + world.plan.healAt + unsupportedMs;
      case 6:
        return own?.result === "failsWithOutput";
      case 7:
        return all.some((one) => one.result === "timesOut");
      default:
        return false;
    }
  };
  demand(row.finished && allowed(), "a build ends as its derivations do", () => {
    return `build ${row.id} (${own?.name}) has ${row.status}`;
  });
}

/** Builders have left and a day has passed. */
export function checkDrained(world: RunnerWorld, life: RunnerLife): void {
  const { scheduler, attempts, registry, tasks, sessions } = life.parts;
  scheduler.advance();
  scheduler.advance();
  const { jobsets: _, ...sizes } = scheduler.view.sizes();
  const left = Object.entries({
    ...sizes,
    attempts: attempts.size,
    registered: registry.size,
    tasks: tasks.size,
    sessions: sessions.all().length,
    timers: world.time.processTimers,
  }).filter(([, size]) => size !== 0);
  demand(left.length === 0, "memory returns to zero", () => JSON.stringify(left));
}
