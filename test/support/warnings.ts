// In every worker: a warning of Node (an experimental feature, too many listeners, a deprecation) fails the run.
const installed = Symbol.for("hydra-runner.tests.warnings");

// Once, as this file is run for each test file and workers are shared by several.
if (!(installed in process)) {
  Object.defineProperty(process, installed, { value: true });
  process.on("warning", (warning) => {
    throw new Error(`a test or what it tests caused a warning: ${warning.message}`, { cause: warning });
  });
}
