#!/usr/bin/env node
/** `hydra-builder`. Imports nothing, so that it can speak where the program cannot be opened. */
try {
  await import("./main/hydra-builder.js");
} catch (error) {
  if (!(error instanceof Error && "code" in error && error.code === "EMFILE")) throw error;
  console.error("hydra-builder: too few files can be open: raise LimitNOFILE= of the service, or ulimit -Hn");
  process.exitCode = 2;
}
