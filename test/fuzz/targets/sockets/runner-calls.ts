/**
 * Calls of a builder with mutated messages, over HTTP/2, to a real server with the real handlers of a runner whose
 * database and store are simulated. An honest builder is joined all the time; its attempt is what the calls are about.
 */
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { Secret } from "../../../../lib/config/index.js";
import { byteStringFromText, type StorePath } from "../../../../lib/nix/index.js";
import { pathInfoFromWire } from "../../../../lib/rpc/convert/index.js";
import { AddToStoreRequestSchema } from "../../../../lib/rpc/gen/runner/v1/streaming_pb.js";
import { connectRunner, RunnerServer } from "../../../../lib/rpc/index.js";
import { assemble } from "../../../../lib/runner/assembly.js";
import { takeOver } from "../../../../lib/runner/attempt/takeover.js";
import { createRpcHandlers } from "../../../../lib/runner/service/rpc-handlers.js";
import { attemptId } from "../../../../lib/scheduler/ids.js";
import { ProcessLife } from "../../../../lib/testing/simulated/process-life.js";
import { quietPing } from "../../../../lib/testing/simulated/quiet-ping.js";
import { SeededRandom } from "../../../../lib/testing/simulated/seeded-random.js";
import { SimulatedDatabase } from "../../../../lib/testing/simulated/simulated-database.js";
import { SimulatedStore } from "../../../../lib/testing/simulated/simulated-store.js";
import { storeDir } from "../../../../lib/testing/simulated/store-paths.js";
import { answerOf, grpcHeaders } from "../../../rpc/support/raw.js";
import { callsOf, files } from "../../../rpc/support/transcript.js";
import { joinFacts } from "../../../simulation/runner/join-facts.js";
import { SimulatedDisk } from "../../../simulation/runner/simulated-disk.js";
import { defaultConfig, idleEdges } from "../../../support/idle-runner.js";
import { assert, type FuzzTarget } from "../../target.js";
import { FaultLog } from "./fault-log.js";
import { withinLimits } from "./limits.js";
import { callOf, recordedBodies } from "./recorded-calls.js";

/** Stands for the identifier of the attempt of the moment. */
const someAttempt = "8d3a5f0e-6c0b-4b1e-9d53-0c2f6f1f7a11";
const uuid = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
/** Longest that a new build waits for its order, in milliseconds. */
const longestWaitMs = 8_000;

/** An output that was sent in the recordings, with what it is an output of. */
function recordedOutput(): { readonly path: StorePath; readonly drv: StorePath } {
  for (const { method, up } of files.flatMap(callsOf)) {
    const [first] = up;
    if (method !== "BuildResult" || first === undefined) continue;
    const { content } = fromBinary(AddToStoreRequestSchema, first.bytes);
    if (content.case !== "header") continue;
    for (const one of content.value.pathInfos) {
      const { path, deriver } = pathInfoFromWire(one, "info");
      if (deriver !== undefined) return { path, drv: deriver };
    }
  }
  throw new Error("the recordings hold no output");
}

