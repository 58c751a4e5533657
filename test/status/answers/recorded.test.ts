/** Answers of the status API against those of the recorded queue-runner, given the same data. */
import { afterEach, describe, expect, it } from "vitest";

import { serve, type TestApi } from "../http-client.js";
import {
  fixture,
  idleRecording,
  type Recorded,
  recordedSource,
  runningRecording,
} from "../recorded-source.js";

let api: TestApi | undefined;
afterEach(async () => {
  await api?.[Symbol.asyncDispose]();
  api = undefined;
});

/** Members that two processes cannot have in common. */
const ownOfProcess = new Set(["time", "uptime", "proc", "sinceLastPing", "runnableSince"]);

/** Every recorded member is there, has the same type, and the same value unless it belongs to the process. */
function expectLike(ours: Recorded, recorded: Recorded, path = ""): void {
  if (Array.isArray(recorded)) {
    expect(ours, path).toBeInstanceOf(Array);
    expect(ours.length, path).toBe(recorded.length);
    recorded.forEach((item, index) => {
      expectLike(ours[index], item, `${path}[${index}]`);
    });
  } else if (typeof recorded === "object" && recorded !== null) {
    expect(typeof ours, path).toBe("object");
    for (const [name, value] of Object.entries(recorded)) {
      expect(ours, path).toHaveProperty([name]);
      if (ownOfProcess.has(name)) expect(typeof ours[name], `${path}.${name}`).toBe(typeof value);
      else expectLike(ours[name], value, `${path}.${name}`);
    }
  } else {
    expect(ours, path).toEqual(recorded);
  }
}

const withoutFinished = (steps: Recorded[]): Recorded[] => steps.filter((step) => !step.finished);

/** Ours forgets finished steps at once and sorts what has no order. */
function adjusted(path: string, recorded: Recorded): Recorded {
  const copy = structuredClone(recorded);
  if (path === "") {
    copy.queueRunner.supportedFeatures.sort();
    const removed = copy.queueRunner.stepCount - copy.queueRunner.nrStepsBuilding;
    for (const name of ["stepCount", "runnableCount", "nrStepsRunnable", "nrStepsUnfinished"]) {
      copy.queueRunner[name] -= removed;
    }
    for (const queue of Object.values<Recorded>(copy.queueRunner.queueStats)) {
      queue.totalRunnable = queue.activeRunnable;
    }
  }
  if (Array.isArray(copy.steps)) {
    copy.steps = withoutFinished(copy.steps);
    copy.stepCount = copy.steps.length;
  }
  if (path === "/queues") {
    for (const [system, steps] of Object.entries<Recorded>(copy.queues)) {
      copy.queues[system] = withoutFinished(steps);
    }
  }
  return copy;
}

describe.each([
  ["with a step running", runningRecording],
  ["without work", idleRecording],
])("%s", (_name, recording) => {
  it.each(Object.keys(recording))("GET /status%s has the recorded shape and values", async (path) => {
    const { source, metrics, now } = recordedSource(recording);
    api = await serve({ source, metrics, clock: () => now });
    const answer = await api.ask("GET", `/status${path}`);
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toBe("application/json");
    expectLike(answer.json, adjusted(path, recording[path]));
  });

  it("maps and sets come in one order, always", async () => {
    const { source, metrics, now } = recordedSource(recording);
    api = await serve({ source, metrics, clock: () => now });
    const { json } = await api.ask("GET", "/status");
    const systems = Object.keys(json.queueRunner.queueStats);
    expect(systems).toEqual([...systems].sort());
    expect(json.queueRunner.supportedFeatures).toEqual(
      (json.queueRunner.supportedFeatures as string[]).toSorted(),
    );
  });
});

