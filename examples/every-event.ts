// What happens in a runner, event by event. `QueueRunner.on` and `QueueRunner.events` give the same; a simulated farm needs
// neither Nix nor PostgreSQL, and here it has trouble of each kind.
import { simulateFarm } from "hydra-runner/testing";

await using farm = await simulateFarm({
  packages: { lib: { flaky: 0.5 }, app: { inputs: ["lib"] }, docs: { outcome: "failed" }, extra: {} },
  machines: [{ hostname: "good" }, { hostname: "bad", build: () => ({ kind: "broken" }) }],
  config: { maxRetries: 9, retryInterval: 1 },
});
farm.on("buildStarted", ({ job }) => console.log(job, "has its first step running"));
farm.on("buildFinished", ({ job, status, cached }) => console.log(job, "has status", status, cached));
farm.on("buildRemoved", ({ job }) => console.log(job, "left the queue without a result"));
farm.on("stepStarted", ({ name, machine, waitedMs }) => console.log(name, machine.hostname, waitedMs));
farm.on("stepProgress", ({ name, phase }) => console.log(name, "is", phase));
farm.on("stepRetried", ({ name, reason, retryAt }) => console.log(name, reason, new Date(retryAt)));
farm.on("stepFinished", ({ name, outcome, tries }) => console.log(name, outcome.kind, "at try", tries));
farm.on("stepRecorded", ({ drv, ms }) => console.log(drv, "is in the database after", ms, "ms"));
farm.on("machineJoined", ({ machine, maxJobs }) => console.log(machine.hostname, "joined with", maxJobs));
farm.on("machineLeft", ({ machine, reason }) => console.log(machine.hostname, "left:", reason));
farm.on("machineHeld", ({ machine, fault, failures }) => console.log(machine.hostname, fault, failures));
farm.on("machineReleased", ({ machine, because }) => console.log(machine.hostname, "works:", because));
farm.on("uploadRetried", ({ store, reason }) => console.log("uploads to", store, "fail:", reason));
farm.on("uploadFinished", ({ paths, outcome }) => console.log(paths, outcome.kind));
{
  using _ended = farm.on("problem", ({ change, problem }) => console.log(problem.code, change));
  for (const name of ["app", "docs", "extra"]) farm.enqueue({ package: name });
  farm.after(50_000, () => farm.leave("bad"));
  farm.after(50_000, () => farm.database.cancel(3));
  await farm.run();
}
