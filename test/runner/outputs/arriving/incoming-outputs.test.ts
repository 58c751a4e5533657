// Outputs that arrive while the runner can open no connection to its store.
import { expect, test } from "vitest";
import { DaemonError } from "../../../../lib/nix/daemon/error.js";
import { parseStorePath } from "../../../../lib/nix/index.js";
import { defaultStoreDir } from "../../../../lib/nix/path/store-path.js";
import { IncomingOutputs } from "../../../../lib/runner/outputs/arriving/incoming-outputs.js";
import { type Attempt, AttemptRegistry } from "../../../../lib/runner/state/attempts.js";
import { UnprovenPaths } from "../../../../lib/runner/state/unproven-paths.js";
import { attemptId, machineId } from "../../../../lib/scheduler/ids.js";
import { pathInfo } from "../../../support/path-info.js";

const path = parseStorePath(`${"a".repeat(32)}-made`);
const nar = Buffer.from("the contents");
const info = pathInfo(path, nar);
const attempt = {
  id: attemptId("attempt"),
  machine: machineId("machine"),
  sent: true,
  facts: { outputs: new Map([["out", path]]) },
} as unknown as Attempt;

const ofCaller = { making: () => [attempt], all: () => [attempt], count: () => 1 };

/** What the daemon's socket gives a process that has no descriptor left. */
function lacking(): DaemonError {
  const cause = Object.assign(new Error("connect EMFILE"), { code: "EMFILE", syscall: "connect" });
  return new DaemonError("connect", "Cannot connect to the nix-daemon", { cause });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

test("a path is taken when there are descriptors again, in whole", async () => {
  let [questions, uploads] = [2, 2];
  const stored: Buffer[] = [];
  const attempts = new AttemptRegistry();
  attempts.add(attempt);
  const unproven = new UnprovenPaths({ background: () => {} });
  const incoming = new IncomingOutputs({
    attempts,
    unproven,
    store: {
      storeDir: defaultStoreDir,
      isValidPath: () => (questions-- > 0 ? Promise.reject(lacking()) : Promise.resolve(false)),
      addToStoreNar: async (_, bytes) => {
        if (uploads-- > 0) throw lacking();
        for await (const piece of bytes) stored.push(Buffer.from(piece));
      },
    },
  });
  await incoming.take({ info, nar: once(nar) }, ofCaller, {});
  expect(Buffer.concat(stored)).toEqual(nar);
  expect(unproven.arrivedFor(path, attempt.id)).toBe(true);
});

test("another error is not waited for", async () => {
  const attempts = new AttemptRegistry();
  attempts.add(attempt);
  const refused = new DaemonError("remote", "no space left");
  const incoming = new IncomingOutputs({
    attempts,
    unproven: new UnprovenPaths({ background: () => {} }),
    store: {
      storeDir: defaultStoreDir,
      isValidPath: () => Promise.resolve(false),
      addToStoreNar: () => Promise.reject(refused),
    },
  });
  await expect(incoming.take({ info, nar: once(nar) }, ofCaller, {})).rejects.toBe(refused);
});
