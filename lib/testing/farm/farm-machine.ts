/**
 * A machine of a simulated farm: an honest builder that keeps its builds while it has no runner, as `hydra-builder`
 * does, and carries them out in virtual time.
 */
import { sleep } from "../../async/index.js";
import type {
  BuildCompletion,
  BuilderJoin,
  BuildOrder,
  CallContext,
  Principal,
  RunnerOrder,
  RunnerServiceHandlers,
} from "../../rpc/index.js";
import { RpcError } from "../../rpc/index.js";
import { addressedOutput, logOf, outputAt, type SimulatedOutput, streamOf } from "../simulated/contents.js";
import { quietPing } from "../simulated/quiet-ping.js";
import type { SeededRandom } from "../simulated/seeded-random.js";
import { peerOf, SimulatedTunnel } from "../simulated/simulated-tunnel.js";
import type { WorldTime } from "../simulated/virtual-time.js";
import type { SimulatedMachine, SimulatedOutcome } from "./options.js";
import type { PlannedPackage } from "./package-set.js";

/** What a machine needs of the farm. */
export interface MachineWorld {
  readonly time: WorldTime;
  readonly random: SeededRandom;
  readonly handlers: () => RunnerServiceHandlers | undefined;
  readonly planned: (name: string) => PlannedPackage | undefined;
}

/** A build on the machine. */
interface Run {
  readonly order: BuildOrder;
  readonly startedAt: number;
  readonly abort: AbortController;
}

/** Virtual milliseconds between two tries to reach the runner. */
const retryMs = 1_000;
const pingMs = 20_000;

const states = {
  succeeded: "success",
  failed: "buildFailure",
  timedOut: "timedOut",
  broken: "preparingFailure",
} as const satisfies Record<SimulatedOutcome["kind"], BuildCompletion["state"]>;

/** One builder of the farm. */
export class FarmMachine {
  readonly hostname: string;
  readonly #world: MachineWorld;
  readonly #options: SimulatedMachine;
  readonly #join: Omit<BuilderJoin, "running">;
  readonly #principal: Principal;
  readonly #runs = new Map<string, Run>();
  #tunnel: SimulatedTunnel | undefined;
  /** Virtual milliseconds since the epoch before which there is no way to the runner. */
  #cutUntil = 0;
  #gone = false;

  constructor(world: MachineWorld, options: SimulatedMachine, number: number) {
    this.#world = world;
    this.#options = options;
    this.hostname = options.hostname;
    this.#join = joinOf(options, number);
    this.#principal = { kind: "token", name: options.hostname };
  }

  /** Joins the runner, and comes back when it is cut off. */
  start(): void {
    this.#connect();
    this.#ping();
  }

