/** The lock of a data folder against our own kind, against `flock` as other programs take it, and after crashes. */
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { acquireLockFile } from "../../lib/process/index.js";
import { type ScratchFolder, scratchFolder } from "./child.js";

let folder: ScratchFolder;
let path: string;
beforeEach(async () => {
  folder = await scratchFolder();
  path = join(folder.path, "queue-runner", "lock");
});
afterEach(() => folder[Symbol.asyncDispose]());

const run = promisify(execFile);
/** Whether another program could have the lock now. */
const isFree = (): Promise<boolean> =>
  run("flock", ["-x", "-n", path, "true"]).then(
    () => true,
    () => false,
  );
const holder = (file: string, options = "{}"): string => `
  const lock = await lib.acquireLockFile(${JSON.stringify(file)}, ${options});
  console.log(lock.kind);
  setInterval(() => {}, 1000);
`;

describe("acquireLockFile with flock", () => {
  it("makes the folder, excludes itself and others, and says who has it", async () => {
    const lock = await acquireLockFile(path);
    expect(lock).toMatchObject({ kind: "flock", path });
    expect(await isFree()).toBe(false);
    await expect(acquireLockFile(path)).rejects.toMatchObject({
      code: "locked",
      message: expect.stringContaining(`process ${process.pid}`),
    });
    await lock.release();
    expect(await isFree()).toBe(true);
    expect((await stat(path)).isFile()).toBe(true);
    await using again = await acquireLockFile(path);
    expect(again.kind).toBe("flock");
  });

  it("respects a lock that another program holds", async () => {
    await mkdir(join(folder.path, "queue-runner"));
    const other = spawn("flock", ["-x", path, "sh", "-c", "echo held; exec sleep 60"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    await once(other.stdout, "data");
    await expect(acquireLockFile(path)).rejects.toMatchObject({ code: "locked" });
    execFileSync("sh", ["-c", `kill $(cat /proc/${other.pid}/task/${other.pid}/children) ${other.pid}`]);
    await once(other, "close");
    await using lock = await acquireLockFile(path);
    expect(lock.kind).toBe("flock");
  });

  it("is free again after the holder was killed", async () => {
    const child = await folder.start(holder(path));
    expect(await child.line()).toBe("flock");
    await expect(acquireLockFile(path)).rejects.toMatchObject({
      message: expect.stringContaining(`process ${child.process.pid}`),
    });
    child.process.kill("SIGKILL");
    await child.ended;
    await using lock = await acquireLockFile(path);
    expect(await readFile(path, "utf8")).toBe(`${process.pid}\n`);
    expect(lock.kind).toBe("flock");
  });

  it("is not inherited by children of the holder", async () => {
    const child = await folder.start(`
      import { spawn } from "node:child_process";
      const lock = await lib.acquireLockFile(${JSON.stringify(path)});
      const sleeper = spawn("sleep", ["60"], { stdio: "ignore" });
      console.log(sleeper.pid);
    `);
    const sleeper = Number(await child.line());
    child.process.kill("SIGKILL");
    await child.ended;
    try {
      await using lock = await acquireLockFile(path);
      expect(lock.kind).toBe("flock");
    } finally {
      process.kill(sleeper);
    }
  });

  it("lets exactly one of many in", async () => {
    const all = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLockFile(path)));
    const held = all.filter((one) => one.status === "fulfilled");
    expect(held).toHaveLength(1);
    for (const one of held) await one.value.release();
  });

  it("tells when the file cannot be made", async () => {
    await writeFile(join(folder.path, "queue-runner"), "a file where the folder should be");
    await expect(acquireLockFile(path)).rejects.toMatchObject({ code: "lock-unusable" });
  });

  it("does not take a broken flock program for a busy lock", async () => {
    await expect(acquireLockFile(path, { flockProgram: "false-flock" })).resolves.toMatchObject({
      kind: "pid-file",
    });
    await rm(`${path}.pid`);
    const broken = join(folder.path, "flock");
    await writeFile(broken, "#!/bin/sh\necho 'Bad file descriptor' >&2\nexit 1\n", { mode: 0o755 });
    await expect(acquireLockFile(path, { flockProgram: broken })).rejects.toMatchObject({
      code: "lock-unusable",
    });
  });
});

describe("acquireLockFile without flock", () => {
  const options = { flockProgram: "no-such-flock" };

  it("excludes others while the process lives", async () => {
    const child = await folder.start(holder(path, JSON.stringify(options)));
    expect(await child.line()).toBe("pid-file");
    await expect(acquireLockFile(path, options)).rejects.toMatchObject({
      code: "locked",
      message: expect.stringContaining(`process ${child.process.pid}`),
    });
    child.process.kill("SIGKILL");
    await child.ended;
    const lock = await acquireLockFile(path, options);
    await lock.release();
    await expect(stat(`${path}.pid`)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("knows a later process with the same number from the holder", async () => {
    await mkdir(join(folder.path, "queue-runner"));
    await writeFile(`${path}.pid`, `${process.pid} 1\n`);
    await using lock = await acquireLockFile(path, options);
    expect(lock.kind).toBe("pid-file");
  });

  it.each(["", "garbage", "0", "-1", "999999999 5"])(
    "takes over a file that names nobody: %j",
    async (text) => {
      await mkdir(join(folder.path, "queue-runner"));
      await writeFile(`${path}.pid`, text);
      await using lock = await acquireLockFile(path, options);
      expect(lock.kind).toBe("pid-file");
    },
  );

  it("lets exactly one of several processes in, also when a stale file lies there", async () => {
    await mkdir(join(folder.path, "queue-runner"));
    await writeFile(`${path}.pid`, "999999999 5\n");
    const code = `
      try { await lib.acquireLockFile(${JSON.stringify(path)}, ${JSON.stringify(options)}); console.log("held"); }
      catch (error) { console.log(error.code); }
      setInterval(() => {}, 1000);
    `;
    const children = await Promise.all(Array.from({ length: 4 }, () => folder.start(code)));
    const said = await Promise.all(children.map((child) => child.line()));
    expect(said.sort()).toEqual(["held", "locked", "locked", "locked"]);
  });
});
