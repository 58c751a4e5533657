/** Units for hosts without NixOS: accepted by systemd, as strict as the Nix modules; and the disk guard at its limits. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const systemd = join(root, "ops/systemd");
const folder = mkdtempSync(join(tmpdir(), "units-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const has = (program: string): boolean => spawnSync(program, ["--version"]).status === 0;
const services = ["hydra-queue-runner.service", "hydra-builder.service"];

/** Values by key of a unit file; lists as systemd joins them. */
function directives(name: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [, key = "", value = ""] of readFileSync(join(systemd, name), "utf8").matchAll(
    /^(\w+)=(.*)$/gm,
  )) {
    found.set(key, [...(found.get(key) ?? []), ...value.split(" ")]);
  }
  return found;
}

describe("units", () => {
  it.skipIf(!has("systemd-analyze"))("are accepted by systemd-analyze verify", () => {
    const units = join(folder, "units");
    cpSync(systemd, units, { recursive: true });
    writeFileSync(
      join(units, "nix-daemon.socket"),
      "[Socket]\nListenStream=/run/x\nService=nix-daemon.service\n",
    );
    writeFileSync(join(units, "nix-daemon.service"), "[Service]\nExecStart=/bin/true\n");
    const names = [
      ...services,
      "hydra-queue-runner-check-space.service",
      "hydra-queue-runner-check-space.timer",
    ];
    const { status, stderr } = spawnSync(
      "systemd-analyze",
      ["verify", "--man=no", ...names.map((name) => join(units, name))],
      {
        encoding: "utf8",
        env: { ...process.env, SYSTEMD_UNIT_PATH: `${units}:` },
      },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  it.each(services)("%s forbids what the Nix modules forbid", (name) => {
    const { status, stdout } = spawnSync(
      "nix-instantiate",
      ["--eval", "--strict", "--json", "nix/hardening.nix"],
      {
        cwd: root,
        encoding: "utf8",
        env: { ...process.env, NIX_REMOTE: "", NIX_STATE_DIR: join(folder, "nix") },
      },
    );
    expect(status).toBe(0);
    const hardening = JSON.parse(stdout) as Record<string, boolean | string | string[]>;
    const found = directives(name);
    for (const [key, value] of Object.entries(hardening)) {
      const wanted = Array.isArray(value) ? value : [String(value)];
      const plain = (text: string): string => text.replace(/^~|\/$/g, "");
      expect(found.get(key)?.map(plain), key).toEqual(wanted.map(plain));
    }
    expect(found.has("MemoryDenyWriteExecute")).toBe(false);
  });

  it.skipIf(!has("systemd-sysusers"))("users and folders are accepted by systemd", () => {
    const tree = join(folder, "tree");
    mkdirSync(join(tree, "etc"), { recursive: true });
    writeFileSync(join(tree, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
    writeFileSync(join(tree, "etc/group"), "root:x:0:\n");
    const users = spawnSync("systemd-sysusers", [
      `--root=${tree}`,
      join(systemd, "hydra-runner.sysusers.conf"),
    ]);
    expect(users.status).toBe(0);
    const passwd = readFileSync(join(tree, "etc/passwd"), "utf8");
    for (const name of services) expect(passwd).toContain(`${directives(name).get("User")?.[0]}:`);
    const folders = spawnSync("systemd-tmpfiles", [
      "--create",
      `--root=${tree}`,
      join(systemd, "hydra-runner.tmpfiles.conf"),
    ]);
    expect(folders.status).toBe(0);
    for (const path of directives("hydra-queue-runner.service").get("ReadWritePaths") ?? []) {
      if (path.startsWith("/")) expect(existsSync(join(tree, path)), path).toBe(true);
    }
  });
});

describe("the disk guard", () => {
  const gib = 1024 * 1024;
  const flag = join(folder, "flag");
  const calls = join(folder, "calls");
  const program = (name: string, script: string): void => {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  };
  program("systemctl", `echo "$@" >> ${calls}`);
  program("df", 'echo Avail; echo "$FREE"');
  /** What it asks systemctl for with this much free. */
  const run = (freeGib: number): string => {
    rmSync(calls, { force: true });
    const { status } = spawnSync(join(root, "ops/check-space.sh"), {
      env: {
        PATH: `${folder}${delimiter}${process.env.PATH}`,
        FREE: String(freeGib * gib),
        FLAG: flag,
        MINIMUM_FREE_GIB: "20",
        UNITS: "a.socket b.service",
      },
    });
    expect(status).toBe(0);
    return existsSync(calls) ? readFileSync(calls, "utf8").trim() : "";
  };

  it("stops below the limit, and starts 10 GiB above it only what it has stopped", () => {
    expect(run(100)).toBe("");
    expect(run(20)).toBe("");
    expect(run(19)).toBe("stop a.socket b.service");
    expect(run(25)).toBe("");
    expect(run(30)).toBe("");
    expect(run(31)).toBe("start a.socket b.service");
    expect(run(31)).toBe("");
  });

  it("reads the real df", () => {
    const { status, stderr } = spawnSync(join(root, "ops/check-space.sh"), {
      encoding: "utf8",
      env: { PATH: process.env.PATH, STORE: folder, FLAG: flag, MINIMUM_FREE_GIB: "0" },
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });
});
