/**
 * What connected builders cost: thousands of simulated ones in another process join a real runner over real sockets and
 * ping it. The yardstick is a bare server on `node:http2` with the same builders in the same run.
 *
 * `fleet [builders] [seconds]`
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { referenceProtocolVersion } from "../lib/config/index.js";
import { atMost, type Benchmark } from "./benchmark.js";
import { withFarm } from "./farm.js";

const pingMs = 10_000;

interface Cost {
  readonly joinedMs: number;
  /** Processor time from the first connection until all had joined. */
  readonly joinCpuMs: number;
  /** Of one core, in percent, while all ping. */
  readonly cpuPercent: number;
  readonly residentMb: number;
  readonly lost: number;
}

/** Joins the builders to a server, lets them ping, and measures the server's process. */
async function measure(pid: number, port: number, count: number, seconds: number): Promise<Cost> {
  const cpuBefore = await cpuSeconds(pid);
  const builders = start("builders", [port, count, pingMs, referenceProtocolVersion]);
  let lost = 0;
  try {
    const joinedMs = await new Promise<number>((resolve, reject) => {
      builders.on("message", (message: { readonly ms?: number; readonly left?: string }) => {
        if (message.ms !== undefined) resolve(message.ms);
        if (message.left !== undefined) lost++;
      });
      builders.once("exit", () => reject(new Error("the builders ended")));
      setTimeout(() => reject(new Error("not all builders joined in five minutes")), 300_000).unref();
    });
    const joinCpuMs = ((await cpuSeconds(pid)) - cpuBefore) * 1000;
    await sleep(2_000);
    const [before, at] = [await cpuSeconds(pid), performance.now()];
    await sleep(seconds * 1000);
    const cpuPercent = (((await cpuSeconds(pid)) - before) / (performance.now() - at)) * 100_000;
    return { joinedMs, joinCpuMs, cpuPercent, residentMb: await residentMb(pid), lost };
  } finally {
    const ended = once(builders, "exit");
    builders.disconnect();
    await ended;
  }
}

function start(program: string, args: readonly (string | number)[]): ChildProcess {
  return fork(fileURLToPath(new URL(`fleet/${program}.js`, import.meta.url)), args.map(String));
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1");
  const [user = 0, system = 0] = stat.slice(stat.lastIndexOf(")")).split(" ").slice(12, 14).map(Number);
  return (user + system) / 100;
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "latin1");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}

async function bareCost(count: number, seconds: number): Promise<Cost> {
  const server = start("bare-server", []);
  try {
    const [{ port }] = (await once(server, "message")) as [{ readonly port: number }];
    return await measure(server.pid ?? 0, port, count, seconds);
  } finally {
    server.disconnect();
  }
}

export const run: Benchmark = async ([builders = "2000", duration = "20"]) => {
  const [count, seconds] = [Number(builders), Number(duration)];
  const probeFile = join(tmpdir(), `hydra-fleet-${process.pid}`);
  const probe = fileURLToPath(new URL("loop-probe.js", import.meta.url));
  const runnerEnv = { NODE_OPTIONS: `--import=${probe}`, PROBE_FILE: probeFile };
  try {
    const bare = await bareCost(count, Math.ceil(seconds / 4));
    return await withFarm({ builders: [], runnerEnv }, async (pair) => {
      await sleep(2_000);
      const idleMb = await residentMb(pair.runner.pid);
      const blocksBefore = (await readFile(probeFile, "latin1")).length;
      const cost = await measure(pair.runner.pid, Number(new URL(pair.gatewayUrl).port), count, seconds);
      const blocks = (await readFile(probeFile, "latin1")).slice(blocksBefore).split("\n").map(Number);
      const yardstick = (value: number) => ({ name: "bare node:http2 server", value });
      return [
        {
          figure: "all joined",
          value: cost.joinedMs,
          unit: "ms",
          yardstick: yardstick(bare.joinedMs),
          goal: atMost(3_000),
        },
        {
          figure: "processor time of a join",
          value: cost.joinCpuMs / count,
          unit: "ms",
          yardstick: yardstick(bare.joinCpuMs / count),
        },
        {
          figure: "processor while pinging",
          value: cost.cpuPercent,
          unit: "% of a core",
          yardstick: yardstick(bare.cpuPercent),
          goal: atMost(10),
        },
        {
          figure: "resident",
          value: cost.residentMb,
          unit: "MB",
          yardstick: yardstick(bare.residentMb),
          goal: atMost(250),
        },
        { figure: "resident, a builder", value: ((cost.residentMb - idleMb) * 1024) / count, unit: "kB" },
        {
          figure: "longest block of the event loop",
          value: Math.max(...blocks),
          unit: "ms",
          goal: atMost(50),
        },
        { figure: "builders lost", value: cost.lost, unit: "", goal: atMost(0) },
      ];
    });
  } finally {
    await rm(probeFile, { force: true });
  }
};
