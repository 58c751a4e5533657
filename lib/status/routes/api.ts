/** Routes below `/api/`: what the live page shows. Types of the answers: `api/types.ts`. */
import { ApiAnswers } from "../api/answers.js";
import type { ApiReason } from "../api/types.js";
import { StatusError } from "../errors.js";
import { jsonReply, type Reply } from "../http/http-reply.js";
import type { StatusSource } from "../types.js";
import { Query } from "./query.js";
import { buildId, parseDerivation, type Route, type RouteContext } from "./route.js";

/** Hours of the history. */
const longestHistory = 6;

const answersBySource = new WeakMap<StatusSource, ApiAnswers>();

/** @throws StatusError `unavailable` when the source has nothing for these routes */
function answers({ source, clock, version }: RouteContext): ApiAnswers {
  if (source.api === undefined) throw new StatusError("unavailable", "this server has no such data");
  let found = answersBySource.get(source);
  if (found === undefined) {
    found = new ApiAnswers(source, source.api, { now: clock, version });
    answersBySource.set(source, found);
  }
  return found;
}

const reasons: readonly ApiReason[] = [
  "running",
  "waitingForInputs",
  "waitingForDynamicInputs",
  "gated",
  "retryLater",
  "unsupported",
  "machinesBusy",
  "nextInLine",
];

/** By default the last hour. */
const hourMs = 3_600_000;
const latest = Number.MAX_SAFE_INTEGER;

function timeline(context: RouteContext): Promise<object> {
  const query = new Query(context.request);
  const to = query.integer("to", { min: 0, max: latest }) ?? context.now;
  const from = query.integer("from", { min: 0, max: latest }) ?? to - hourMs;
  if (from >= to) throw new StatusError("bad-request", "from: not before to");
  return answers(context).timeline({ from, to, build: query.integer("build", { min: 1, max: 2 ** 31 - 1 }) });
}

function history(context: RouteContext): Promise<object> {
  const hours = new Query(context.request).integer("hours", { min: 1, max: longestHistory });
  return answers(context).history(hours ?? longestHistory);
}

/** `?events=` names events of the runner, comma-separated, or is `all`; `changed` events come always. */
function events(context: RouteContext): Reply {
  const live = answers(context).events;
  const names = new Query(context.request).text("events") ?? "";
  live.check();
  return {
    status: 200,
    contentType: "text/event-stream",
    // `x-accel-buffering`: proxies must not wait for more.
    headers: { "cache-control": "no-store", "x-accel-buffering": "no" },
    // Opened only when it is read: not for HEAD.
    body: { [Symbol.asyncIterator]: () => live.open(names === "all" ? "all" : new Set(names.split(","))) },
    encoding: "identity",
  };
}

function log(context: RouteContext): Promise<Reply> {
  const { source, request, parameter } = context;
  const query = new Query(request);
  return answers(context).log({
    drv: parseDerivation(source, parameter),
    try: query.integer("try", { min: 1, max: 1_000_000 }),
    follow: query.choice("follow", ["0", "1"]) === "1",
    offset: query.integer("offset", { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 0,
    request,
  });
}

/** Ends the streams of a source that is about to close. */
export function closeStreams(source: StatusSource): void {
  answersBySource.get(source)?.events.close();
}

/** Rows of one part of a list: as many as asked for, within bounds. */
const usualLimit = 100;
const largestLimit = 1_000;

function queue(context: RouteContext): Promise<object> {
  const query = new Query(context.request);
  return answers(context).queue({
    filter: {
      system: query.text("system"),
      jobset: query.text("jobset"),
      job: query.text("job"),
      name: query.text("name"),
      reason: query.choice("reason", reasons),
    },
    limit: query.integer("limit", { min: 1, max: largestLimit }) ?? usualLimit,
    cursor: query.text("cursor"),
  });
}

function get(pattern: string, answer: (context: RouteContext) => object | Promise<object>): Route {
  return {
    method: "GET",
    pattern,
    answer: async (context): Promise<Reply> => jsonReply(await answer(context)),
  };
}

/** See the head of this file. */
export const apiRoutes: readonly Route[] = [
  get("/api/overview", (context) => answers(context).overview()),
  get("/api/machines", (context) => answers(context).machines()),
  get("/api/machines/{}", (context) => answers(context).machine(context.parameter)),
  get("/api/queue", queue),
  get("/api/builds/{}", (context) => answers(context).build(buildId(context))),
  get("/api/steps/{}", (context) =>
    answers(context).step(parseDerivation(context.source, context.parameter)),
  ),
  get("/api/timeline", timeline),
  get("/api/history", history),
  get("/api/jobsets", (context) => answers(context).jobsets()),
  get("/api/uploads", (context) => answers(context).uploads()),
  get("/api/problems", (context) => answers(context).problems()),
  get("/api/search", (context) => answers(context).search(new Query(context.request).text("q") ?? "")),
  { method: "GET", pattern: "/api/steps/{}/log", answer: log },
  { method: "GET", pattern: "/api/events", answer: events },
];
