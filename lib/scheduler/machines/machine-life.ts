/** Machines coming, going and coming back. */

import type { Core } from "../core.js";
import type { AttemptId } from "../ids.js";
import type { Random } from "../random.js";
import { acknowledge, complete } from "../steps/attempt-life.js";
import { Timer } from "../timers.js";
import { type AttemptOutcome, type Effect, failureStatus, type MachineLossReason } from "../types.js";
import type { Machine } from "./machine.js";
import type { MachineInfo, MachineLoad } from "./machine-types.js";

/** A machine joins, or rejoins under a known id: attempts that are not in `running` are lost. */
export function join(core: Core, info: MachineInfo, running: readonly AttemptId[], random: Random): Effect[] {
  const known = core.pool.machines.get(info.id);
  const effects: Effect[] = [];
  if (known === undefined) {
    const machine = core.pool.add(info, core.now);
    recallBreaker(core, machine);
    machine.recheck = new Timer(({ now }) => core.pool.refresh(machine, now));
    machine.heartbeat = new Timer((context) => {
      const due = machine.lastSeen + core.options.deadlines.heartbeatMs;
      if (machine.disconnectedUntil === undefined && due <= context.now) {
        context.effects.push(...lose(core, machine, "heartbeat", context.random));
      } else {
        armHeartbeat(core, machine);
      }
    });
    machine.grace = new Timer((context) =>
      context.effects.push(...lose(core, machine, "disconnected", context.random)),
    );
    armHeartbeat(core, machine);
    core.pool.refresh(machine, core.now);
    return effects;
  }
  const kept = new Set(running);
  core.pool.redescribe(known, info, core.now);
  known.disconnectedUntil = undefined;
  known.lastSeen = core.now;
  core.timers.clear(known.grace);
  effects.push(...loseAttempts(core, known, (id) => !kept.has(id), random));
  // What it says it runs has arrived, even if the acknowledgement was lost with the connection.
  for (const id of known.attempts) {
    const attempt = core.attempts.get(id);
    if (attempt !== undefined) acknowledge(core, attempt);
  }
  core.pool.refresh(known, core.now);
  return effects;
}

/** A ping arrived: it is the heartbeat, and reports the load. A ping without pressure keeps the last known pressure. */
export function ping(core: Core, machine: Machine, load: MachineLoad): void {
  const pressure = load.pressure ?? machine.load?.pressure;
  machine.load = { ...load, pressure };
  machine.lastPing = core.now;
  machine.lastSeen = core.now;
  core.pool.refresh(machine, core.now);
}

/**
 * The connection broke. Until `until` (milliseconds since the epoch) the machine keeps its attempts and gets no new
 * ones.
 */
export function disconnect(core: Core, machine: Machine, until: number): void {
  machine.disconnectedUntil = until;
  if (machine.grace !== undefined) core.timers.set(machine.grace, until);
  core.pool.refresh(machine, core.now);
}

/** The loss itself counts against the machine, once for all its attempts. */
const lostAttempt: AttemptOutcome = {
  kind: "retryable",
  reason: "the machine was lost",
  exhausted: failureStatus.aborted,
  evidence: { says: "nothing" },
};

/** The machine is gone, and with it all its attempts. */
export function lose(core: Core, machine: Machine, reason: MachineLossReason, random: Random): Effect[] {
  core.pool.remove(machine, core.now);
  if (hasFreshWork(core, machine)) {
    const seen = { fault: "connection", reason: lossText[reason], step: undefined } as const;
    core.pool.blame(machine, seen, core.now, random);
  }
  core.counters.machinesLost++;
  const effects: Effect[] = [{ kind: "machineLost", machine: machine.info.id, reason }];
  effects.push(...loseAttempts(core, machine, () => true, random));
  rememberBreaker(core, machine);
  return effects;
}

const lossText: Readonly<Record<MachineLossReason, string>> = {
  removed: "the connection was lost",
  heartbeat: "no sign of life came in time",
  disconnected: "the connection was lost and not made again in time",
};

/** Some step is running there that has not failed before; what fails everywhere may be what breaks machines. */
function hasFreshWork(core: Core, machine: Machine): boolean {
  return [...machine.attempts].some((id) => core.attempts.get(id)?.step.tries === 0);
}

function loseAttempts(
  core: Core,
  machine: Machine,
  isLost: (id: AttemptId) => boolean,
  random: Random,
): Effect[] {
  const effects: Effect[] = [];
  for (const attempt of [...machine.attempts].filter(isLost).map((id) => core.attempts.get(id))) {
    if (attempt === undefined) continue;
    const outcome = attempt.onItsWay
      ? lostAttempt
      : ({ kind: "postponed", reason: "the machine was lost", delayMs: 0 } as const);
    const completion = complete(core.settled(), attempt, outcome, random);
    const { id } = machine.info;
    effects.push({
      kind: "attemptEnded",
      cause: "machineLost",
      attempt: attempt.id,
      machine: id,
      abort: false,
      completion,
    });
  }
  return effects;
}

/** Sets the timer after which a silent machine is lost; no timer when the deadline is 0. */
export function armHeartbeat(core: Core, machine: Machine): void {
  const { heartbeatMs } = core.options.deadlines;
  if (machine.heartbeat === undefined) return;
  if (heartbeatMs > 0) {
    const due = machine.lastSeen + heartbeatMs;
    // While it is disconnected the grace timer decides; check again one interval later.
    core.timers.set(machine.heartbeat, due > core.now ? due : core.now + heartbeatMs);
  } else {
    core.timers.clear(machine.heartbeat);
  }
}

/** A builder that crashes comes back with a new id: its failures are remembered by host name for a while. */
function rememberBreaker(core: Core, machine: Machine): void {
  const { hostname } = machine.info;
  if (machine.breaker.consecutiveFailures === 0) return;
  core.timers.clear(core.hosts.get(hostname)?.timer);
  const timer = new Timer(() => core.hosts.delete(hostname));
  core.hosts.set(hostname, { breaker: machine.breaker, timer });
  core.timers.set(timer, Math.max(core.now, machine.breaker.heldUntil) + core.options.breaker.maxHoldMs);
}

function recallBreaker(core: Core, machine: Machine): void {
  const { hostname } = machine.info;
  const remembered = core.hosts.get(hostname);
  if (remembered === undefined) return;
  machine.breaker = remembered.breaker;
  core.timers.clear(remembered.timer);
  core.hosts.delete(hostname);
}
