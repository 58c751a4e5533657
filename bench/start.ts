/**
 * How long the programs take to start: `--version`, and until they are ready (the runner listens and owns its database,
 * the builder has joined). The yardstick is a Node that does nothing, in the same run.
 */
import { spawn } from "node:child_process";
import { builderProgram, type Pair, queueRunnerProgram } from "../test/support/pair.js";
import { atMost, type Benchmark, type Result } from "./benchmark.js";
import { median, withFarm } from "./farm.js";
import { cpuMs } from "./processes.js";

/** Milliseconds until a program has ended. */
async function lifeOf(...args: readonly string[]): Promise<number> {
  const started = performance.now();
  const child = spawn(process.execPath, args, { stdio: "ignore" });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  if (code !== 0) throw new Error(`${args.join(" ")} ended with ${String(code)}`);
  return performance.now() - started;
}

interface Ready {
  readonly ms: number;
  /** CPU time until then. */
  readonly cpu: number;
}

async function runnerReady(pair: Pair): Promise<Ready> {
  await pair.runner.stop();
  const started = performance.now();
  const starting = pair.startRunner();
  const child = await starting;
  await child.waitForOutput(/ listening /);
  const [, line = ""] = /^(\S+Z) .* listening /m.exec(child.output()) ?? [];
  return { ms: Date.parse(line) - (performance.timeOrigin + started), cpu: cpuMs(child.pid) };
}

async function builderReady(pair: Pair): Promise<Ready> {
  await pair.builder(0).process.stop();
  const started = performance.now();
  const child = pair.startBuilder(0);
  await child.waitForOutput(/ joined /);
  return { ms: performance.now() - started, cpu: cpuMs(child.pid) };
}

export const run: Benchmark = async ([rounds = "5"]) =>
  withFarm({}, async (pair) => {
    const nothing: number[] = [];
    const runnerVersion: number[] = [];
    const builderVersion: number[] = [];
    const runner: Ready[] = [];
    const builder: Ready[] = [];
    for (let round = 0; round < Number(rounds); round++) {
      nothing.push(await lifeOf("-e", "0"));
      runnerVersion.push(await lifeOf(queueRunnerProgram, "--version"));
      builderVersion.push(await lifeOf(builderProgram, "--version"));
      runner.push(await runnerReady(pair));
      builder.push(await builderReady(pair));
    }
    const yardstick = { name: "node -e 0, ms", value: median(nothing) };
    const row = (figure: string, values: readonly number[], limit?: number): Result => ({
      figure,
      value: median(values),
      unit: "ms",
      yardstick,
      ...(limit === undefined ? {} : { goal: atMost(limit) }),
    });
    return [
      row("queue-runner --version", runnerVersion, 150),
      row("hydra-builder --version", builderVersion, 150),
      row(
        "queue-runner ready",
        runner.map(({ ms }) => ms),
        500,
      ),
      row(
        "queue-runner ready, CPU",
        runner.map(({ cpu }) => cpu),
      ),
      row(
        "hydra-builder joined",
        builder.map(({ ms }) => ms),
        500,
      ),
      row(
        "hydra-builder joined, CPU",
        builder.map(({ cpu }) => cpu),
      ),
    ];
  });
