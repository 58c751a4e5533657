/**
 * Vitest settings for every kind of test; the projects differ only in what they may touch. Timeouts find what hangs, on
 * a machine that is busy with other things too; no test waits for them.
 */
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./support/longest-first.js";

/** Of each project, not of their root as well: it would be done twice. */
const globalSetup = ["test/support/global-setup.ts"];

export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    setupFiles: ["test/support/warnings.ts"],
    sequence: { sequencer: LongestFirst },
    testTimeout: 120_000,
    hookTimeout: 180_000,
    // Modules are loaded once per worker, not for each file: half of the time went there. So what a test changes in its
    // process (environment, listeners, globals) it changes back, and state of a module is per worker.
    isolate: false,
    // Also the grace for processes that tests have told to end.
    teardownTimeout: 120_000,
    expect: { poll: { timeout: 60_000, interval: 10 } },
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          globalSetup,
          // Both cores of a small machine.
          maxWorkers: 2,
          include: ["test/**/*.test.ts"],
          exclude: ["test/integration/**", "test/security/**", "test/s3/**", "node_modules/**"],
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          globalSetup,
          include: ["test/integration/**/*.test.ts", "test/security/**/*.test.ts"],
          // Beside that of every project.
          setupFiles: ["test/support/end-of-file.ts"],
          testTimeout: 300_000,
          maxWorkers: 4,
        },
      },
      {
        extends: true,
        test: { name: "s3", globalSetup, include: ["test/s3/**/*.test.ts"], testTimeout: 300_000 },
      },
    ],
  },
});