/** A runner with one derivation, which is built again and again. */
async function openRunner(machine: string, log: FaultLog) {
  const output = recordedOutput();
  const time = { now: Date.now, after: (ms: number, run: () => void) => void setTimeout(run, ms) };
  const random = new SeededRandom(1);
  const database = new SimulatedDatabase(time, random);
  database.jobsets.push({ id: 1, project: "project", name: "jobset1", shares: 100 });
  const store = new SimulatedStore(time, random);
  store.derivations.set(output.drv, {
    name: "fuzzed",
    outputs: new Map([["out", { kind: "inputAddressed", path: output.path }]]),
    inputSources: [],
    inputDerivations: new Map(),
    system: byteStringFromText("x86_64-linux"),
    builder: byteStringFromText("/bin/sh"),
    args: [],
    env: new Map(),
  });
  const life = new ProcessLife();
  const { logger } = log;
  const config = {
    ...defaultConfig(),
    dbUrl: new Secret("simulated"),
    maxRetries: 1,
    usePresignedUploads: false,
    useSubstitutes: false,
  };
  const parts = assemble({
    config: () => config,
    store: store.connect(life),
    ...database.connect(life),
    logger,
    clock: { now: Date.now, random: Math.random },
    openEdges: () => ({
      ...idleEdges,
      logs: new SimulatedDisk().logs(() => {}),
      readNixSupport: async () => ({ failed: false, releaseName: undefined, products: [], metrics: [] }),
    }),
  });
  parts.scheduler.setOptions({ breaker: { holdMs: 1, maxHoldMs: 2, jitterMs: 0 } });
  await takeOver(parts, logger);
  parts.monitor.start();
  parts.dispatcher.trigger();
  const server = await RunnerServer.start({
    handlers: createRpcHandlers({
      ...parts,
      logger,
      ownVersion: () => "fuzzed",
      acceptedVersions: () => [],
      forcedSubstituters: () => [],
      tokensNameHosts: () => false,
    }),
    storeDir,
    listeners: [{ kind: "tcp", host: "127.0.0.1", port: 0 }],
    logger,
  });
  const endpoint = `http://127.0.0.1:${(server.addresses[0] as AddressInfo).port}`;
  const client = connectRunner({ endpoint });
  const tunnel = await client.openTunnel({ ...joinFacts(1, true, random), machineId: machine, maxJobs: 1 });
  let attempt: string | undefined;
  const listening = (async () => {
    for await (const order of tunnel.orders) if (order.kind === "build") attempt = order.build.buildId;
  })();
  const pings = setInterval(() => tunnel.sendPing(quietPing(machine)), 1_000);
  const runs = (): boolean => attempt !== undefined && parts.attempts.get(attemptId(attempt)) !== undefined;
  const renew = (): void => {
    // What earlier cases led to must not decide this one.
    store.outputs.clear();
    database.tables.failedPaths.clear();
    database.tables.builds.clear();
    database.tables.steps.clear();
    const drvPath = `${storeDir}/${output.drv}`;
    database.addBuild({ jobset: 1, drvPath, priority: 100, globalPriority: 0 });
  };
  return {
    endpoint,
    /** The attempt of the honest builder, which gets a new one when a call has ended the last. */
    attempt: async (): Promise<string> => {
      const until = performance.now() + longestWaitMs;
      for (let waits = 0; !runs() && performance.now() < until; waits++) {
        if (database.unfinished().length === 0) renew();
        await sleep(waits < 20 ? 1 : 20);
      }
      if (attempt === undefined || !runs()) throw new Error("the honest builder gets no work any more");
      return attempt;
    },
    [Symbol.asyncDispose]: async () => {
      clearInterval(pings);
      life.end();
      parts.dispatcher.close();
      await client.close();
      await listening.catch(() => {});
      await server.close({ graceMs: 100 });
      await parts.monitor.close();
    },
  };
}

/** As the owner of the attempt would call; an id of a machine that joins stays as it is. */
function seedsAbout(machine: string): Uint8Array[] {
  const machines = new Set<string>();
  const bodies = recordedBodies("up");
  for (const body of bodies) {
    if (callOf(body).method !== "OpenTunnel") continue;
    for (const [id] of Buffer.from(body).toString("latin1").matchAll(uuid)) machines.add(id);
  }
  return bodies.map((body) => {
    if (callOf(body).method === "OpenTunnel") return body;
    const text = Buffer.from(body).toString("latin1");
    return Buffer.from(
      text.replaceAll(uuid, (id) => (machines.has(id) ? machine : someAttempt)),
      "latin1",
    );
  });
}

export async function runnerCallsTarget(): Promise<FuzzTarget & AsyncDisposable> {
  const machine = "e28fe23b-903e-4cc2-a84b-ddc88c0d7782";
  const log = new FaultLog();
  const runner = await openRunner(machine, log);
  let session: http2.ClientHttp2Session | undefined;
  const connected = (): http2.ClientHttp2Session => {
    if (session === undefined || session.closed || session.destroyed) {
      session = http2.connect(runner.endpoint);
      session.on("error", () => {});
    }
    return session;
  };
  return {
    name: "runner-calls",
    seeds: seedsAbout(machine),
    async run(input) {
      const attempt = await runner.attempt();
      const { method, body } = callOf(input);
      const about = Buffer.from(body).toString("latin1").replaceAll(someAttempt, attempt);
      await withinLimits(method, async () => {
        const path = `/runner.v1.RunnerService/${method}`;
        const stream = connected().request({ ...grpcHeaders, ":path": path });
        stream.end(Buffer.from(about, "latin1"));
        const { headers, trailers } = await answerOf(stream);
        const status = trailers["grpc-status"] ?? headers["grpc-status"];
        assert(status !== undefined || stream.rstCode !== 0, `${method}: ended without a status`);
      });
      log.check();
    },
    [Symbol.asyncDispose]: async () => {
      session?.destroy();
      await runner[Symbol.asyncDispose]();
    },
  };
}
