/** What the queue-runner's settings lead to: secrets, stores, the environment, reloads. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import {
  configChanges,
  loadBuilderConfig,
  loadQueueRunnerConfig,
  type QueueRunnerConfig,
  Secret,
} from "../../lib/config/index.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "config-"));
});
afterAll(() => rm(folder, { recursive: true }));

let count = 0;
async function file(text: string): Promise<string> {
  const path = join(folder, `file-${++count}`);
  await writeFile(path, text);
  return path;
}
async function load(
  text: string,
  env: Record<string, string> = {},
): Promise<{ config: QueueRunnerConfig; warnings: readonly string[] }> {
  return loadQueueRunnerConfig({ path: await file(text), env: { LOGNAME: "hydra", ...env } });
}
const list = (paths: readonly string[]): string => JSON.stringify(paths);

describe("the database's address", () => {
  it("comes from the environment before the file", async () => {
    const { config } = await load('dbUrl = "postgres://file/x"', {
      HYDRA_DATABASE_URL: "postgresql://env/x",
    });
    expect(config.dbUrl.reveal()).toBe("postgresql://env/x");
    expect((await load('dbUrl = "embedded:"')).config.dbUrl.reveal()).toBe("embedded:");
  });

  it.each(["", "mysql://x", "localhost", "postgres://"])(
    "is refused when it is %j, without being shown",
    async (url) => {
      await expect(load(`dbUrl = "${url}"`)).rejects.toThrow(/key 'dbUrl' is not a database URL/);
      await expect(load("", { HYDRA_DATABASE_URL: url })).rejects.toThrow(
        /^HYDRA_DATABASE_URL in the environment/,
      );
    },
  );
});

describe("tokens", () => {
  it("are whole files without the white space around", async () => {
    const paths = [await file("  one two \n"), await file("three")];
    const { config } = await load(`tokenPaths = ${list(paths)}`);
    expect(config.tokens?.map((token) => token.reveal())).toEqual(["one two", "three"]);
    expect(config.tokenPaths).toEqual(paths);
  });

  it("absent means open, an empty list means nobody", async () => {
    expect((await load("")).config.tokens).toBeUndefined();
    expect((await load("bindTokensToHosts = true")).warnings.join()).toContain("every builder is refused");
    const { config, warnings } = await load("tokenPaths = []");
    expect(config.tokens).toEqual([]);
    expect(warnings.join()).toContain("every builder is refused");
  });

  it.each([
    ["is missing", undefined, /does not exist/],
    ["is empty", " \n", /is empty; put one token into it/],
    ["holds two lines", "one\ntwo\n", /one token per file/],
    ["holds what no header can carry", "tök€n", /no header can carry/],
  ])("fail closed when a file %s", async (_case, content, message) => {
    const path = content === undefined ? join(folder, "no-such-token") : await file(content);
    const good = await file("good");
    await expect(load(`tokenPaths = ${list([good, path])}`)).rejects.toThrow(message);
    await expect(load(`statusTokenPath = "${path}"`)).rejects.toThrow(/key 'statusTokenPath'/);
  });

  it("fail closed when a file may not be read", async () => {
    const path = await file("secret");
    await chmod(path, 0);
    // The superuser may read everything; then there is nothing to refuse.
    if (process.getuid?.() === 0) return;
    await expect(load(`tokenPaths = ${list([path])}`)).rejects.toThrow(/may not be read by this user/);
  });
});

describe("secrets", () => {
  it("show nowhere, not in dumps and not in errors", async () => {
    const secret = "hunter2";
    const token = await file(secret);
    const { config } = await load(
      `dbUrl = "postgres://u:${secret}@h/d"\ntokenPaths = ${list([token])}\nstatusTokenPath = "${token}"`,
    );
    for (const text of [
      JSON.stringify(config),
      inspect(config, { depth: 9 }),
      String(config.dbUrl),
      inspect(new Map([[1, config]]), { showHidden: true, depth: 9 }),
    ]) {
      expect(text).not.toContain(secret);
    }
    expect(JSON.stringify(config)).toContain("[redacted]");
    const badToken = await file(`${secret}\n${secret}`);
    // No await between the calls: a promise that rejects before anything listens ends the test run.
    const failing = [
      load(`dbUrl = "mysql://u:${secret}@h/d"`),
      load("", { HYDRA_DATABASE_URL: `mysql://u:${secret}@h/d` }),
      load(`tokenPaths = ${list([badToken])}`),
    ];
    for (const one of await Promise.allSettled(failing)) {
      expect(one.status).toBe("rejected");
      expect(inspect(one, { depth: 9 })).not.toContain(secret);
    }
    const { warnings } = await load(`remoteStoreAddr = ["http://user:${secret}@cache"]`);
    expect(warnings.join()).toContain("is ignored");
    expect(warnings.join()).not.toContain(secret);
  });

  it("compare by what they hold when a reload looks for changes", () => {
    expect(new Secret("a").reveal()).toBe("a");
    expect(String(new Secret("a"))).toBe("[redacted]");
  });
});

describe("stores", () => {
  it("of unknown forms are left out with a warning each", async () => {
    const known = ["s3://b?region=x", "file:///cache", "ssh://host", "/root"];
    const odd = ["ssh-ng://x", "https://x", "daemon", "S3://x", " s3://x", "relative"];
    const { config, warnings } = await load(`remoteStoreAddr = ${list([...odd, ...known])}`);
    expect(config.remoteStoreAddr).toEqual(known);
    expect(warnings).toHaveLength(odd.length);
  });

  it("need their signing keys", async () => {
    const key = await file("k:AAAA");
    const { config } = await load(`remoteStoreAddr = ["s3://b?secret-key=${key}"]`);
    expect(config.remoteStoreAddr).toHaveLength(1);
    await expect(load(`remoteStoreAddr = ["s3://b?secret-key=${key}x"]`)).rejects.toThrow(
      /signing key file .* does not exist/,
    );
    await expect(load(`remoteStoreAddr = ["file:///c?secret-keys=${key},${key}y"]`)).rejects.toThrow(
      /does not exist/,
    );
  });

  it("must begin with S3 for presigned uploads", async () => {
    await expect(load("usePresignedUploads = true")).rejects.toThrow(
      /needs an s3:\/\/ store as the first entry/,
    );
    await expect(
      load('usePresignedUploads = true\nremoteStoreAddr = ["file:///c", "s3://b"]'),
    ).rejects.toThrow();
    expect(
      (await load('usePresignedUploads = true\nremoteStoreAddr = ["s3://b"]')).config.usePresignedUploads,
    ).toBe(true);
  });

  it("for overflow need both members and well-formed jobsets", async () => {
    const overflow = (text: string): Promise<unknown> => load(`[overflowStore]\n${text}`);
    await expect(overflow("jobsets = []")).rejects.toThrow(/'overflowStore.store' is missing/);
    await expect(overflow('store = "s3://b"')).rejects.toThrow(/'overflowStore.jobsets' is missing/);
    await expect(overflow('store = "file:///b"\njobsets = []')).rejects.toThrow(/must begin with s3:/);
    await expect(overflow('store = "s3://b"\njobsets = ["nixpkgs"]')).rejects.toThrow(
      /'nixpkgs' is not 'project:jobset'/,
    );
    await expect(overflow('store = "s3://b"\njobset = []')).rejects.toThrow(
      /unknown key 'overflowStore.jobset'; did you mean 'overflowStore.jobsets'/,
    );
    await expect(overflow('store = "s3://b"\njobsets = ["p:j"]')).resolves.toBeDefined();
  });
});

describe("timers and limits", () => {
  it.each([
    "dispatchTriggerTimerInS",
    "queueTriggerTimerInS",
    "maxUnsupportedTimeInS",
    "stopQueueRunAfterInS",
  ] as const)("%s may be -1 or 0 (none)", async (key) => {
    expect((await load(`${key} = -1`)).config[key]).toBe(-1);
    expect((await load(`${key} = 0`)).config[key]).toBe(0);
  });

  it.each(["maxSilentTime", "buildTimeout"])(
    "%s may not be negative, which would stop every build",
    async (key) => {
      await expect(load(`${key} = -1`)).rejects.toThrow(/must be between 0 and/);
    },
  );

  it("maxConcurrentDownloads may not be 0, which builders cannot bear", async () => {
    await expect(load("maxConcurrentDownloads = 0")).rejects.toThrow(/between 1 and/);
    const path = await file("pingInterval = 0");
    await expect(loadBuilderConfig({ path })).rejects.toThrow(/between 1 and/);
  });

  it("knows the former name of tokenPaths", async () => {
    await expect(load("tokenListPath = []")).rejects.toThrow(/did you mean 'tokenPaths'/);
  });
});

describe("the folder of roots", () => {
  const roots = async (env: Record<string, string>, text = ""): Promise<string> =>
    (await load(text, env)).config.rootsDir;

  it("follows the Nix state folder and the user", async () => {
    expect(await roots({})).toBe("/nix/var/nix/gcroots/per-user/hydra/hydra-roots");
    expect(await roots({ NIX_STATE_DIR: "/state" })).toBe("/state/gcroots/per-user/hydra/hydra-roots");
    expect(await roots({ NIX_REMOTE: "unix:///s?root=/r" })).toBe(
      "/r/nix/var/nix/gcroots/per-user/hydra/hydra-roots",
    );
    expect(await roots({ NIX_REMOTE: "local?root=/r&state=/st" })).toBe(
      "/st/gcroots/per-user/hydra/hydra-roots",
    );
    expect(await roots({}, 'rootsDir = "/roots"')).toBe("/roots");
  });

  it("does not need LOGNAME", async () => {
    const { config } = await loadQueueRunnerConfig({ path: await file(""), env: {} });
    expect(config.rootsDir).toMatch(/gcroots\/per-user\/[^/]+\/hydra-roots$/);
  });
});

it("a key without effect is said to have none", async () => {
  expect((await load("enableFodChecker = true")).warnings.join()).toContain(
    "'enableFodChecker' has no effect",
  );
  expect((await load("enableFodChecker = false")).warnings).toEqual([]);
});

it("a builder is warned of mandatory features that it does not support", async () => {
  const path = await file('supportedFeatures = ["kvm"]\nmandatoryFeatures = ["kvm", "big"]');
  const { warnings } = await loadBuilderConfig({ path });
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain("big must also be listed in 'supportedFeatures'");
});

describe("configChanges", () => {
  it("tells what counts now from what waits for a restart", async () => {
    const before = (await load("")).config;
    const after = (
      await load(
        'maxRetries = 9\nmaxDbConnections = 3\ndbUrl = "postgres://other/db"\nremoteStoreAddr = ["/x"]',
      )
    ).config;
    const { live, atRestart } = configChanges(before, after);
    expect(live.toSorted()).toEqual(["maxRetries", "remoteStoreAddr"]);
    expect(atRestart.toSorted()).toEqual(["dbUrl", "maxDbConnections"]);
    expect(configChanges(before, before)).toEqual({ live: [], atRestart: [] });
    expect(configChanges(before, (await load("")).config)).toEqual({ live: [], atRestart: [] });
  });

  it("sees a token file with new content", async () => {
    const token = await file("one");
    const text = `tokenPaths = ${list([token])}\nstatusTokenPath = "${token}"`;
    const before = (await load(text)).config;
    await writeFile(token, "two");
    expect(configChanges(before, (await load(text)).config).live.toSorted()).toEqual([
      "statusTokenPath",
      "tokenPaths",
    ]);
  });
});

describe("the front-end's address", () => {
  it("is one of the web", async () => {
    const { config } = await load('frontendUrl = "https://hydra.example.org"');
    expect(config.frontendUrl).toBe("https://hydra.example.org");
    for (const wrong of ["hydra.example.org", "javascript:alert(1)", "https://"]) {
      await expect(load(`frontendUrl = ${JSON.stringify(wrong)}`)).rejects.toThrow(
        /key 'frontendUrl' must begin with https:\/\/ or http:\/\//,
      );
    }
  });
});
