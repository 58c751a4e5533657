// Builds derivations on this machine and shows what happens as progress bars: a runner and a builder in one process.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import {
  BuilderClient,
  defineBuilderConfig,
  defineQueueRunnerConfig,
  openStore,
  QueueRunner,
} from "hydra-runner";

const folder = await mkdtemp(`${tmpdir()}/hydra-`);
await using store = await openStore(process.env.NIX_REMOTE);
await using runner = await QueueRunner.open({
  config: defineQueueRunnerConfig({ dbUrl: "embedded:", hydraDataDir: folder, rootsDir: `${folder}/roots` }),
  store,
  grpc: { kind: "tcp", host: "127.0.0.1", port: 0 },
});
await using _builder = await BuilderClient.open({
  runners: [runner.builderAddress],
  store,
  settings: defineBuilderConfig({ storeAvailThreshold: 1, buildDirAvailThreshold: 1 }),
});

const phases = ["sendingInputs", "building", "receivingOutputs", "postProcessing"];
const bar = (done: number): string => `[${"#".repeat(done)}${"-".repeat(phases.length - done)}]`;
const events = runner.events({ names: ["stepStarted", "stepProgress", "stepFinished", "buildFinished"] });
const open = new Set<number>();
for (const drv of process.argv.slice(2)) open.add(await runner.enqueue({ drv, jobset: "default:default" }));
for await (const event of events) {
  if (event.type === "stepStarted") console.log(bar(0), event.name, "on", event.machine.hostname);
  if (event.type === "stepProgress")
    console.log(bar(phases.indexOf(event.phase) + 1), event.name, event.phase);
  if (event.type === "stepFinished") console.log(bar(phases.length), event.name, event.outcome.kind);
  if (event.type === "buildFinished") console.log("build", event.build, "ended with status", event.status);
  if (event.type === "buildFinished" && open.delete(event.build) && open.size === 0) break;
}
