/**
 * OpenTelemetry's environment variables: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 * and https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
 *
 * As the specification asks, a value that cannot be used is a warning and counts as not set: a farm builds with and
 * without traces. What cannot be ignored (an endpoint, a certificate) leaves tracing off.
 */
import { readFile } from "node:fs/promises";
import { Secret } from "../config/secret.js";
import { errorChain } from "../errors.js";
import type { CollectorOptions, CollectorTls } from "./collector.js";
import type { ExportLimits } from "./export-queue.js";
import { defaultSampler, type Sampler, samplerNames, samplerOf } from "./sampler.js";

/** The environment of a program. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment asks for. */
export interface TracingSettings {
  readonly collector: CollectorOptions;
  readonly sampler: Sampler;
  readonly samplerName: string;
  readonly limits: ExportLimits;
  /** `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`. */
  readonly resource: Readonly<Record<string, string>>;
}

/** Settings, or undefined when nothing is to be traced, with what an operator should know. */
export interface ReadSettings {
  readonly settings: TracingSettings | undefined;
  readonly warnings: readonly string[];
}

const longestTimeoutMs = 10 * 60_000;
const mostSpans = 1_000_000;

/** Reads the variables and the files that they name. Never rejects. */
export async function readTracingSettings(env: Environment): Promise<ReadSettings> {
  const reader = new Reader(env);
  const settings = await reader.read();
  return { settings, warnings: reader.warnings };
}

