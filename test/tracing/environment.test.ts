/** OpenTelemetry's environment variables: what is understood, what is a warning, and that no warning shows a secret. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Environment, readTracingSettings } from "../../lib/tracing/environment.js";

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };

async function read(env: Environment) {
  const { settings, warnings } = await readTracingSettings(env);
  const headers = new Map(
    [...(settings?.collector.headers ?? [])].map(([key, value]) => [key, value.reveal()]),
  );
  return { settings, warnings, headers, url: settings?.collector.endpoint.href };
}

describe("nothing is traced", () => {
  it.each<Environment>([
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: " " },
    { ...endpoint, OTEL_SDK_DISABLED: "TRUE" },
    { ...endpoint, OTEL_TRACES_EXPORTER: "none" },
  ])("and nothing is said, with %j", async (env) => {
    expect(await readTracingSettings(env)).toEqual({ settings: undefined, warnings: [] });
  });

  it.each<Environment>([
    { OTEL_EXPORTER_OTLP_ENDPOINT: "localhost:4318" },
    { OTEL_EXPORTER_OTLP_ENDPOINT: "user:hunter2@host" },
    { ...endpoint, OTEL_TRACES_EXPORTER: "zipkin" },
    { ...endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE: "/nowhere/ca.pem" },
  ])("and a warning says why, with %j", async (env) => {
    const { settings, warnings } = await readTracingSettings(env);
    expect(settings).toBeUndefined();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^OTEL_.*nothing is traced$/);
    expect(warnings[0]).not.toContain("hunter2");
  });
});

describe("the variables", () => {
  it("have the defaults of the specification", async () => {
    const { settings, warnings, url } = await read(endpoint);
    expect(url).toBe("http://collector:4318/v1/traces");
    expect(settings).toMatchObject({
      collector: { timeoutMs: 10_000, gzip: false },
      samplerName: "parentbased_always_on",
      limits: { queue: 2_048, batch: 512, delayMs: 5_000 },
      resource: {},
    });
    expect(warnings).toEqual([]);
  });

  it("for traces come before those for all signals, and their endpoint is complete", async () => {
    const { settings, url, headers } = await read({
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://all",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://traces/otlp?a=b",
      OTEL_EXPORTER_OTLP_HEADERS: "a=all",
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: "A=traces, authorization=Basic%20eA==",
      OTEL_EXPORTER_OTLP_TIMEOUT: "1",
      OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "2000",
      OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    });
    expect(url).toBe("https://traces/otlp?a=b");
    expect(Object.fromEntries(headers)).toEqual({ a: "traces", authorization: "Basic eA==" });
    expect(settings?.collector).toMatchObject({ timeoutMs: 2_000, gzip: true });
    expect((await read({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://all/base/" })).url).toBe(
      "http://all/base/v1/traces",
    );
  });

  it("name the process, the service's own name last", async () => {
    const { settings } = await read({
      ...endpoint,
      OTEL_RESOURCE_ATTRIBUTES: "service.name=other,deployment.environment.name=a%2Cb%3D,host.name=pine",
      OTEL_SERVICE_NAME: "farm",
    });
    expect(settings?.resource).toEqual({
      "service.name": "farm",
      "deployment.environment.name": "a,b=",
      "host.name": "pine",
    });
  });

  it("that cannot be used are warnings and count as not set", async () => {
    const { settings, warnings } = await read({
      ...endpoint,
      OTEL_TRACES_SAMPLER: "sometimes",
      OTEL_TRACES_SAMPLER_ARG: "2",
      OTEL_BSP_MAX_QUEUE_SIZE: "0",
      OTEL_BSP_SCHEDULE_DELAY: "soon",
      OTEL_EXPORTER_OTLP_TIMEOUT: "-1",
      OTEL_EXPORTER_OTLP_COMPRESSION: "zstd",
      OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
      OTEL_RESOURCE_ATTRIBUTES: "a=b,broken,c=%",
    });
    expect(settings).toMatchObject({
      samplerName: "parentbased_always_on",
      limits: { queue: 2_048, delayMs: 5_000 },
      collector: { timeoutMs: 10_000, gzip: false },
      resource: { a: "b" },
    });
    expect(warnings).toHaveLength(9);
    for (const warning of warnings) expect(warning).toMatch(/^OTEL_/);
  });

  it("with secrets show them in no warning and no dump", async () => {
    const { settings, warnings, headers } = await read({
      ...endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: "good=hunter1,bad name=hunter2,line=hunter%0A3,hunter4",
    });
    expect(Object.fromEntries(headers)).toEqual({ good: "hunter1" });
    expect(warnings).toHaveLength(3);
    expect(warnings.join() + JSON.stringify([...(settings?.collector.headers ?? [])])).not.toContain(
      "hunter",
    );
  });

  it("name files for the connection", async () => {
    const folder = await mkdtemp(join(tmpdir(), "otel-"));
    await writeFile(join(folder, "ca"), "text of the CA");
    const { settings } = await read({ ...endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE: join(folder, "ca") });
    expect(settings?.collector.tls).toEqual({ ca: "text of the CA" });
    await rm(folder, { recursive: true });
  });

  it("put a bound on the queue that a batch fits into", async () => {
    const { settings } = await read({ ...endpoint, OTEL_BSP_MAX_QUEUE_SIZE: "10" });
    expect(settings?.limits).toEqual({ queue: 10, batch: 10, delayMs: 5_000 });
  });
});
