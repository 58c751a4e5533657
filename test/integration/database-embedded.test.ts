// The PostgreSQL of our own: made, found again, repaired after accidents, and gone when we are.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  connectionSettings,
  EmbeddedPostgres,
  embeddedDatabaseUrl,
  openHydraDatabase,
} from "../../lib/database/index.js";
import { copyTemplate } from "../support/postgres-template.js";
import { until } from "../support/until.js";

const library = fileURLToPath(new URL("../../dist/lib/database/index.js", import.meta.url));
let dataDir: string;
const children: ChildProcess[] = [];
// How the files are made is the subject of some tests; the others begin with files that are there.
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "ep-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  const pid = await serverPid();
  if (pid !== undefined) {
    process.kill(pid, "SIGQUIT");
    await until("the end of the server", () => !lives(pid));
  }
  await rm(dataDir, { recursive: true, force: true });
});

async function serverPid(): Promise<number | undefined> {
  const text = await readFile(join(dataDir, "postgres/data/postmaster.pid"), "utf8").catch(() => "");
  const pid = Number(text.split("\n")[0]);
  return pid > 0 && lives(pid) ? pid : undefined;
}

/** Zombies, which nobody may have collected in a container, count as dead. */
function lives(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

async function query(text: string): Promise<unknown[]> {
  const client = new Client(connectionSettings(embeddedDatabaseUrl(dataDir)).config);
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

/** A process that starts the server, says so, and then does `then`. */
async function owner(then: string, env: Readonly<Record<string, string>> = {}): Promise<ChildProcess> {
  const program = `
    const { EmbeddedPostgres } = await import(${JSON.stringify(library)});
    const server = await EmbeddedPostgres.start({ dataDir: ${JSON.stringify(dataDir)}, durable: false });
    console.log("up");
    ${then}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  children.push(child);
  const failed = once(child, "exit").then(() => {
    throw new Error("the process ended before its server was up");
  });
  await Promise.race([once(child.stdout, "data"), failed]);
  failed.catch(() => undefined);
  return child;
}

const start = () => EmbeddedPostgres.start({ dataDir, durable: false });
const wait = "setInterval(() => {}, 1000);";

describe("the embedded server", () => {
  it("starts from nothing with a jobset to submit to, and keeps its rows", async () => {
    const first = await openHydraDatabase({ url: "embedded:", dataDir });
    expect(first.description).toContain(dataDir);
    expect((await first.jobsets()).map((jobset) => jobset.id)).toEqual([1]);
    expect(await first.submitBuild({ jobsetId: 1, drvPath: "/nix/store/a.drv", system: "x" })).toBe(1);
    await first.close();
    expect(await serverPid()).toBeUndefined();

    const second = await openHydraDatabase({ url: "embedded:", dataDir });
    expect((await second.unfinishedBuilds()).builds.map((build) => build.id)).toEqual([1]);
    expect(await second.jobsets()).toHaveLength(1);
    await second.close();
  });

  it("can be reached in a folder whose path is too long for a socket", async () => {
    const long = join(dataDir, "d".repeat(60), "e".repeat(60));
    await mkdir(long, { recursive: true });
    const server = await EmbeddedPostgres.start({ dataDir: long, durable: false });
    expect(server.url).toBe(embeddedDatabaseUrl(long));
    const { config } = connectionSettings(server.url);
    const client = new Client(config);
    await client.connect();
    await client.end();
    expect(existsSync(String(config.host))).toBe(true);
    await server.stop();
    expect(existsSync(String(config.host))).toBe(false);
  });

  it("begins anew when making the files was cut short", async () => {
    const rest = join(dataDir, "postgres/data.new");
    await mkdir(rest, { recursive: true });
    await writeFile(join(rest, "PG_VERSION"), "18\n");
    await using server = await start();
    expect(await query("select 1 as one")).toEqual([{ one: 1 }]);
    expect(server.pid).toBeGreaterThan(0);
  });

  it("refuses files of another version instead of touching them", async () => {
    await copyTemplate(dataDir);
    const server = await start();
    await server.stop();
    const version = join(dataDir, "postgres/data/PG_VERSION");
    await writeFile(version, "9\n");
    await expect(start()).rejects.toThrow(/is of PostgreSQL 9/);
    expect(await readFile(version, "utf8")).toBe("9\n");
  });

  it("is started again when it is killed", async () => {
    await copyTemplate(dataDir);
    await using server = await start();
    const before = (await serverPid())!;
    process.kill(before, "SIGKILL");
    await until("a new server", async () => {
      const now = await serverPid();
      return now !== undefined && now !== before;
    });
    await until("an answer", () =>
      query("select 1").then(
        () => true,
        () => false,
      ),
    );
    expect(server.pid).not.toBe(before);
  });

  it("is shared within a process, and taken over by the one that stays", async () => {
    await copyTemplate(dataDir);
    const first = await start();
    await using second = await start();
    expect(second.pid).toBeUndefined();
    await first.stop();
    await until("the second one's server", () => second.pid);
    await until("an answer", () =>
      query("select 1").then(
        () => true,
        () => false,
      ),
    );
  });
});

describe("when the process that started it", () => {
  it("ends without stopping it, the server ends", async () => {
    await copyTemplate(dataDir);
    const child = await owner("process.exit(0);");
    if (child.exitCode === null) await once(child, "exit");
    await until("the end of the server", async () => (await serverPid()) === undefined);
  });

  it("is killed, the server ends too", async () => {
    await copyTemplate(dataDir);
    const child = await owner(wait);
    expect(await serverPid()).toBeDefined();
    child.kill("SIGKILL");
    await until("the end of the server", async () => (await serverPid()) === undefined);
    await using server = await start();
    expect(server.pid).toBeDefined();
  });

  it("is killed on a system without death signals, the next one replaces what is left", async () => {
    await copyTemplate(dataDir);
    const bin = join(dataDir, "bin");
    await mkdir(bin);
    for (const name of ["unshare", "true"]) await symlink(`/usr/bin/${name}`, join(bin, name));
    const child = await owner(wait, { PATH: bin });
    const orphan = (await serverPid())!;
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(lives(orphan)).toBe(true);
    await using server = await start();
    expect(lives(orphan)).toBe(false);
    expect(server.pid).toBeDefined();
    expect(await query("select 1 as one")).toEqual([{ one: 1 }]);
  });

  it("lives, another process uses the same server and goes on after it", async () => {
    await copyTemplate(dataDir);
    const child = await owner(wait);
    const shared = await serverPid();
    await using server = await start();
    expect(server.pid).toBeUndefined();
    expect(await serverPid()).toBe(shared);
    child.kill("SIGKILL");
    await until("our own server", () => server.pid);
    await until("an answer", () =>
      query("select 1").then(
        () => true,
        () => false,
      ),
    );
  });
});