/** Families with their type and the label names of their samples. */
function families(text: string): Map<string, { type: string; labels: string }> {
  const found = new Map<string, { type: string; labels: string }>();
  for (const line of text.split("\n")) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type?.[1] !== undefined && type[2] !== undefined) found.set(type[1], { type: type[2], labels: "" });
    const sample = /^([a-z_0-9]+)(?:\{(.*)\})? \S+$/i.exec(line);
    if (sample?.[1] === undefined) continue;
    const name = [...found.keys()].findLast((family) => sample[1]?.startsWith(family));
    const entry = name === undefined ? undefined : found.get(name);
    const labels = [...(sample[2] ?? "").matchAll(/(\w+)="/g)]
      .map((match) => match[1])
      .filter((label) => label !== "le");
    if (entry !== undefined) entry.labels = labels.join(",");
  }
  return found;
}

describe("GET /metrics", () => {
  it("has every recorded family, with the same type and labels", async () => {
    const { source, now } = recordedSource(idleRecording);
    const { metrics } = recordedSource(idleRecording);
    api = await serve({ source, metrics, clock: () => now });
    const answer = await api.ask("GET", "/metrics");
    expect(answer.headers["content-type"]).toBe("text/plain; version=0.0.4; charset=utf-8");
    const ours = families(answer.text);
    const recorded = families(fixture("metrics.txt"));
    expect(recorded.size).toBeGreaterThan(60);
    const runtimeOnly = (name: string): boolean => name.startsWith("process_") && name !== "process_threads";
    for (const [name, family] of recorded) {
      if (!runtimeOnly(name)) expect(ours.get(name), name).toEqual(family);
    }
  });

  it("prints the recorded values of plain counters and gauges", async () => {
    const { source, metrics, now } = recordedSource(idleRecording);
    api = await serve({ source, metrics, clock: () => now });
    const { text } = await api.ask("GET", "/metrics");
    const volatile =
      /time_spent|current_time|uptime|wait_time|_ping_|process_|monitor_checks|queue_(checks|build)/;
    const lines = fixture("metrics.txt")
      .split("\n")
      .filter((line) => /^hydraqueuerunner_\S+ \d+$/.test(line) && !volatile.test(line));
    expect(lines.length).toBeGreaterThan(80);
    const ours = new Set(text.split("\n"));
    expect(lines.filter((line) => !ours.has(line))).toEqual([]);
  });

  it("is sorted, has help for all, no family twice, and ends with a newline", async () => {
    const { source, metrics } = recordedSource(idleRecording);
    api = await serve({ source, metrics });
    const { text } = await api.ask("GET", "/metrics");
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1] ?? "");
    expect(names).toEqual(names.toSorted());
    expect(new Set(names).size).toBe(names.length);
    expect([...text.matchAll(/^# HELP (\S+) \S/gm)].map((match) => match[1])).toEqual(names);
    expect(text.endsWith("\n") && !text.endsWith("\n\n")).toBe(true);
  });
});

describe("recorded requests", () => {
  const requests: Recorded[] = JSON.parse(fixture("http.json"));
  /** Where ours answers better on purpose. */
  const better: Record<string, number> = {
    "PUT /build 0": 200,
    "PUT /build 1": 200,
    "PUT /build 2": 400,
    "GET / 7": 200,
    "HEAD /status 8": 200,
  };

  it.each(requests.map((one, index): [string, Recorded] => [`${one.method} ${one.path} ${index}`, one]))(
    "%s",
    async (name, recorded) => {
      const { source, metrics, now } = recordedSource(idleRecording);
      api = await serve({ source, metrics, clock: () => now });
      const body = recorded.body === null ? {} : { body: JSON.stringify(recorded.body) };
      const answer = await api.ask(recorded.method, recorded.path, body);
      const [status, headers, text] = recorded.answer;
      expect(answer.status).toBe(better[name] ?? status);
      if (better[name] !== undefined) return;
      expect(answer.headers["content-type"]).toBe(headers["content-type"]);
      if (recorded.method !== "HEAD")
        expect(Object.keys(answer.json)).toEqual(expect.arrayContaining(Object.keys(JSON.parse(text))));
      if (status === 404) expect(answer.text).toBe(text);
    },
  );
});
