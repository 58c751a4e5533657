// A builder in twenty lines: builds for the runner at the given address and prints the logs of its builds.
import { BuilderClient, createLogger, defineBuilderConfig, openStore } from "hydra-runner";
import { runnerGateways } from "hydra-runner/builder";

const [address = "http://[::1]:50051"] = process.argv.slice(2);
await using store = await openStore(process.env.NIX_REMOTE);
await using client = new BuilderClient({
  settings: defineBuilderConfig({ maxJobs: 2 }),
  store,
  gateways: await runnerGateways({ addresses: [address], storeDir: store.storeDir }),
  logger: createLogger({ target: "builder", level: "warn" }),
  onLog: ({ bytes }) => void process.stdout.write(bytes),
  onBuild: (event) => console.log(event.kind === "phase" ? event.phase : event.kind, event.drv),
});
process.once("SIGTERM", () => void client.close({ drain: true }));
await client.start();
console.log("joined");
await client.finished;
