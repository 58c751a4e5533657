/** The runner's own counters and histograms, and those of the process. */

import { createRequire } from "node:module";
import type { Counter, Histogram, Registry } from "prom-client";
import { aFlag, checkMembers, optional } from "../../argument-checks.js";
import { type CounterName, counterFamilies, metricPrefix } from "./counters.js";
import type { Family, Sample } from "./exposition.js";

export type { CounterName } from "./counters.js";

/** Loaded by the first `Metrics`, because it comes with 90 files that importing the library does without. */
const prometheus = (): typeof import("prom-client") => createRequire(import.meta.url)("prom-client");

/** What an attempt used; absent parts were not measured. */
export interface UsedResources {
  readonly cpuUserMs?: number | undefined;
  readonly cpuSystemMs?: number | undefined;
  readonly peakMemoryBytes?: number | undefined;
  readonly readBytes?: number | undefined;
  readonly writtenBytes?: number | undefined;
  readonly outputBytes?: number | undefined;
}

const kibibyte = 2 ** 10;
const mebibyte = 2 ** 20;
const gibibyte = 2 ** 30;
/** From what a text file takes to what a machine has. */
const byteBuckets = [
  64 * kibibyte,
  mebibyte,
  16 * mebibyte,
  128 * mebibyte,
  512 * mebibyte,
  2 * gibibyte,
  8 * gibibyte,
  32 * gibibyte,
  128 * gibibyte,
];

let runtimeRegistry: Registry | undefined;

/** Families about the process: what observes it is never taken down and holds its registry, so there is one in a process. */
function runtimeFamilies(): Registry {
  if (runtimeRegistry !== undefined) return runtimeRegistry;
  const { Registry, collectDefaultMetrics } = prometheus();
  runtimeRegistry = new Registry();
  collectDefaultMetrics({ register: runtimeRegistry });
  return runtimeRegistry;
}

/** Which families a `Metrics` has. */
export interface MetricsOptions {
  /** Families about the process and the JavaScript runtime. Default true. */
  readonly runtime?: boolean;
}

/**
 * Counters and histograms of the runner. Gauges (queue lengths, machines) are not kept here: they are read from the
 * `StatusSource` at each scrape, so that one exposition shows one moment.
 */
export class Metrics {
  /** Holds the histograms; further families registered here appear in the exposition. */
  readonly registry: Registry;
  /** Undefined: families about the process are not wanted. */
  readonly #runtime: Registry | undefined;
  readonly #values: Record<CounterName, number>;
  #maxTries = 0;
  readonly #inputs: Histogram<"machine_type">;
  readonly #closures: Histogram<"machine_type">;
  readonly #waits: Histogram<"machine_type">;
  readonly #durations: Histogram<"machine_type" | "result">;
  readonly #cpu: Histogram<"machine_type" | "mode">;
  readonly #memory: Histogram<"machine_type">;
  readonly #read: Histogram<"machine_type">;
  readonly #written: Histogram<"machine_type">;
  readonly #outputs: Histogram<"machine_type">;
  readonly #requests: Counter<"route" | "code">;
  readonly #requestSeconds: Histogram<"route">;

