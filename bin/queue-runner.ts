#!/usr/bin/env node
/** `queue-runner`, also named `hydra-queue-runner`. Imports nothing, so that it can speak where the program cannot be opened. */
try {
  await import("./main/queue-runner.js");
} catch (error) {
  if (!(error instanceof Error && "code" in error && error.code === "EMFILE")) throw error;
  console.error("queue-runner: too few files can be open: raise LimitNOFILE= of the service, or ulimit -Hn");
  process.exitCode = 2;
}
