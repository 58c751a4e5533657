/** Configurations in code: the same values, ranges and faults as those of a file. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  ConfigError,
  defineBuilderConfig,
  defineQueueRunnerConfig,
  loadBuilderConfig,
  loadQueueRunnerConfig,
  Secret,
} from "../../lib/config/index.js";
import { UsageError } from "../../lib/errors.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "define-"));
  await writeFile(join(folder, "token"), "open sesame\n");
});
afterAll(() => rm(folder, { recursive: true }));

const env = { LOGNAME: "hydra" };

async function fromFile(text: string) {
  const path = join(folder, "config.toml");
  await writeFile(path, text);
  return path;
}

function fault(define: () => unknown): ConfigError {
  try {
    define();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

it("gives the same value as a file with the same keys", async () => {
  const token = join(folder, "token");
  const path = await fromFile(`
    dbUrl = "postgres://u:p@h/d"
    retryBackoff = 2
    maxRetries = 7
    machineSortFn = "SpeedFactorOnly"
    tokenPaths = ["${token}"]
    statusTokenPath = "${token}"
    remoteStoreAddr = ["file:///cache", "odd"]
    [overflowStore]
    store = "s3://b"
    jobsets = ["p:j"]
  `);
  const warnings: string[] = [];
  const defined = defineQueueRunnerConfig(
    {
      dbUrl: new Secret("postgres://u:p@h/d"),
      retryBackoff: 2,
      maxRetries: 7,
      machineSortFn: "SpeedFactorOnly",
      tokenPaths: [token],
      statusTokenPath: token,
      remoteStoreAddr: ["file:///cache", "odd"],
      overflowStore: { store: "s3://b", jobsets: ["p:j"] },
      maxLogSize: undefined,
    },
    { env, onWarning: (line) => warnings.push(line) },
  );
  const loaded = await loadQueueRunnerConfig({ path, env });
  expect(defined).toEqual(loaded.config);
  expect(defined.dbUrl.reveal()).toBe("postgres://u:p@h/d");
  expect(defined.tokens?.map((one) => one.reveal())).toEqual(["open sesame"]);
  expect(warnings).toEqual(loaded.warnings.map((line) => line.replace(path, "defineQueueRunnerConfig")));
});

it("gives the defaults when nothing is set", async () => {
  const empty = { path: await fromFile(""), env };
  expect(defineQueueRunnerConfig({}, { env })).toEqual((await loadQueueRunnerConfig(empty)).config);
  expect(defineBuilderConfig()).toEqual((await loadBuilderConfig(empty)).config);
});

it("takes the database's address from the environment, as for files", () => {
  const config = defineQueueRunnerConfig(
    { dbUrl: "embedded:" },
    { env: { ...env, HYDRA_DATABASE_URL: "postgres://elsewhere/db" } },
  );
  expect(config.dbUrl.reveal()).toBe("postgres://elsewhere/db");
});

/** What JavaScript users can pass: key, value, and what the error says is allowed. */
const faults: readonly (readonly [string, unknown, RegExp])[] = [
  ["maxRetries", "5", /must be an integer, not a string/],
  ["maxRetries", 1.5, /must be an integer, not a float/],
  ["maxRetries", Number.NaN, /must be an integer, not a float/],
  ["maxRetries", -1, /is -1; it must be between 0 and/],
  ["maxRetries", null, /must be an integer, not null/],
  ["retryBackoff", Number.POSITIVE_INFINITY, /must be between 0 and 1000/],
  ["retryBackoff", Number.NaN, /must be between 0 and 1000/],
  ["useSubstitutes", "yes", /must be true or false, not a string/],
  ["machineSortFn", "SpeedFactorOny", /must be one of .*did you mean 'SpeedFactorOnly'/],
  ["machineSortFn", () => 1, /must be a string, not a function/],
  ["hydraDataDir", "", /is an empty path/],
  ["tokenPaths", "/etc/token", /must be a list of strings \(paths\), not a string/],
  ["remoteStoreAddr", Array.from({ length: 2 }), /must be a list of strings, but has undefined in it/],
  ["remoteStoreAddr", new Set(["file:///a"]), /must be a list of strings, not a table/],
  ["tokenPaths", ["/does/not/exist"], /token file \/does\/not\/exist does not exist/],
  ["dbUrl", "mysql://x", /is not a database URL; it must begin with postgres:\/\//],
  ["dbUrl", Symbol("x"), /must be a string, not a symbol/],
  ["usePresignedUploads", true, /needs an s3:\/\/ store/],
  ["maxRetrys", 1, /unknown key 'maxRetrys'; did you mean 'maxRetries'\?/],
  ["toString", 1, /unknown key 'toString'/],
];

it.each(faults)("refuses %s = %s", (key, value, message) => {
  const error = fault(() => defineQueueRunnerConfig({ [key]: value }, { env }));
  expect(error).toBeInstanceOf(UsageError);
  expect(error).toMatchObject({ code: "config", key });
  expect(error.message).toMatch(message);
  expect(error.message).toMatch(/^defineQueueRunnerConfig: /);
});

it("names keys inside tables, and survives an object that contains itself", () => {
  const error = fault(() => defineQueueRunnerConfig({ overflowStore: { store: "file:///x", jobsets: [] } }));
  expect(error).toMatchObject({ key: "overflowStore.store" });
  const circle: Record<string, unknown> = {};
  circle.overflowStore = circle;
  expect(fault(() => defineQueueRunnerConfig(circle)).key).toBe("overflowStore.overflowStore");
});

it.each([[null], [[]], ["text"], [7], [() => {}]])("refuses %s as a whole", (values: unknown) => {
  // A JavaScript caller has no compiler to stop it.
  const error = fault(() => Reflect.apply(defineBuilderConfig, undefined, [values]));
  expect(error).toMatchObject({ code: "config", key: undefined });
  expect(error.message).toMatch(/must be an object, not/);
});

it("warns about a builder that would get no work", () => {
  const warnings: string[] = [];
  const config = defineBuilderConfig(
    { supportedFeatures: ["kvm"], mandatoryFeatures: ["big"], speedFactor: 2 },
    { onWarning: (line) => warnings.push(line) },
  );
  expect(config.speedFactor).toBe(2);
  expect(warnings).toEqual([expect.stringMatching(/'mandatoryFeatures': big must also be listed/)]);
});

it("systems and features that no derivation can ask for are warnings", () => {
  const warnings: string[] = [];
  defineBuilderConfig(
    { systems: ["x86_64-linux", "x86_64 linux"], supportedFeatures: ["kvm", ""] },
    { onWarning: (line) => warnings.push(line) },
  );
  expect(warnings).toEqual([
    expect.stringMatching(/'systems': "x86_64 linux" is not one word/),
    expect.stringMatching(/'supportedFeatures': "" is not one word/),
  ]);
});

it.each(["", " ", "a b", "a\nb", "a\u0000"])("%j is neither a host name nor a version", (text) => {
  expect(() => defineBuilderConfig({ hostname: text })).toThrow(/key 'hostname' is .* must be one word/);
  expect(() => defineQueueRunnerConfig({ protocolVersion: text })).toThrow(/key 'protocolVersion' is .*/);
});