  constructor(options: MetricsOptions = {}) {
    checkMembers("Metrics", options, { runtime: optional(aFlag) });
    const { Counter, Histogram, Registry } = prometheus();
    this.registry = new Registry();
    this.#values = Object.fromEntries(Object.keys(counterFamilies).map((name) => [name, 0])) as Record<
      CounterName,
      number
    >;
    const registers = [this.registry];
    const perSystem = (name: string, help: string, buckets: number[]): Histogram<"machine_type"> =>
      new Histogram({
        name: `${metricPrefix}${name}`,
        help,
        buckets,
        labelNames: ["machine_type"],
        registers,
      });
    this.#inputs = perSystem(
      "build_input_drvs_seconds",
      "Number of input derivations of each derivation read (a count, despite the name)",
      [0, 1, 5, 10, 25, 50, 100, 250, 500],
    );
    this.#closures = perSystem(
      "build_closure_size_bytes",
      "Closure size of cached builds whose outputs were read from a store",
      [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9],
    );
    this.#waits = perSystem(
      "job_wait_time_seconds",
      "Time from runnable to assigned to a machine",
      [1, 10, 60, 300, 900, 3600, 7200, 86400],
    );
    this.#durations = new Histogram({
      name: `${metricPrefix}step_duration_seconds`,
      help: "Duration of step attempts by result",
      buckets: [1, 5, 15, 60, 300, 900, 3600, 10800, 36000],
      labelNames: ["machine_type", "result"],
      registers,
    });
    this.#cpu = new Histogram({
      name: `${metricPrefix}step_cpu_seconds`,
      help: "CPU time of step attempts by mode, where the builder measures it",
      buckets: [0.1, 1, 10, 60, 300, 1800, 7200, 36000, 144000],
      labelNames: ["machine_type", "mode"],
      registers,
    });
    this.#memory = perSystem(
      "step_peak_memory_bytes",
      "Peak memory of step attempts, where the builder measures it",
      byteBuckets,
    );
    this.#read = perSystem(
      "step_read_bytes",
      "Bytes that step attempts read from disks, where the builder measures it",
      byteBuckets,
    );
    this.#written = perSystem(
      "step_written_bytes",
      "Bytes that step attempts wrote to disks, where the builder measures it",
      byteBuckets,
    );
    this.#outputs = perSystem(
      "step_output_bytes",
      "Size of all outputs of step attempts together, as NARs",
      byteBuckets,
    );
    this.#requests = new Counter({
      name: `${metricPrefix}http_requests_total`,
      help: "Requests of the status API by route and status number",
      labelNames: ["route", "code"],
      registers,
    });
    this.#requestSeconds = new Histogram({
      name: `${metricPrefix}http_request_duration_seconds`,
      help: "Time to answer a request of the status API",
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10],
      labelNames: ["route"],
      registers,
    });
    this.#runtime = (options.runtime ?? true) ? runtimeFamilies() : undefined;
  }

  /** Raises a counter; negative and unusable amounts are ignored. */
  add(name: CounterName, amount = 1): void {
    if (amount > 0 && Number.isFinite(amount)) this.#values[name] += amount;
  }

  /** Present value of a counter. */
  value(name: CounterName): number {
    return this.#values[name];
  }

  /** A step was tried again; remembers the highest number of tries. */
  noteTries(tries: number): void {
    this.#maxTries = Math.max(this.#maxTries, tries);
  }

  /** Highest number of tries that `noteTries` was given; 0 when no step was retried. */
  get maxTries(): number {
    return this.#maxTries;
  }

  /** A derivation with that many input derivations was read. */
  observeInputs(system: string, count: number): void {
    this.#inputs.observe({ machine_type: system }, count);
  }

  /** A cached build with a closure of that size was read from a store. */
  observeClosureSize(system: string, bytes: number): void {
    this.#closures.observe({ machine_type: system }, bytes);
  }

  /** A step was assigned to a machine `seconds` after it became runnable. */
  observeWait(system: string, seconds: number): void {
    this.#waits.observe({ machine_type: system }, Math.max(0, seconds));
  }

  /** An attempt ended after `seconds`. */
  observeStep(system: string, result: "succeeded" | "failed" | "retry" | "cancelled", seconds: number): void {
    this.#durations.observe({ machine_type: system, result }, Math.max(0, seconds));
  }

  /** What an attempt used, as far as it is known. */
  observeResources(system: string, used: UsedResources): void {
    const labels = { machine_type: system };
    if (used.cpuUserMs !== undefined) this.#cpu.observe({ ...labels, mode: "user" }, used.cpuUserMs / 1000);
    if (used.cpuSystemMs !== undefined)
      this.#cpu.observe({ ...labels, mode: "system" }, used.cpuSystemMs / 1000);
    if (used.peakMemoryBytes !== undefined) this.#memory.observe(labels, used.peakMemoryBytes);
    if (used.readBytes !== undefined) this.#read.observe(labels, used.readBytes);
    if (used.writtenBytes !== undefined) this.#written.observe(labels, used.writtenBytes);
    if (used.outputBytes !== undefined) this.#outputs.observe(labels, used.outputBytes);
  }

  /** A request of the status API was answered. `route` is a pattern, never a path with ids. */
  observeRequest(route: string, code: number, seconds: number): void {
    this.#requests.inc({ route, code: String(code) });
    this.#requestSeconds.observe({ route }, seconds);
  }

  /** Present values of all counters and histograms. */
  async families(): Promise<Family[]> {
    const own = Object.entries(counterFamilies).map(
      ([name, [family, help]]): Family => ({
        name: metricPrefix + family,
        help,
        type: "counter",
        samples: [{ value: Math.trunc(this.#values[name as CounterName]) }],
      }),
    );
    const registered = await this.registry.getMetricsAsJSON();
    const ofProcess = (await this.#runtime?.getMetricsAsJSON()) ?? [];
    return [...own, ...[...registered, ...ofProcess].map(fromRegistry)];
  }
}

type RegistryFamily = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>[number];

function fromRegistry(family: RegistryFamily): Family {
  const samples = family.values.map((value): Sample => {
    const name =
      "metricName" in value && typeof value.metricName === "string" ? value.metricName : family.name;
    const labels: Record<string, string | number> = {};
    for (const [key, label] of Object.entries(value.labels)) if (label !== undefined) labels[key] = label;
    return { suffix: name.slice(family.name.length), labels, value: value.value };
  });
  // The library's own type says it is a number; what it gives are these words.
  const type = String(family.type);
  return {
    name: family.name,
    help: family.help,
    type: type === "counter" || type === "histogram" || type === "summary" ? type : "gauge",
    samples,
  };
}
