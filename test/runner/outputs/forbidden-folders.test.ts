// Folders whose user loses the right to write them for a while, as a user that is not root: what is written waits.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";

const library = (path: string): string => new URL(`../../../dist/lib/${path}`, import.meta.url).href;
const other = 65_534;

const program = `
  import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
  import { setTimeout as sleep } from "node:timers/promises";
  import { TaskGroup } from ${JSON.stringify(library("async/index.js"))};
  import { SpoolFile } from ${JSON.stringify(library("builder/build/spool-file.js"))};
  import { silentLogger as logger } from ${JSON.stringify(library("log.js"))};
  import { LogStore } from ${JSON.stringify(library("runner/outputs/logs/log-store.js"))};
  import { UnprovenFile } from ${JSON.stringify(library("runner/outputs/arriving/unproven-file.js"))};
  import { GcRoots } from ${JSON.stringify(library("runner/outputs/gc-roots.js"))};

  setInterval(() => {}, 1_000); // what waits does not keep the process
  const [folder] = process.argv.slice(-1);
  const drv = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x.drv";
  const ended = [];
  const note = (name, work) => work.then(() => ended.push(name), (error) => ended.push(name + ": " + error));
  await chmod(folder, 0o555);
  const forbidden = await writeFile(folder + "/probe", "").then(() => "no", ({ code }) => code);
  const roots = new GcRoots({
    store: { addPermRoot: (path, link) => writeFile(link, path) },
    folder: () => folder + "/roots",
    tasks: new TaskGroup(() => ended.push("a background task failed")),
    logger,
  });
  const log = new LogStore({ directory: folder + "/logs", maxBytes: 1e6, logger }).create(drv);
  const unproven = new UnprovenFile({ path: folder + "/own/unproven", logger, random: () => 0.5 });
  const work = [
    note("log", log),
    note("spool", SpoolFile.create(folder)),
    note("unproven", unproven.save(() => [drv])),
  ];
  await note("roots are no reason to wait", roots.add([drv]));
  await sleep(700);
  const meanwhile = [...ended];
  await chmod(folder, 0o755);
  await Promise.all(work);
  for (let tries = 0; tries < 100; tries++) {
    const root = await readFile(folder + "/roots/" + drv, "utf8").catch(() => undefined);
    if (root !== undefined) { ended.push("root"); break; }
    await sleep(100);
  }
  console.log(JSON.stringify({ forbidden, meanwhile, ended: ended.sort() }));
  process.exit();
`;

test("logs, files of uploads, the list of unproven paths and roots are written when it comes back", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hydra-forbidden-"));
  try {
    const isRoot = process.getuid?.() === 0;
    if (isRoot) await chown(folder, other, other);
    const node = [process.execPath, "--input-type=module", "-e", program, folder] as const;
    const asOther = ["setpriv", "--reuid", String(other), "--regid", String(other), "--clear-groups"];
    const [command = "", ...args] = isRoot ? [...asOther, ...node] : node;
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    const [said] = await Promise.all([text(child.stdout), once(child, "exit")]);
    expect(JSON.parse(said)).toEqual({
      forbidden: "EACCES",
      meanwhile: ["roots are no reason to wait"],
      ended: ["log", "root", "roots are no reason to wait", "spool", "unproven"],
    });
  } finally {
    await chmod(folder, 0o755);
    await rm(folder, { recursive: true, force: true });
  }
}, 30_000);
