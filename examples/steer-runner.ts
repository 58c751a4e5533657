// Orders to a runner, and questions to it: what its HTTP routes do, as methods.
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { BuilderClient, defineQueueRunnerConfig, HydraError, openStore, QueueRunner } from "hydra-runner";

const [drv = "/nix/store/….drv"] = process.argv.slice(2);
const folder = await mkdtemp(`${tmpdir()}/hydra-`);
await using store = await openStore(process.env.NIX_REMOTE);
await using runner = await QueueRunner.open({
  config: defineQueueRunnerConfig({ dbUrl: "embedded:", hydraDataDir: folder, rootsDir: `${folder}/roots` }),
  store,
  grpc: { kind: "tcp", host: "127.0.0.1", port: 0 },
});
const build = await runner.enqueue({ drv, jobset: "default:default" });
console.log("without a machine:", (await runner.why(drv)).code);

await using _builder = await BuilderClient.open({
  runners: [runner.builderAddress],
  store,
  hostname: "mac-1",
});
await runner.drain("mac-1");
console.log("drained:", (await runner.why(drv)).code);
await runner.bump(build);
await runner.cancel(build);
try {
  await runner.bump(build);
} catch (error) {
  if (error instanceof HydraError) console.log(error.code, error.message);
}
await runner.resume("mac-1");
console.log("state:", runner.state, runner.healthy ? "and all is well" : "with problems");
