// A builder in twenty lines: builds for the runner at the given address and prints the logs of its builds.
import { BuilderClient, createLogger, defineBuilderConfig, openStore } from "hydra-runner";

const [runner = "http://[::1]:50051"] = process.argv.slice(2);
await using store = await openStore(process.env.NIX_REMOTE);
await using client = await BuilderClient.open({
  runners: [runner],
  store,
  settings: defineBuilderConfig({ maxJobs: 2 }),
  logger: createLogger({ target: "builder", level: "warn" }),
  onLog: ({ bytes }) => void process.stdout.write(bytes),
  onBuild: (event) => console.log(event.kind === "phase" ? event.phase : event.kind, event.drv),
});
process.once("SIGTERM", () => void client.close({ drain: true }));
console.log("joined");
await client.finished;
