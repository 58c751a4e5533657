/** Routes below `/api/`: what the live page shows. Types of the answers: `api/types.ts`. */
import { ApiAnswers } from "../api/answers.js";
import { logContentType } from "../api/logs.js";
import type { ApiReason } from "../api/types.js";
import { StatusError } from "../errors.js";
import { jsonReply, type Reply } from "../http/http-reply.js";
import * as buildSchemas from "../openapi/builds.js";
import { reasonMeanings } from "../openapi/common.js";
import * as machineSchemas from "../openapi/machines.js";
import * as lists from "../openapi/overview.js";
import type { AnySchema } from "../openapi/schema.js";
import type { StatusSource } from "../types.js";
import { Query, type QueryParameter } from "./query.js";
import {
  buildId,
  buildParameter,
  drvParameter,
  json,
  parseDerivation,
  type Route,
  type RouteAbout,
  type RouteContext,
} from "./route.js";

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

const latest = Number.MAX_SAFE_INTEGER;
const largestId = 2 ** 31 - 1;

const reasonNames = Object.keys(reasonMeanings) as readonly ApiReason[];

/** All that routes read from queries. */
const parameters = {
  system: { kind: "text", name: "system", about: "Only steps of this system" },
  jobset: {
    kind: "text",
    name: "jobset",
    about: "Only steps that a build of this jobset needs: `project:jobset`",
  },
  job: { kind: "text", name: "job", about: "Only steps of builds whose job has this in its name" },
  stepName: { kind: "text", name: "name", about: "Only steps that have this in their name" },
  reason: {
    kind: "choice",
    name: "reason",
    about: "Only steps that wait for this",
    choices: reasonNames,
  },
  limit: { kind: "integer", name: "limit", about: "Rows of this part", min: 1, max: 1_000, usual: 100 },
  cursor: { kind: "text", name: "cursor", about: "`cursor` of the part before" },
  from: {
    kind: "integer",
    name: "from",
    about: "Begin of the span; default: an hour before `to`",
    min: 0,
    max: latest,
  },
  to: { kind: "integer", name: "to", about: "End of the span; default: now", min: 1, max: latest },
  build: { kind: "integer", name: "build", about: "Only attempts of this build", min: 1, max: largestId },
  hours: { kind: "integer", name: "hours", about: "How far back", min: 1, max: 6, usual: 6 },
  search: {
    kind: "text",
    name: "q",
    about: "Id of a build, or a part of a job, derivation, machine or jobset",
  },
  events: {
    kind: "text",
    name: "events",
    about: "Events of the runner that are wanted besides, comma-separated, or `all`",
  },
  try: {
    kind: "integer",
    name: "try",
    about: "Number of the try; default: the last one",
    min: 1,
    max: 1_000_000,
  },
  follow: {
    kind: "choice",
    name: "follow",
    about: "1: send what is still to come, too",
    choices: ["0", "1"],
  },
  offset: {
    kind: "integer",
    name: "offset",
    about: "With `follow`: bytes that are left out at the begin",
    min: 0,
    max: latest,
    usual: 0,
  },
} as const satisfies Readonly<Record<string, QueryParameter>>;

const hourMs = 3_600_000;

function timeline(context: RouteContext): Promise<object> {
  const query = new Query(context.request);
  const to = query.integer(parameters.to) ?? context.now;
  const from = query.integer(parameters.from) ?? Math.max(0, to - hourMs);
  if (from >= to) throw new StatusError("bad-request", "from: not before to");
  return answers(context).timeline({ from, to, build: query.integer(parameters.build) });
}

function history(context: RouteContext): Promise<object> {
  return answers(context).history(new Query(context.request).integer(parameters.hours));
}

/** `?events=` names events of the runner, comma-separated, or is `all`; `changed` events come always. */
function events(context: RouteContext): Reply {
  const live = answers(context).events;
  const names = new Query(context.request).text(parameters.events) ?? "";
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
    try: query.integer(parameters.try),
    follow: query.choice(parameters.follow) === "1",
    offset: query.integer(parameters.offset),
    request,
  });
}

/** Ends the streams of a source that is about to close. */
export function closeStreams(source: StatusSource): void {
  answersBySource.get(source)?.events.close();
}

function queue(context: RouteContext): Promise<object> {
  const query = new Query(context.request);
  return answers(context).queue({
    filter: {
      system: query.text(parameters.system),
      jobset: query.text(parameters.jobset),
      job: query.text(parameters.job),
      name: query.text(parameters.stepName),
      reason: query.choice(parameters.reason),
    },
    limit: query.integer(parameters.limit),
    cursor: query.text(parameters.cursor),
  });
}

type Described = Pick<RouteAbout, "id" | "summary" | "path" | "query" | "refusals"> & {
  readonly schema: AnySchema;
};

/** Any route below `/api/` can say that the database does not answer. */
const refusals = [400, 503];

