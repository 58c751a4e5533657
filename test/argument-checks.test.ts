// Callers without a type checker: what they pass wrongly is an error of ours that names it, where they pass it, and never
// a TypeError from inside, or a silence until the value is used.
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  BinaryCache,
  binaryCacheOn,
  FileCache,
  openBinaryCache,
  parseCacheUri,
  S3Uploader,
  UploadQueue,
} from "../lib/binary-cache/index.js";
import { BuilderClient, runnerGateways } from "../lib/builder/index.js";
import { compress, decompress, parseCompressionMethod } from "../lib/compression/index.js";
import {
  defineBuilderConfig,
  defineQueueRunnerConfig,
  loadBuilderConfig,
  loadQueueRunnerConfig,
} from "../lib/config/index.js";
import {
  EmbeddedPostgres,
  HydraDatabase,
  Listener,
  migrate,
  OwnerLock,
  openHydraDatabase,
} from "../lib/database/index.js";
import { HydraError } from "../lib/errors.js";
import { createLogger, loggerOn } from "../lib/log.js";
import {
  computeDerivationPath,
  createHasher,
  decodeNix32,
  derivationOutputPath,
  dumpPath,
  encodeNix32,
  fillDeferredOutputs,
  findInListing,
  generateSecretKey,
  HashedStream,
  hashBytes,
  hashDerivationModulo,
  isStorePath,
  makeFixedOutputPath,
  makeHash,
  makeOutputPath,
  makeStorePath,
  makeTextPath,
  newNarInfo,
  openStore,
  PublicKey,
  parseAnyStorePath,
  parseContentAddress,
  parseDerivation,
  parseFullStorePath,
  parseHash,
  parseNar,
  parseNarInfo,
  parseStoreDir,
  parseStorePath,
  printContentAddress,
  printDerivation,
  printHash,
  printStorePath,
  resolveDerivation,
  restoreNar,
  Signer,
  storePathName,
  verifySignature,
} from "../lib/nix/index.js";
import { connectRunner, parseEndpoint, parseListenAddress, RunnerServer } from "../lib/rpc/index.js";
import { LogStore, QueueRunner } from "../lib/runner/index.js";
import {
  attemptId,
  defaultOptions,
  MachinePool,
  machineId,
  mergeOptions,
  newBuild,
  newMachine,
  newStep,
  Scheduler,
  stepId,
  Timers,
} from "../lib/scheduler/index.js";
import { HostNames, StatusRouter, StatusServer, statusFetch, statusHandler } from "../lib/status/index.js";
import { exportTrace, parseTrace, replay, simulateFarm } from "../lib/testing/index.js";

const wrong: Readonly<Record<string, unknown>> = {
  undefined: undefined,
  null: null,
  "a number": 5,
  "a string": "text",
  true: true,
  "a list": [],
  "an object": {},
  "a function": () => {},
  "a symbol": Symbol("s"),
};

/** `never` fits every parameter. */
type Call = (value: never) => unknown;
const settings = defineBuilderConfig();
const store = { storeDir: "/nix/store" } as never;
const gateways = [{ address: "a", connect: (): never => expect.unreachable() }];
const thisFile = fileURLToPath(import.meta.url);
const dir = parseStoreDir("/nix/store");
const bucket = parseCacheUri("s3://bucket").settings;
const drain = async (source: AsyncIterable<unknown>): Promise<void> => {
  for await (const part of source) expect(part).toBeDefined();
};
async function* noBytes(): AsyncGenerator<Uint8Array> {}
const derivation = parseDerivation(
  dir,
  "a",
  Buffer.from('Derive([("out","","","")],[],[],"x86_64-linux","/bin/sh",[],[("out","")])'),
);
const hash = hashBytes("sha256", new Uint8Array());
const cacheParts = {
  uri: "file:///absent",
  objects: new FileCache("/absent"),
  settings: bucket,
  storeDir: dir,
  signers: [],
};
const silent = loggerOn(() => {});
const key = (): Signer => Signer.parse(generateSecretKey("test-1"));
const grpc = { kind: "tcp", host: "::1", port: 0 } as const;
const runner = (): QueueRunner =>
  new QueueRunner({
    config: defineQueueRunnerConfig(),
    store,
    grpc,
  });
