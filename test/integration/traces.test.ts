// One trace a build across the real runner and the real builder, as a collector gets it; and what happens without one.
import { afterAll, describe, expect, test } from "vitest";
import { shellDerivation } from "../support/nix.js";
import { attributesOf, OtlpCollector, type ReceivedSpan } from "../support/otlp-collector.js";
import { usePair } from "../support/pair.js";
import { testDatabase } from "../support/test-database.js";
import { until } from "../support/until.js";

let collector: OtlpCollector;
const secret = "a-key-that-no-log-may-show";

// Runs after the programs have ended, as hooks at the end run in reverse order.
afterAll(async () => {
  await collector[Symbol.asyncDispose]();
});

const pair = usePair(async () => {
  collector = await OtlpCollector.start();
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${secret}`,
    OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
    OTEL_BSP_SCHEDULE_DELAY: "100",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test%20farm",
  };
  return { databaseUrl: await testDatabase(), runnerEnv: env, builderEnv: env };
});

const millisecond = 1_000_000n;
const startOf = (span: ReceivedSpan): bigint => BigInt(span.startTimeUnixNano) / millisecond;
const endOf = (span: ReceivedSpan): bigint => BigInt(span.endTimeUnixNano) / millisecond;
const lengthOf = (span: ReceivedSpan): number => Number(endOf(span) - startOf(span));
const serviceOf = (span: ReceivedSpan): unknown => span.resource["service.name"];

/** `service: name < name of the parent < …`, the root last. */
function lineOf(span: ReceivedSpan, spans: readonly ReceivedSpan[]): string {
  const names: string[] = [];
  for (let at: ReceivedSpan | undefined = span; at !== undefined; ) {
    names.push(at.name);
    const above: string | undefined = at.parentSpanId;
    at = above === undefined ? undefined : spans.find(({ spanId }) => spanId === above);
    if (above !== undefined && at === undefined) names.push("?");
  }
  return `${String(serviceOf(span)).replace("hydra-", "")}: ${names.join(" < ")}`;
}

/** The trace of a build, when it has so many spans at least: the two programs send when they like. */
async function traceOf(build: number, least: number): Promise<readonly ReceivedSpan[]> {
  const isRoot = ({ attributes }: ReceivedSpan): boolean =>
    attributesOf(attributes)["cicd.pipeline.run.id"] === String(build);
  const root = await until("the root of the trace", async () => collector.spans.find(isRoot));
  return until("all spans", async () => {
    const spans = collector.spans.filter(({ traceId }) => traceId === root.traceId);
    return spans.length >= least && spans;
  });
}

describe("a build with one dependency", () => {
  test("is one trace of both programs", async () => {
    const dependency = shellDerivation("low", "/bin/busybox sleep 1; echo 1 > $out");
    const [build = 0] = await pair().build(
      shellDerivation("top", "read x < $low; /bin/busybox sleep 2; echo $x > $out", `low = ${dependency};`),
    );
    await pair().tables.waitFinished([build]);
    const spans = await traceOf(build, 21);
    const root = spans.find(({ parentSpanId }) => parentSpanId === undefined);
    if (root === undefined) throw new Error("there is no root");

    const steps = ["low", "top"].flatMap((step) => {
      const above = `${step} < ${root.name}`;
      return [
        `queue-runner: ${above}`,
        `queue-runner: queue wait < ${above}`,
        `queue-runner: attempt < ${above}`,
        `queue-runner: cache upload < ${above}`,
        `queue-runner: record < ${above}`,
        `builder: build ${step} < attempt < ${above}`,
        ...["inputs", "build", "upload", "describe"].map(
          (phase) => `builder: ${phase} < build ${step} < attempt < ${above}`,
        ),
      ];
    });
    expect(spans.map((span) => lineOf(span, spans)).sort()).toEqual(
      [`queue-runner: ${root.name}`, ...steps].sort(),
    );

    // The same clock made all times.
    const slack = 20n;
    for (const span of spans) {
      const above = spans.find(({ spanId }) => spanId === span.parentSpanId);
      // Only builds wait for the caches; a step may be over before its outputs are there.
      if (above === undefined || span.name === "cache upload") continue;
      expect(startOf(span), `start of ${lineOf(span, spans)}`).toBeGreaterThanOrEqual(startOf(above) - slack);
      expect(endOf(span), `end of ${lineOf(span, spans)}`).toBeLessThanOrEqual(endOf(above) + slack);
    }
    const only = (line: string): ReceivedSpan => {
      const found = spans.filter((span) => lineOf(span, spans) === line);
      expect(found, line).toHaveLength(1);
      return found[0] as ReceivedSpan;
    };
    const low = only(`queue-runner: low < ${root.name}`);
    const top = only(`queue-runner: top < ${root.name}`);
    const built = (step: string): ReceivedSpan =>
      only(`builder: build < build ${step} < attempt < ${step} < ${root.name}`);
    expect(lengthOf(built("low"))).toBeGreaterThanOrEqual(1_000);
    expect(lengthOf(built("top"))).toBeGreaterThanOrEqual(2_000);
    expect(startOf(built("top"))).toBeGreaterThanOrEqual(endOf(built("low")));
    expect(lengthOf(root)).toBeGreaterThanOrEqual(3_000);

    expect(attributesOf(root.attributes)).toMatchObject({
      "cicd.pipeline.action.name": "BUILD",
      "cicd.pipeline.name": root.name.replace(/^BUILD /, ""),
      "cicd.pipeline.result": "success",
      "hydra.build.status": "0",
      "hydra.build.cached": false,
    });
    for (const step of [low, top]) {
      expect(attributesOf(step.attributes)).toMatchObject({
        "cicd.pipeline.task.name": step.name,
        "cicd.pipeline.task.run.result": "success",
        "cicd.pipeline.task.type": "build",
        "cicd.worker.name": pair().builder().name,
      });
    }
    const [server, client, remote] = [2, 3, 0x200];
    expect(root.kind).toBe(server);
    const attempt = only(`queue-runner: attempt < top < ${root.name}`);
    expect(attempt.kind).toBe(client);
    const order = only(`builder: build top < attempt < top < ${root.name}`);
    expect(order.kind).toBe(server);
    expect(order.flags & remote).toBe(remote);
    expect(attempt.flags & remote).toBe(0);
    expect(order.resource).toMatchObject({
      "service.name": "hydra-builder",
      "deployment.environment.name": "test farm",
    });
    expect(new Set(spans.map(({ resource }) => resource["service.instance.id"])).size).toBe(2);
  });

  test("that failed says so, and why", async () => {
    const [build = 0] = await pair().build(shellDerivation("top-fails", "echo no >&2; exit 3"));
    await pair().tables.waitFinished([build]);
    const spans = await traceOf(build, 8);
    const root = spans.find(({ parentSpanId }) => parentSpanId === undefined);
    const failed = spans.filter(({ status }) => status.code === 2).map(({ name }) => name);
    expect(failed.sort()).toEqual([root?.name, "attempt", "build", "build top-fails", "top-fails"]);
    expect(attributesOf(root?.attributes ?? [])).toMatchObject({
      "cicd.pipeline.result": "failure",
      "error.type": "failed",
    });
  });
});

test("the headers come with each request, and are in no log", () => {
  expect(collector.requests.length).toBeGreaterThan(1);
  for (const { url, headers } of collector.requests) {
    expect(url).toBe("/v1/traces");
    expect(headers["x-api-key"]).toBe(secret);
  }
  expect(pair().runner.output() + pair().builder().process.output()).not.toContain(secret);
});

test("a collector that is away, or never answers, costs no build anything", async () => {
  for (const misbehaviour of [(response: { destroy(): void }) => response.destroy(), () => undefined]) {
    collector.misbehaviour = misbehaviour;
    const builds = await pair().build(shellDerivation(`top-${misbehaviour.length}`, "echo > $out"));
    const begun = Date.now();
    await pair().tables.waitFinished(builds);
    expect(Date.now() - begun).toBeLessThan(15_000);
  }
  collector.misbehaviour = undefined;
  await pair().runner.waitForOutput(/traces cannot be sent/);
  const lines = pair()
    .runner.output()
    .split("\n")
    .filter((line) => line.includes("traces cannot be sent"));
  expect(lines).toHaveLength(1);
});