class Reader {
  readonly warnings: string[] = [];
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  async read(): Promise<TracingSettings | undefined> {
    if (this.#get("OTEL_SDK_DISABLED")?.toLowerCase() === "true") return undefined;
    if (!this.#exporterWanted()) return undefined;
    const endpoint = this.#endpoint();
    if (endpoint === undefined) return undefined;
    const tls = await this.#tls();
    if (tls === "unusable") return undefined;
    this.#protocol();
    const batch = this.#number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", {
      least: 1,
      most: mostSpans,
      otherwise: 512,
    });
    const queue = this.#number("OTEL_BSP_MAX_QUEUE_SIZE", { least: 1, most: mostSpans, otherwise: 2_048 });
    return {
      collector: {
        endpoint,
        headers: this.#headers(),
        timeoutMs: this.#number(this.#specific("TIMEOUT"), {
          least: 1,
          most: longestTimeoutMs,
          otherwise: 10_000,
        }),
        gzip: this.#compression(),
        ...(tls === undefined ? {} : { tls }),
      },
      ...this.#sampler(),
      limits: {
        queue,
        batch: Math.min(batch, queue),
        delayMs: this.#number("OTEL_BSP_SCHEDULE_DELAY", {
          least: 0,
          most: longestTimeoutMs,
          otherwise: 5_000,
        }),
      },
      resource: this.#resource(),
    };
  }

  /** An empty value counts as not set. */
  #get(name: string): string | undefined {
    const value = this.#env[name]?.trim();
    return value === "" ? undefined : value;
  }

  /** Name of the variable that counts: the one for traces, if it is set, before the one for all signals. */
  #specific(name: string): string {
    const own = `OTEL_EXPORTER_OTLP_TRACES_${name}`;
    return this.#get(own) === undefined ? `OTEL_EXPORTER_OTLP_${name}` : own;
  }

  #warn(text: string): void {
    this.warnings.push(text);
  }

  #exporterWanted(): boolean {
    const exporter = this.#get("OTEL_TRACES_EXPORTER") ?? "otlp";
    const wanted = exporter.split(",").map((name) => name.trim());
    if (wanted.includes("otlp")) return true;
    if (exporter !== "none")
      this.#warn(`OTEL_TRACES_EXPORTER: only otlp and none are known; nothing is traced`);
    return false;
  }

  #endpoint(): URL | undefined {
    const name = this.#specific("ENDPOINT");
    const text = this.#get(name);
    if (text === undefined) return undefined;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol)) {
      // It may hold a password.
      this.#warn(`${name} must be an address such as http://localhost:4318; nothing is traced`);
      return undefined;
    }
    // The endpoint for all signals is completed, the one for traces is taken as it is.
    if (!name.includes("TRACES")) url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/traces`;
    return url;
  }

  #protocol(): void {
    const name = this.#specific("PROTOCOL");
    const protocol = this.#get(name);
    if (protocol === undefined || protocol === "http/json" || protocol === "http/protobuf") return;
    this.#warn(
      `${name}: traces are sent over HTTP (port 4318 of most collectors), not as ${JSON.stringify(protocol)}`,
    );
  }

  /** Values are secret and in no warning. */
  #headers(): ReadonlyMap<string, Secret> {
    const name = this.#specific("HEADERS");
    const headers = new Map<string, Secret>();
    for (const [key, value] of this.#pairs(name)) {
      if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(key) && /^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
        headers.set(key.toLowerCase(), new Secret(value));
      } else this.#warn(`${name}: one of the headers cannot be sent and is left out`);
    }
    return headers;
  }

  /** `key=value,…` with percent-encoding, as W3C Baggage has it. */
  #pairs(name: string): [key: string, value: string][] {
    return (this.#get(name) ?? "").split(",").flatMap((pair): [string, string][] => {
      if (pair.trim() === "") return [];
      const at = pair.indexOf("=");
      const key = at < 0 ? "" : pair.slice(0, at).trim();
      try {
        if (key !== "") return [[decodeURIComponent(key), decodeURIComponent(pair.slice(at + 1).trim())]];
      } catch {
        // Said below, as for one without a key.
      }
      this.#warn(`${name}: one of its parts is not key=value and is left out`);
      return [];
    });
  }

  #compression(): boolean {
    const name = this.#specific("COMPRESSION");
    const method = this.#get(name) ?? "none";
    if (method !== "none" && method !== "gzip")
      this.#warn(`${name}: only gzip and none are known; not compressed`);
    return method === "gzip";
  }

  async #tls(): Promise<CollectorTls | undefined | "unusable"> {
    const files = {
      ca: this.#specific("CERTIFICATE"),
      certificate: this.#specific("CLIENT_CERTIFICATE"),
      key: this.#specific("CLIENT_KEY"),
    } as const;
    const tls: { ca?: string; certificate?: string; key?: string } = {};
    for (const part of ["ca", "certificate", "key"] as const) {
      const path = this.#get(files[part]);
      if (path === undefined) continue;
      try {
        tls[part] = await readFile(path, "utf8");
      } catch (error) {
        this.#warn(`${files[part]}: ${errorChain(error)}; nothing is traced`);
        return "unusable";
      }
    }
    return Object.keys(tls).length === 0 ? undefined : tls;
  }

  #sampler(): Pick<TracingSettings, "sampler" | "samplerName"> {
    const name = this.#get("OTEL_TRACES_SAMPLER") ?? defaultSampler;
    const ratio = this.#ratio();
    const sampler = samplerOf(name, ratio);
    if (sampler !== undefined) return { sampler, samplerName: name };
    this.#warn(`OTEL_TRACES_SAMPLER: known are ${samplerNames.join(", ")}; ${defaultSampler} is used`);
    return { sampler: samplerOf(defaultSampler, ratio) ?? (() => true), samplerName: defaultSampler };
  }

  #ratio(): number {
    const text = this.#get("OTEL_TRACES_SAMPLER_ARG");
    if (text === undefined) return 1;
    const ratio = Number(text);
    if (ratio >= 0 && ratio <= 1) return ratio;
    this.#warn("OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1; 1 is used");
    return 1;
  }

  #number(
    name: string,
    { least, most, otherwise }: { readonly least: number; readonly most: number; readonly otherwise: number },
  ): number {
    const text = this.#get(name);
    if (text === undefined) return otherwise;
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    this.#warn(`${name}: must be a number from ${least} to ${most}; ${otherwise} is used`);
    return otherwise;
  }

  #resource(): Record<string, string> {
    const service = this.#get("OTEL_SERVICE_NAME");
    return {
      ...Object.fromEntries(this.#pairs("OTEL_RESOURCE_ATTRIBUTES")),
      ...(service === undefined ? {} : { "service.name": service }),
    };
  }
}