const trace = { formatVersion: 1, shares: {}, machines: [], steps: [], builds: [] } as never;

/** What takes an argument, and which of the values above are right for it. */
const table: readonly (readonly [name: string, call: Call, right?: readonly string[]])[] = [
  ["new QueueRunner", (value) => new QueueRunner(value)],
  ["QueueRunner.open", (value) => QueueRunner.open(value)],
  ["new BuilderClient", (value) => new BuilderClient(value)],
  ["BuilderClient settings", (value) => new BuilderClient({ settings: value, gateways, store })],
  ["BuilderClient gateways", (value) => new BuilderClient({ settings, gateways: value, store })],
  ["BuilderClient store", (value) => new BuilderClient({ settings, gateways, store: value })],
  [
    "BuilderClient onLog",
    (value) => new BuilderClient({ settings, gateways, store, onLog: value }),
    ["undefined", "a function"],
  ],
  ["new Scheduler", (value) => new Scheduler(value), ["undefined", "an object"]],
  ["Scheduler stepOrder", (value) => new Scheduler({ stepOrder: value }), ["undefined", "a function"]],
  ["Scheduler machineOrder", (value) => new Scheduler({ machineOrder: value }), ["undefined", "a function"]],
  ["Scheduler machineFree", (value) => new Scheduler({ machineFree: value }), ["undefined", "a function"]],
  ["Scheduler retry", (value) => new Scheduler({ retry: value }), ["undefined", "an object"]],
  [
    "Scheduler maxUnsupportedMs",
    (value) => new Scheduler({ maxUnsupportedMs: value }),
    ["undefined", "a number"],
  ],
  ["Scheduler noticed", (value) => new Scheduler({}, value), ["undefined", "a function"]],
  ["newStep", (value) => newStep(value)],
  ["newBuild", (value) => newBuild(value)],
  ["newMachine", (value) => newMachine(value)],
  ["stepId", (value) => stepId(value), ["a string"]],
  ["machineId", (value) => machineId(value), ["a string"]],
  ["attemptId", (value) => attemptId(value), ["a string"]],
  ["Scheduler.upsertJobset", (value) => new Scheduler().upsertJobset(value)],
  ["Scheduler.loadJobsetUsage", (value) => new Scheduler().loadJobsetUsage(1 as never, value, 0)],
  ["Scheduler.addSteps", (value) => new Scheduler().addSteps(value, 0), ["a list"]],
  ["Scheduler.addSteps now", (value) => new Scheduler().addSteps([], value), ["a number"]],
  ["Scheduler.addBuild", (value) => new Scheduler().addBuild(value, 0)],
  ["Scheduler.setBuildPriority", (value) => new Scheduler().setBuildPriority(1 as never, value, 0)],
  ["Scheduler.dropUnneeded", (value) => new Scheduler().dropUnneeded(value, 0), ["a list"]],
  ["Scheduler.replaceStep", (value) => new Scheduler().replaceStep(stepId("a"), value, 0)],
  ["Scheduler.addInputs", (value) => new Scheduler().addInputs(stepId("a"), value, 0)],
  ["Scheduler.addMachine", (value) => new Scheduler().addMachine(value, 0, () => 0)],
  ["Scheduler.updateMachine", (value) => new Scheduler().updateMachine(machineId("m"), value, 0)],
  [
    "Scheduler.removeMachine",
    (value) => new Scheduler().removeMachine(machineId("m"), 0, value),
    ["a function"],
  ],
  ["Scheduler.assign", (value) => new Scheduler().assign(0, value), ["a function"]],
  ["Scheduler.adoptAttempt", (value) => new Scheduler().adoptAttempt(value, 0)],
  ["Scheduler.complete", (value) => new Scheduler().complete(attemptId("a"), value, 0, () => 0)],
  ["Scheduler.advance", (value) => new Scheduler().advance(0, value), ["a function"]],
  ["mergeOptions", (value) => mergeOptions(defaultOptions, value), ["an object"]],
  ["new MachinePool", (value) => new MachinePool(value, new Timers(), {} as never)],
  ["MachinePool timers", (value) => new MachinePool(defaultOptions, value, {} as never)],
  ["MachinePool hooks", (value) => new MachinePool(defaultOptions, new Timers(), value), ["an object"]],
  ["Signer.parse", (value) => Signer.parse(value)],
  ["Signer.fromFile", (value) => Signer.fromFile(value)],
  ["PublicKey.parse", (value) => PublicKey.parse(value)],
  ["openStore", (value) => openStore(value, { env: { NIX_REMOTE: "unix:///absent" } })],
  ["openStore options", (value) => openStore("unix:///absent", value)],
  ["parseStoreDir", (value) => parseStoreDir(value)],
  ["parseStorePath", (value) => parseStorePath(value)],
  ["parseFullStorePath", (value) => parseFullStorePath(dir, value)],
  ["parseAnyStorePath", (value) => parseAnyStorePath(dir, value)],
  ["parseHash", (value) => parseHash(value)],
  ["storePathName", (value) => storePathName(value), ["a string"]],
  ["printStorePath", (value) => printStorePath(dir, value), ["a string"]],
  ["isStorePath", (value) => expect(isStorePath(value)).toBe(false), Object.keys(wrong)],
  ["parseDerivation", (value) => parseDerivation(dir, "a", value)],
  ["parseDerivation dir", (value) => parseDerivation(value, "a", new Uint8Array())],
  ["parseNarInfo", (value) => parseNarInfo(dir, value)],
  [
    "findInListing",
    (value) => findInListing({ type: "directory", entries: new Map() } as never, value),
    ["a string"],
  ],
  ["dumpPath", (value) => drain(dumpPath(value === "text" ? thisFile : value)), ["a string"]],
  ["restoreNar", (value) => restoreNar(value, "/absent")],
  ["verifySignature", (value) => verifySignature(dir, value, [])],
  ["newNarInfo", (value) => newNarInfo(value)],
  ["generateSecretKey", (value) => generateSecretKey(value), ["a string"]],
  ["new HashedStream", (value) => new HashedStream(value)],
  ["parseContentAddress", (value) => parseContentAddress(value)],
  ["decodeNix32", (value) => decodeNix32(value)],
  ["encodeNix32", (value) => encodeNix32(value)],
  ["makeHash", (value) => makeHash("sha256", value)],
  ["hashBytes", (value) => hashBytes("sha256", value)],
  ["createHasher", (value) => createHasher(value)],
  ["parseNar", (value) => drain(parseNar(value))],
  ["new S3Uploader", (value) => new S3Uploader(value)],
  ["S3Uploader options", (value) => new S3Uploader(bucket, value), ["undefined", "an object"]],
  ["new FileCache", (value) => new FileCache(value), ["a string"]],
  ["parseCacheUri", (value) => parseCacheUri(value)],
  ["openBinaryCache", (value) => openBinaryCache(value)],
  ["openBinaryCache options", (value) => openBinaryCache("nothing://", value)],
  ["binaryCacheOn", (value) => binaryCacheOn(value)],
  ["UploadQueue.open", (value) => UploadQueue.open(value)],
  ["compress", (value) => compress(value, { method: "none" })],
  ["compress options", (value) => compress(noBytes(), value)],
  ["decompress", (value) => decompress(value, { method: "none", maxOutput: 1 })],
  ["decompress options", (value) => decompress(noBytes(), value)],
  ["new HydraDatabase", (value) => new HydraDatabase(value)],
  ["openHydraDatabase", (value) => openHydraDatabase(value)],
  ["openHydraDatabase url", (value) => openHydraDatabase({ url: value, dataDir: "/absent" })],
  ["EmbeddedPostgres.start", (value) => EmbeddedPostgres.start(value)],
  ["runnerGateways", (value) => runnerGateways(value)],
  ["runnerGateways addresses", (value) => runnerGateways({ addresses: value, storeDir: dir })],
  ["connectRunner", (value) => connectRunner(value)],
  ["RunnerServer.start", (value) => RunnerServer.start(value)],
  ["new LogStore", (value) => new LogStore(value)],
  ["new StatusRouter", (value) => new StatusRouter(value)],
  ["StatusRouter source", (value) => new StatusRouter({ source: value })],
  ["statusHandler", (value) => statusHandler(value)],
  ["statusFetch", (value) => statusFetch(value)],
  ["StatusServer.listen", (value) => StatusServer.listen(value)],
  ["new HostNames", (value) => new HostNames(value), ["undefined", "an object"]],
  ["HostNames names", (value) => new HostNames({ names: value }), ["undefined", "a list"]],
  ["createLogger", (value) => createLogger(value)],
  ["createLogger level", (value) => createLogger({ target: "t", level: value }), ["undefined"]],
  ["defineQueueRunnerConfig", (value) => defineQueueRunnerConfig(value), ["undefined", "an object"]],
  ["defineBuilderConfig", (value) => defineBuilderConfig(value), ["undefined", "an object"]],
  ["BuilderClient.open", (value) => BuilderClient.open(value)],
  ["BuilderClient.open runners", (value) => BuilderClient.open({ runners: value, store })],
  ["parseEndpoint", (value) => parseEndpoint(value, undefined)],
  ["parseListenAddress", (value) => parseListenAddress(value)],
  ["parseCompressionMethod", (value) => parseCompressionMethod(value), ["a string"]],
  ["loggerOn", (value) => loggerOn(value), ["a function"]],
  ["simulateFarm", (value) => simulateFarm(value)],
  ["simulateFarm packages", (value) => simulateFarm({ packages: value }), ["an object"]],
  ["simulateFarm caches", (value) => simulateFarm({ packages: {}, caches: value }), ["undefined", "a list"]],
  ["parseTrace", (value) => parseTrace(value)],
  ["replay", (value) => replay(value)],
  ["replay policy", (value) => replay(trace, value), ["undefined", "an object"]],
  ["exportTrace", (value) => exportTrace(value)],
  ["printDerivation", (value) => printDerivation(dir, value)],
  ["printDerivation options", (value) => printDerivation(dir, derivation, value), ["undefined", "an object"]],
  ["computeDerivationPath", (value) => computeDerivationPath(dir, value)],
  ["hashDerivationModulo", (value) => hashDerivationModulo(dir, derivation, value, true), ["a function"]],
  ["resolveDerivation", (value) => resolveDerivation(dir, value, () => undefined)],
  ["resolveDerivation lookup", (value) => resolveDerivation(dir, derivation, value), ["a function"]],
  ["fillDeferredOutputs", (value) => fillDeferredOutputs(dir, value)],
  ["derivationOutputPath", (value) => derivationOutputPath(dir, value, "out")],
  ["printHash", (value) => printHash(value, "sri")],
  ["printHash encoding", (value) => printHash(hash, value)],
  ["makeStorePath hash", (value) => makeStorePath(dir, "text", value, "a")],
  ["makeStorePath name", (value) => makeStorePath(dir, "text", hash, value), ["a string"]],
  ["makeTextPath references", (value) => makeTextPath(dir, "a", hash, value), ["a list"]],
  ["makeFixedOutputPath", (value) => makeFixedOutputPath(dir, "a", value)],
  ["makeOutputPath", (value) => makeOutputPath(dir, hash, "a", value), ["a string"]],
  ["printContentAddress", (value) => printContentAddress(value)],
  ["BinaryCache objects", (value) => new BinaryCache({ ...cacheParts, objects: value })],
  ["BinaryCache signers", (value) => new BinaryCache({ ...cacheParts, signers: value }), ["a list"]],
  ["migrate", (value) => migrate(value, silent)],
  ["Listener database", (value) => new Listener({ database: value })],
  ["OwnerLock database", (value) => new OwnerLock({ database: value })],
  [
    "loadQueueRunnerConfig path",
    (value) => loadQueueRunnerConfig({ path: value, explicit: false, env: {} }),
    ["undefined", "a string"],
  ],
  [
    "loadBuilderConfig path",
    (value) => loadBuilderConfig({ path: value, explicit: false }),
    ["undefined", "a string"],
  ],
  ["QueueRunner.on name", (value) => runner().on(value, () => {})],
  ["QueueRunner.on listener", (value) => runner().on("stepFinished", value), ["a function"]],
  ["QueueRunner.events", (value) => runner().events(value), ["undefined", "an object"]],
  ["QueueRunner.events names", (value) => runner().events({ names: value }), ["undefined", "a list"]],
  ["QueueRunner.why", (value) => runner().why(value)],
  ["QueueRunner.enqueue", (value) => runner().enqueue(value)],
  ["QueueRunner.enqueue jobset", (value) => runner().enqueue({ drv: "a.drv", jobset: value })],
  ["QueueRunner.cancel", (value) => runner().cancel(value)],
  ["QueueRunner.drain", (value) => runner().drain(value)],
  ["BinaryCache.narInfo", (value) => new BinaryCache(cacheParts).narInfo(value), ["a string"]],
  ["BinaryCache.uploadPath", (value) => new BinaryCache(cacheParts).uploadPath(value, () => noBytes())],
  [
    "BinaryCache.uploadClosure",
    (value) => new BinaryCache(cacheParts).uploadClosure(value, () => noBytes()),
    ["a list"],
  ],
  [
    "BinaryCache.uploadClosure openNar",
    (value) => new BinaryCache(cacheParts).uploadClosure([], value),
    ["a function"],
  ],
  ["BinaryCache.copyClosure", (value) => new BinaryCache(cacheParts).copyClosure(value, [])],
  ["FileCache.get", (value) => new FileCache("/absent").get(value), ["a string"]],
  ["FileCache.put", (value) => new FileCache("/absent").put("a", value, { contentType: "text/plain" })],
  ["Signer.sign", (value) => key().sign(value), ["a string"]],
  ["Signer.signPath", (value) => key().signPath(dir, value)],
  ["PublicKey.verifies", (value) => PublicKey.parse(key().publicKey).verifies("a", value), ["a string"]],
  ["HostNames.has", (value) => new HostNames().has(value), ["undefined", "a string"]],
];

