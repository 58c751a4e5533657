/**
 * What callers without a type checker may get wrong when they make a `QueueRunner`: each fault is an error that names
 * the option and what to pass.
 */
import {
  aFlag,
  aFunction,
  aLogger,
  anObject,
  aText,
  checkMembers,
  checkNoOthers,
  having,
  isObject,
  logMethods,
  manyOf,
  optional,
} from "../argument-checks.js";
import { queueRunnerSettings } from "../config/queue-runner-settings.js";
import { Secret } from "../config/secret.js";
import { UsageError } from "../errors.js";
import type { QueueRunnerOptions } from "./options.js";
import { notifierMethods } from "./sinks.js";

const cacheRule = having("a BinaryCache", ["narInfo", "uploadPath"]);

/** Methods that notifiers have; each is optional. */
const notifierRules = Object.fromEntries(notifierMethods.map((name) => [name, optional(aFunction)]));

const rules = {
  machineOrder: optional(aFunction),
  machineFree: optional(aFunction),
  stepOrder: optional(aFunction),
  onLog: optional(aFunction),
  onResult: optional(aFunction),
  traceOrder: optional(aFunction),
  now: optional(aFunction),
  random: optional(aFunction),
  notifier: optional(anObject),
  disableQueueMonitor: optional(aFlag),
  logLevels: optional(having("LogLevels", ["move"])),
  version: optional(aText),
  caches: optional(
    manyOf("a list of binary caches: see openBinaryCache() and binaryCacheOn()", cacheRule.accepts),
  ),
};

/** All options; those that `rules` does not have are checked one by one, in words of their own. */
const known = {
  config: true,
  store: true,
  rest: true,
  grpc: true,
  tls: true,
  logger: true,
  ...rules,
} satisfies Record<keyof QueueRunnerOptions, unknown>;

/** @throws UsageError that names the option */
export function checkOptions(options: QueueRunnerOptions): void {
  const given: unknown = options;
  if (!isObject(given)) {
    throw new UsageError("QueueRunner: pass an object with at least { config, store, grpc }");
  }
  checkConfig(given.config);
  if (!isObject(given.store) || typeof given.store.storeDir !== "string") {
    throw fault("store", "must be a Nix store; pass what openStore() resolves to");
  }
  checkListener("grpc", given.grpc);
  if (given.rest !== undefined) checkListener("rest", given.rest);
  if (given.tls !== undefined && !isObject(given.tls)) {
    throw fault("tls", "must be an object with { certificate, key }");
  }
  if (given.logger !== undefined && !aLogger.accepts(given.logger)) {
    throw fault("logger", `must have the methods ${logMethods.join(", ")}; see createLogger()`);
  }
  checkMembers("QueueRunner", given, rules);
  if (isObject(given.notifier)) {
    checkMembers("QueueRunner: option 'notifier'", given.notifier, notifierRules);
  }
  checkNoOthers("QueueRunner", given, known);
}

function checkConfig(config: unknown): void {
  const make = "pass what defineQueueRunnerConfig() returns";
  if (!isObject(config)) throw fault("config", `is missing; ${make}`);
  if (isObject(config.config) && "warnings" in config) {
    throw fault("config", "is what loadQueueRunnerConfig() resolves to; pass its member config");
  }
  const missing = Object.keys(queueRunnerSettings).find((key) => !(key in config));
  if (missing !== undefined || !(config.dbUrl instanceof Secret)) {
    throw fault("config", `was not checked (see '${missing ?? "dbUrl"}'); ${make}`);
  }
}

function checkListener(option: "grpc" | "rest", listener: unknown): void {
  const example = '{ kind: "tcp", host: "::1", port: 0 }';
  if (!isObject(listener)) {
    throw fault(
      option,
      `${listener === undefined ? "is missing" : "must be an object"}; pass for example ${example}`,
    );
  }
  const { kind, host, port, path, fd } = listener;
  const isUsable =
    (kind === "tcp" && typeof host === "string" && isPort(port)) ||
    (kind === "unix" && typeof path === "string") ||
    (kind === "fd" && Number.isInteger(fd));
  if (isUsable) return;
  throw fault(option, `must be ${example}, { kind: "unix", path } or { kind: "fd", fd }`);
}

function isPort(port: unknown): boolean {
  return Number.isInteger(port) && Number(port) >= 0 && Number(port) <= 65_535;
}

function fault(option: string, text: string): UsageError {
  return new UsageError(`QueueRunner: option '${option}' ${text}`);
}
