// Folders that the user of a program may not write: one line at the start that names the setting.
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startChild } from "../support/child.js";
import { builderProgram, queueRunnerProgram } from "../support/pair.js";

const databaseEntrance = new URL("../../dist/lib/database/index.js", import.meta.url).pathname;
const isRoot = process.getuid?.() === 0;
let folder = "";
let closed = "";
let open = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hydra-forbidden-"));
  await chmod(folder, 0o755);
  closed = join(folder, "closed");
  open = join(folder, "open");
  for (const path of [closed, open, join(open, "roots"), join(open, "partly")]) {
    await mkdir(path);
    await chmod(path, 0o777);
  }
  await chmod(closed, 0o555);
});
afterAll(async () => {
  await chmod(closed, 0o755);
  await rm(folder, { recursive: true, force: true });
});

/** Starts a program as a user that owns nothing here. */
async function start(program: string, flags: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const command = [process.execPath, program, ...flags];
  const asOther = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
  const [first = "", ...rest] = isRoot ? [...asOther, ...command] : command;
  const { PATH } = process.env;
  const child = startChild({
    name: "program",
    command: first,
    args: rest,
    env: { PATH, LOGNAME: "tester", NIX_REMOTE: `unix://${folder}/none`, ...env },
  });
  const { code } = await child.ended;
  const said = child.output().split("\n");
  return { code, said: said.filter((line) => line !== "" && !/^\d{4}-\d\d-\d\dT/.test(line)) };
}

interface Folders {
  readonly hydraDataDir?: string;
  readonly rootsDir?: string;
  readonly remoteStoreAddr?: string;
}

async function runnerWith(changed: Folders, flags: readonly string[]) {
  const file = join(folder, "queue-runner.toml");
  const { hydraDataDir = join(open, "data"), rootsDir = join(open, "roots"), remoteStoreAddr } = changed;
  const cache = remoteStoreAddr === undefined ? "" : `remoteStoreAddr = ["${remoteStoreAddr}"]\n`;
  await writeFile(
    file,
    `dbUrl = "postgres://x@127.0.0.1:1/x"\nhydraDataDir = "${hydraDataDir}"\nrootsDir = "${rootsDir}"\n${cache}`,
  );
  return start(queueRunnerProgram, ["--config-path", file, ...flags]);
}

test.each([
  ["hydraDataDir", "itself", () => closed],
  ["hydraDataDir", "that is to be made", () => join(closed, "data")],
  ["rootsDir", "itself", () => closed],
  ["rootsDir", "that is to be made", () => join(closed, "a/b")],
  ["remoteStoreAddr", "of a cache", () => `file://${closed}/cache`],
] as const)("%s: a folder %s", async (setting, _, value) => {
  for (const flags of [[], ["--check-config"]]) {
    const { code, said } = await runnerWith({ [setting]: value() }, flags);
    expect(said).toEqual([expect.stringContaining(`key '${setting}': '${closed}' may not be written`)]);
    expect(code).toBe(2);
  }
});

test.each(["build-logs", "queue-runner", "queue-runner/uploads"])(
  "hydraDataDir: %s below it",
  async (part) => {
    const data = join(open, "partly");
    await mkdir(join(data, part), { recursive: true });
    await chmod(dirname(join(data, part)), 0o777);
    await chmod(join(data, part), 0o555);
    try {
      const { code, said } = await runnerWith({ hydraDataDir: data }, []);
      const where = `key 'hydraDataDir': '${join(data, part)}' may not be written`;
      expect(said).toEqual([expect.stringContaining(where)]);
      expect(code).toBe(2);
    } finally {
      await rm(join(data, part), { recursive: true });
    }
  },
);

test("dbUrl: a socket in a folder that this user may not enter", async () => {
  const locked = join(folder, "locked");
  await mkdir(locked, { mode: 0o700 });
  const server = createServer().listen(join(locked, ".s.PGSQL.5432"));
  await once(server, "listening");
  // The folder's owner may enter it, if that is not root, who may anyway.
  if (!isRoot) await chmod(locked, 0);
  const script = join(folder, "database.mjs");
  await writeFile(
    script,
    `import { openHydraDatabase } from ${JSON.stringify(databaseEntrance)};
     openHydraDatabase({ url: process.argv[2], dataDir: process.cwd() }).catch((error) => console.log(error.name, error.message));`,
  );
  try {
    const { said } = await start(script, [`postgres://x@/x?host=${locked}`]);
    expect(said).toEqual([
      expect.stringMatching(/^UsageError .*this user may not use its socket; check dbUrl$/),
    ]);
  } finally {
    server.close();
    await chmod(locked, 0o700);
  }
});

test("TMPDIR of the builder, in which logs and uploads are kept for a while", async () => {
  const file = join(folder, "builder.toml");
  await writeFile(file, "");
  const flags = ["--gateway-endpoint", "http://127.0.0.1:1", "--config-path", file];
  const { code, said } = await start(builderProgram, flags, { TMPDIR: closed });
  expect(said).toEqual([
    expect.stringMatching(/^hydra-builder: TMPDIR: '.*closed' may not be written by this user/),
  ]);
  expect(code).toBe(2);
});