function get(
  pattern: string,
  { schema, ...about }: Described,
  answer: (context: RouteContext) => object | Promise<object>,
): Route {
  return {
    method: "GET",
    pattern,
    about: {
      group: "live data",
      answers: json(schema),
      ...about,
      refusals: [...refusals, ...(about.refusals ?? [])],
    },
    answer: async (context): Promise<Reply> => jsonReply(await answer(context)),
  };
}

const logRoute: Route = {
  method: "GET",
  pattern: "/api/steps/{}/log",
  about: {
    id: "log",
    group: "live data",
    summary: "The log of a try, as bytes: whole, a part of it (`Range`), or as it grows.",
    path: [drvParameter],
    query: [parameters.try, parameters.follow, parameters.offset],
    answers: {
      200: {
        about: "The log; with `follow=1` the answer ends when the try does",
        contentType: logContentType,
      },
      206: { about: "The part that `Range` asked for", contentType: logContentType },
    },
    refusals: [...refusals, 404, 416],
  },
  answer: log,
};

const eventsRoute: Route = {
  method: "GET",
  pattern: "/api/events",
  about: {
    id: "events",
    group: "live data",
    summary: "What happens, as server-sent events.",
    details:
      "A `changed` event comes first, and at most once a second, when answers have changed. A client that reads " +
      "slowly misses the oldest events; a `dropped` event says how many.",
    query: [parameters.events],
    answers: {
      200: {
        about: "Does not end by itself. The schema is that of the data of `changed` events",
        contentType: "text/event-stream",
        schema: lists.changed,
      },
    },
    refusals,
  },
  answer: events,
};

/** Stands here and not with the other actions, because the page asks for it. */
const retryRoute: Route = {
  method: "POST",
  pattern: "/api/uploads/retry",
  about: {
    id: "retryUploads",
    group: "actions",
    summary: "Uploads that failed are tried again now, not when their wait is over.",
    answers: json(lists.retriedUploads),
    refusals: [503],
  },
  answer: (context) => jsonReply(answers(context).retryUploads()),
};

/** See the head of this file. */
export const apiRoutes: readonly Route[] = [
  get(
    "/api/overview",
    { id: "overview", summary: "How the farm is, in one answer.", schema: lists.overview },
    (context) => answers(context).overview(),
  ),
  get(
    "/api/machines",
    { id: "machines", summary: "Machines that are connected, by name.", schema: machineSchemas.machines },
    (context) => answers(context).machines(),
  ),
  get(
    "/api/machines/{}",
    {
      id: "machine",
      summary: "A machine with what it does and did.",
      path: [{ name: "name", about: "Name or id of a machine" }],
      schema: machineSchemas.machineDetail,
      refusals: [404],
    },
    (context) => answers(context).machine(context.parameter),
  ),
  get(
    "/api/queue",
    {
      id: "queue",
      summary: "The queue as the scheduler sees it, in parts.",
      query: [
        parameters.system,
        parameters.jobset,
        parameters.job,
        parameters.stepName,
        parameters.reason,
        parameters.limit,
        parameters.cursor,
      ],
      schema: machineSchemas.queue,
    },
    queue,
  ),
  get(
    "/api/builds/{}",
    {
      id: "build",
      summary: "A build: what became of it, or what holds it up.",
      path: [buildParameter],
      schema: buildSchemas.build,
      refusals: [404],
    },
    (context) => answers(context).build(buildId(context)),
  ),
  get(
    "/api/steps/{}",
    {
      id: "step",
      summary: "A step: why it does not run, or what became of it.",
      path: [drvParameter],
      schema: buildSchemas.step,
      refusals: [404],
    },
    (context) => answers(context).step(parseDerivation(context.source, context.parameter)),
  ),
  get(
    "/api/timeline",
    {
      id: "timeline",
      summary: "What ran where in a span of time.",
      query: [parameters.from, parameters.to, parameters.build],
      schema: machineSchemas.timeline,
    },
    timeline,
  ),
  get(
    "/api/history",
    {
      id: "history",
      summary: "What happened in the last hours, minute by minute.",
      query: [parameters.hours],
      schema: lists.history,
    },
    history,
  ),
  get(
    "/api/jobsets",
    {
      id: "jobsets",
      summary: "Which share of the farm each jobset should get, and got.",
      schema: lists.jobsets,
    },
    (context) => answers(context).jobsets(),
  ),
  get(
    "/api/uploads",
    { id: "uploads", summary: "What waits to be uploaded, and how the caches are.", schema: lists.uploads },
    (context) => answers(context).uploads(),
  ),
  retryRoute,
  get(
    "/api/problems",
    { id: "problems", summary: "What does not work, and what did not lately.", schema: lists.problems },
    (context) => answers(context).problems(),
  ),
  get(
    "/api/search",
    {
      id: "search",
      summary: "Builds, steps, machines and jobsets by a part of their names.",
      query: [parameters.search],
      schema: lists.search,
    },
    (context) => answers(context).search(new Query(context.request).text(parameters.search) ?? ""),
  ),
  logRoute,
  eventsRoute,
];