  /** Names of the packages that it builds. */
  get building(): string[] {
    return [...this.#runs.values()].map(({ order }) => order.derivation?.name ?? "");
  }

  /** The way to the runner is lost for some virtual milliseconds; its builds go on. */
  cut(milliseconds: number): void {
    this.#cutUntil = this.#world.time.now() + milliseconds;
    this.#tunnel?.break("the network broke");
  }

  /** Nothing arrives any more in either direction for some virtual milliseconds, and neither side notices. */
  silence(milliseconds: number): void {
    const tunnel = this.#tunnel;
    if (tunnel === undefined) return;
    tunnel.blackHole = true;
    this.#cutUntil = this.#world.time.now() + milliseconds;
    this.#world.time.after(milliseconds, () => tunnel.break("nothing has come for long"));
  }

  /** The machine restarts: what it builds is lost. */
  crash(downMs: number): void {
    this.#dropAll();
    this.cut(downMs);
  }

  /** The machine leaves for good. */
  leave(): void {
    this.#gone = true;
    this.#dropAll();
    this.#tunnel?.break("the machine leaves");
  }

  /** The runner's process is gone, and with it all connections. */
  runnerDied(): void {
    this.#tunnel?.break("the runner died");
  }

  #dropAll(): void {
    for (const { abort } of this.#runs.values()) abort.abort(new Error("the machine dropped it"));
    this.#runs.clear();
  }

  #connect(): void {
    if (this.#gone) return;
    const { time, handlers } = this.#world;
    const runner = handlers();
    if (runner === undefined || time.now() < this.#cutUntil) {
      time.after(Math.max(retryMs, this.#cutUntil - time.now()), () => this.#connect());
      return;
    }
    const tunnel: SimulatedTunnel = new SimulatedTunnel(time, this.#join.machineId, this.#principal, {
      onSend: () => {},
      onOrder: (order) => this.#take(order),
      onClosed: () => {},
      onEnd: () => {
        if (this.#tunnel === tunnel) this.#tunnel = undefined;
        time.after(retryMs, () => this.#connect());
      },
    });
    this.#tunnel = tunnel;
    const running = [...this.#runs.values()].map(({ order, startedAt }) => ({
      buildId: order.buildId,
      drv: order.drv,
      ageMs: time.now() - startedAt,
    }));
    void runner
      .openTunnel({ ...this.#join, running }, tunnel)
      .catch(() => {})
      .finally(() => tunnel.close("the runner ended the tunnel"));
  }

  #ping(): void {
    if (this.#gone) return;
    this.#tunnel?.ping(quietPing(this.#join.machineId));
    this.#world.time.after(pingMs, () => this.#ping());
  }

  #take(order: RunnerOrder): void {
    if (order.kind === "abort") {
      this.#runs.get(order.buildId)?.abort.abort(new Error("the runner does not want it any more"));
      this.#runs.delete(order.buildId);
    } else if (order.kind === "build" && !this.#runs.has(order.build.buildId)) {
      const run = { order: order.build, startedAt: this.#world.time.now(), abort: new AbortController() };
      this.#runs.set(order.build.buildId, run);
      // What is aborted is not reported.
      void this.#work(run)
        .catch(() => {})
        .finally(() => this.#runs.delete(order.build.buildId));
    }
  }

  async #work(run: Run): Promise<void> {
    const { order, startedAt } = run;
    const { buildId, drv } = order;
    const { machineId } = this.#join;
    const { time } = this.#world;
    const lines: string[] = [];
    await this.#call(run, (runner, context) =>
      runner.buildStepUpdate({ buildId, machineId, status: "building" }, context),
    );
    const outcome = await this.#carryOut(run, lines);
    const buildMs = time.now() - startedAt;
    run.abort.signal.throwIfAborted();
    const text = lines.map((line) => `${line}\n`).join("");
    await this.#call(run, (runner, context) => runner.buildLog({ drv, chunks: logOf(text) }, context));
    const output = outcome.kind === "succeeded" ? outputOf(order) : undefined;
    if (output !== undefined) {
      await this.#call(run, (runner, context) => runner.buildResult(streamOf(output), context));
    }
    const report = reportOf(order, machineId, outcome, output, buildMs);
    await this.#call(run, (runner, context) => runner.completeBuild(report, context));
  }

  async #carryOut({ order, abort }: Run, lines: string[]): Promise<SimulatedOutcome> {
    const { random } = this.#world;
    const { signal } = abort;
    const planned = this.#world.planned(order.derivation?.name ?? "");
    if (planned === undefined) return { kind: "broken" };
    const { name, package: packed } = planned;
    const { build, hostname, speedFactor = 1 } = this.#options;
    const log = (line: string): void => void lines.push(line);
    if (build !== undefined) {
      try {
        return await build({ name, package: packed, machine: hostname, signal, log, random: random.next });
      } catch (error) {
        log(String(error));
        return { kind: "broken" };
      }
    }
    const { durationMs = 60_000, outcome = "succeeded", flaky = 0 } = packed;
    const broken = random.chance(flaky);
    const share = broken ? random.next() : 1;
    await sleep((share * durationMs) / speedFactor, { signal });
    log(`${name} on ${hostname}`);
    return { kind: broken ? "broken" : outcome };
  }

  /** Tries until the runner has answered; rejects when it refuses for good, and when the build is aborted. */
  async #call(
    { abort }: Run,
    call: (runner: RunnerServiceHandlers, context: CallContext) => Promise<void>,
  ): Promise<void> {
    for (;;) {
      abort.signal.throwIfAborted();
      const runner = this.#world.handlers();
      const tunnel = this.#tunnel;
      if (runner !== undefined && tunnel?.open === true && !tunnel.blackHole) {
        try {
          const context = { peer: peerOf(this.#principal), signal: tunnel.signal };
          await untilAborted(call(runner, context), tunnel.signal);
          return;
        } catch (error) {
          if (error instanceof RpcError && error.code === "failed-precondition" && tunnel.open) throw error;
        }
      }
      await sleep(retryMs, { signal: abort.signal });
    }
  }
}

/** A call to a runner that died is never answered. */
function untilAborted(answer: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const broke = (): void => reject(signal.reason);
    signal.addEventListener("abort", broke, { once: true });
    answer.finally(() => signal.removeEventListener("abort", broke)).then(resolve, reject);
  });
}

function outputOf({ derivation }: BuildOrder): SimulatedOutput | undefined {
  const wanted = derivation?.outputs.get("out");
  if (derivation === undefined || wanted === undefined) return undefined;
  const text = `built: ${derivation.name}`;
  return wanted.kind === "inputAddressed"
    ? outputAt(wanted.path, text)
    : addressedOutput(derivation.name, text);
}

function reportOf(
  { buildId }: BuildOrder,
  machineId: string,
  { kind }: SimulatedOutcome,
  output: SimulatedOutput | undefined,
  buildMs: number,
): BuildCompletion {
  const nixSupport = { failed: false, releaseName: undefined, products: [], metrics: [] };
  return {
    buildId,
    machineId,
    state: states[kind],
    importMs: 0,
    buildMs,
    uploadMs: 0,
    outputs: new Map(
      output === undefined
        ? []
        : [
            [
              "out",
              {
                path: output.path,
                narSize: output.nar.length,
                closureSize: output.nar.length,
                narHash: output.narHash,
                nixSupport,
              },
            ],
          ],
    ),
    error: kind === "succeeded" ? undefined : `simulated: ${kind}`,
  };
}

function joinOf(options: SimulatedMachine, number: number): Omit<BuilderJoin, "running"> {
  const { hostname, systems = ["x86_64-linux"], features = [], mandatoryFeatures = [] } = options;
  return {
    machineId: `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`,
    hostname,
    systems,
    supportedFeatures: [...features, ...mandatoryFeatures],
    mandatoryFeatures,
    cpuCount: options.cores ?? 4,
    bogomips: options.bogomips ?? 4000,
    speedFactor: options.speedFactor ?? 1,
    maxJobs: options.maxJobs ?? 1,
    buildDirAvailThreshold: 0,
    storeAvailThreshold: 0,
    load1Threshold: 8,
    cpuPsiThreshold: 75,
    memPsiThreshold: 80,
    ioPsiThreshold: undefined,
    totalMem: 16 * 1024 ** 3,
    cgroups: false,
    substituters: [],
    useSubstitutes: false,
    nixVersion: "2.30",
  };
}
