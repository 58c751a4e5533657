// In every worker: a warning of Node (an experimental feature, too many listeners, a deprecation) fails the run.
process.on("warning", (warning) => {
  throw new Error(`a test or what it tests caused a warning: ${warning.message}`, { cause: warning });
});
