// A day of a farm in a second, without Nix or PostgreSQL: how an own order of machines fares when the network breaks.
import { simulateFarm } from "hydra-runner/testing";

await using farm = await simulateFarm({
  seed: 2,
  packages: {
    zlib: { durationMs: 40_000 },
    openssl: { durationMs: 120_000, flaky: 0.6 },
    curl: { inputs: ["zlib", "openssl"], durationMs: 60_000 },
    git: { inputs: ["zlib", "curl"], durationMs: 90_000 },
    docs: { durationMs: 5_000, outcome: "failed" },
  },
  machines: [
    { hostname: "slow", speedFactor: 1, maxJobs: 4 },
    { hostname: "fast", speedFactor: 4 },
  ],
  config: { maxRetries: 5, retryInterval: 10 },
  machineOrder: ({ info, jobs }) => info.speedFactor / (1 + jobs),
  onResult: ({ job, status, durationMs }) =>
    console.log(`${job}: status ${status} after ${Math.round(durationMs / 1000)} s`),
});
farm.on("stepStarted", ({ name, machine }) => console.log(`  ${name} on ${machine.hostname}`));
for (const name of ["git", "docs"]) farm.enqueue({ package: name, jobset: "demo:main" });

const begin = farm.now;
farm.after(20_000, () => farm.cut("slow", 5_000));
farm.after(30_000, () => farm.database.disturb({ down: true }, 20_000));
farm.after(100_000, () => farm.killRunner());
await farm.run();
const tries = farm.events.filter(({ type }) => type === "stepRetried").length;
console.log(`all done after ${Math.round((farm.now - begin) / 1000)} s, ${tries} tries came to nothing`);