describe.each(table.map(([name, call, right = []]) => ({ name, call, right })))(
  "$name",
  ({ call, right }) => {
    it("takes what is right and names what is wrong", async () => {
      for (const [kind, value] of Object.entries(wrong)) {
        const outcome = await Promise.resolve()
          .then(() => call(value as never))
          .then(
            () => "taken",
            (error: unknown) => error,
          );
        if (right.includes(kind)) expect(outcome, kind).toBe("taken");
        else expect(outcome, `${kind}: ${String(outcome)}`).toBeInstanceOf(HydraError);
      }
    });
  },
);

it("says whose option it is and what it must be", () => {
  expect(() => new Scheduler({ stepOrder: "Fast" as never })).toThrow(
    "Scheduler: option 'stepOrder' must be a function or one of 'Legacy', 'WithRdeps', 'WithCriticalPath'",
  );
  expect(() => new BuilderClient({ settings, gateways: [], store })).toThrow(
    "BuilderClient: option 'gateways' must be a list of gateways, not empty: see runnerGateways()",
  );
  expect(() => createLogger(undefined as never)).toThrow(
    "createLogger: pass an object with at least { target }",
  );
});

it("refuses an option that it does not know, which would do nothing", () => {
  const misspelt = { stepOrdr: () => 0 } as never;
  for (const make of [
    () => new Scheduler(misspelt),
    () => replay(trace, misspelt),
    () => new BuilderClient({ settings, gateways, store, ...(misspelt as object) }),
    () => new QueueRunner({ config: defineQueueRunnerConfig(), store, grpc, ...(misspelt as object) }),
  ])
    expect(make).toThrow(
      /^(Scheduler|replay|BuilderClient|QueueRunner): unknown option 'stepOrdr'; there are /,
    );
  expect(
    () => new QueueRunner({ config: defineQueueRunnerConfig(), store, grpc, caches: [5 as never] }),
  ).toThrow("QueueRunner: option 'caches' must be a list of binary caches");
});
