/** Options of a queue runner as a JavaScript user may get them wrong. */
import { expect, it } from "vitest";
import { defineQueueRunnerConfig } from "../../lib/config/index.js";
import { UsageError } from "../../lib/errors.js";
import { QueueRunner } from "../../lib/runner/index.js";

const config = defineQueueRunnerConfig({ dbUrl: "embedded:" }, { env: { LOGNAME: "hydra" } });
const store = { storeDir: "/nix/store" };
const grpc = { kind: "tcp", host: "::1", port: 0 };
const good = { config, store, grpc };

function make(options: unknown): unknown {
  // Past the type checker, as from JavaScript.
  return Reflect.construct(QueueRunner, [options]);
}

it("takes good ones", () => {
  expect(make(good)).toBeInstanceOf(QueueRunner);
  expect(make({ ...good, rest: { kind: "fd", fd: 3 }, machineOrder: () => 1 })).toBeInstanceOf(QueueRunner);
});

const { maxRetries: _, ...incomplete } = config;
const faults: readonly (readonly [string, unknown, RegExp])[] = [
  ["nothing", undefined, /pass an object with at least \{ config, store, grpc \}/],
  ["no config", { store, grpc }, /option 'config' is missing; pass what defineQueueRunnerConfig\(\) returns/],
  ["plain settings", { ...good, config: { dbUrl: "embedded:" } }, /option 'config' was not checked/],
  ["a loaded file", { ...good, config: { config, warnings: [], path: undefined } }, /pass its member config/],
  ["a partial config", { ...good, config: incomplete }, /was not checked \(see 'maxRetries'\)/],
  ["no store", { config, grpc }, /option 'store' must be a Nix store; pass what openStore\(\) resolves to/],
  ["a promise of a store", { ...good, store: Promise.resolve(store) }, /option 'store' must be a Nix store/],
  ["no grpc", { config, store }, /option 'grpc' is missing; pass for example \{ kind: "tcp"/],
  ["an address as text", { ...good, grpc: "[::1]:50051" }, /option 'grpc' must be an object/],
  [
    "a port that is none",
    { ...good, grpc: { ...grpc, port: 70_000 } },
    /option 'grpc' must be \{ kind: "tcp"/,
  ],
  ["a port as rest", { ...good, rest: 8080 }, /option 'rest' must be an object/],
  ["console as logger", { ...good, logger: console }, /option 'logger' must have the methods/],
  [
    "a policy by name",
    { ...good, machineOrder: "SpeedFactorOnly" },
    /option 'machineOrder' must be a function/,
  ],
  ["tls as a path", { ...good, tls: "/etc/cert.pem" }, /option 'tls' must be an object/],
];

it.each(faults)("says what is wrong with %s", (_name, options, message) => {
  expect(() => make(options)).toThrow(UsageError);
  expect(() => make(options)).toThrow(message);
});
