// A sink that posts the result of each build to a webhook, and tries again while the receiver is away.
import { setTimeout as sleep } from "node:timers/promises";
import { defineQueueRunnerConfig, openStore, QueueRunner } from "hydra-runner";
import type { BuildFinished } from "hydra-runner/runner";

const [url = "http://127.0.0.1:9000/results", hydraDataDir = "/var/lib/hydra", ...drvs] =
  process.argv.slice(2);

/** Results wait in order behind one that cannot be delivered; after the last try it is given up, which the log says. */
async function post(result: BuildFinished): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      const body = JSON.stringify(result);
      const response = await fetch(url, { method: "POST", body, signal: AbortSignal.timeout(10_000) });
      if (response.ok) return;
      throw new Error(`the webhook answered ${response.status}`);
    } catch (error) {
      if (tries === 5) throw error;
      await sleep(100 * 2 ** tries);
    }
  }
}

await using store = await openStore(process.env.NIX_REMOTE);
await using runner = await QueueRunner.open({
  config: defineQueueRunnerConfig({ dbUrl: "embedded:", hydraDataDir, rootsDir: `${hydraDataDir}/roots` }),
  store,
  grpc: { kind: "tcp", host: "127.0.0.1", port: 0 },
  onResult: post,
});
for (const drv of drvs) await runner.enqueue({ drv, jobset: "default:default" });
const stop = new Promise((resolve) => process.once("SIGTERM", resolve));
console.log(`running at ${runner.builderAddress}`);
await stop;
