/** The table of routes: method, path pattern and handler. */

import { toError } from "../errors.js";
import { isDerivationPath, parseAnyStorePath } from "../nix/path/store-path.js";
import { explanationJson } from "./answers/explanation.js";
import { overviewJson } from "./answers/overview.js";
import { statusJson } from "./answers/runner-report.js";
import {
  buildJson,
  jobsetsJson,
  machinesJson,
  problemJson,
  queuedStepJson,
  stepJson,
} from "./answers/shapes.js";
import { StatusError } from "./errors.js";
import { jsonReply, listReply, type Reply } from "./http/http-reply.js";
import { idField, isDatabaseId, readJsonObject, stringField } from "./http/request-body.js";
import type { StatusRequest } from "./http/status-request.js";
import { expositionContentType, printExposition } from "./metrics/exposition.js";
import type { Metrics } from "./metrics/metrics.js";
import { stateFamilies } from "./metrics/state-families.js";
import { pageAssets } from "./page/assets.js";
import { pageReply, viewPatterns } from "./page/page.js";
import type { StatusSource } from "./types.js";

/** What a handler gets. `now` is in milliseconds since the epoch. */
export interface RouteContext {
  readonly source: StatusSource;
  readonly metrics: Metrics;
  readonly now: number;
  readonly version: string;
  readonly request: StatusRequest;
  /** What stood in the place of the first `{}` of the pattern; empty where it has none. */
  readonly parameter: string;
  /** What stood in the place of each `{}`. */
  readonly parameters: readonly string[];
}

/** One route and its handler. */
export interface Route {
  readonly method: "GET" | "PUT" | "POST";
  /** `{}` stands for one path segment. Patterns without it also match with one trailing slash. */
  readonly pattern: string;
  readonly answer: (context: RouteContext) => Reply | Promise<Reply>;
}

const notFound = (): StatusError => new StatusError("not-found", "Not found");

function parseDerivation(source: StatusSource, text: string): string {
  try {
    const path = parseAnyStorePath(source.storeDir, text);
    if (isDerivationPath(path)) return path;
  } catch (cause) {
    throw new StatusError("bad-request", "invalid store path", { cause });
  }
  throw new StatusError("bad-request", "not a derivation: the name must end in .drv");
}

async function submitBuild({ source, request }: RouteContext): Promise<Reply> {
  const body = await readJsonObject(request);
  const drv = parseDerivation(source, stringField(body, "drv"));
  const buildId = await source.submitBuild({ drv, jobsetId: idField(body, "jobsetId") });
  return jsonReply({ buildId });
}

async function buildOne({ source, request }: RouteContext): Promise<Reply> {
  await source.buildOne(idField(await readJsonObject(request), "buildId"));
  return jsonReply({});
}

/** The build that a path names. */
function buildId({ parameter }: RouteContext): number {
  const id = /^[+-]?\d+$/.test(parameter) ? Number(parameter) : undefined;
  if (!isDatabaseId(id)) throw notFound();
  return id;
}

async function buildActive(context: RouteContext): Promise<Reply> {
  return jsonReply({ active: await context.source.isBuildActive(buildId(context)) });
}

async function steerBuild(context: RouteContext, action: "cancelBuild" | "bumpBuild"): Promise<Reply> {
  const id = buildId(context);
  await context.source[action](id);
  return jsonReply({ build: id });
}

async function whyNotRunning({ source, parameter }: RouteContext): Promise<Reply> {
  const drvPath = parseDerivation(source, parameter);
  const explanation = await source.whyNotRunning(drvPath);
  return jsonReply({ drvPath, ...explanationJson(explanation) }, explanation.code === "unknown" ? 404 : 200);
}

/** Body: `{"filter": "info,database=debug"}`. */
async function changeLogLevel({ source, request }: RouteContext): Promise<Reply> {
  if (source.logLevels === undefined) throw new StatusError("conflict", "the levels of this log are fixed");
  const filter = stringField(await readJsonObject(request), "filter");
  try {
    source.logLevels.set(filter);
  } catch (cause) {
    throw new StatusError("bad-request", `field 'filter': ${toError(cause).message}`, { cause });
  }
  return jsonReply({ filter: source.logLevels.text });
}

async function switchMachine(
  context: RouteContext,
  action: "drainMachine" | "resumeMachine",
): Promise<Reply> {
  const machines = await context.source[action](context.parameter);
  if (machines.length === 0) throw new StatusError("not-found", "no such machine");
  return jsonReply({ machines, draining: action === "drainMachine" });
}

function health({ source, version }: RouteContext): Reply {
  const report = source.health();
  const healthy = report.problems.length === 0;
  const problems = report.problems.map(problemJson);
  return jsonReply(
    { status: healthy ? "ok" : "degraded", state: report.state, version, problems },
    healthy ? 200 : 503,
  );
}

/** Ready to do its work: a standby is healthy but not ready, as is a runner that cannot record results. */
function ready({ source }: RouteContext): Reply {
  const { state, queueLoaded, canRecord } = source.health();
  const isReady = queueLoaded && canRecord && (state === "active" || state === "draining");
  return jsonReply({ ready: isReady, state, queueLoaded, canRecord }, isReady ? 200 : 503);
}

async function exposition({ source, metrics, now, version }: RouteContext): Promise<Reply> {
  const families = [...stateFamilies(source, metrics, now, version), ...(await metrics.families())];
  return { status: 200, contentType: expositionContentType, body: printExposition(families) };
}

function machines({ source, now }: RouteContext): Reply {
  const byName = machinesJson(source.machines(), now);
  return jsonReply({ machines: byName, machinesCount: Object.keys(byName).length });
}

function jobsets({ source }: RouteContext): Reply {
  const byName = jobsetsJson(source.jobsets());
  return jsonReply({ jobsets: byName, jobsetCount: Object.keys(byName).length });
}

function queues({ source }: RouteContext): Reply {
  const lists = [...source.queues()].sort((a, b) => (a.system < b.system ? -1 : 1));
  return jsonReply({
    queues: Object.fromEntries(lists.map((queue) => [queue.system, queue.steps.map(queuedStepJson)])),
  });
}

function uploads({ source }: RouteContext): Reply {
  return listReply("paths", source.pendingUploads(), "pathCount", (path) => path);
}

/** All routes of the status API. */
const routes: readonly Route[] = [
  ...viewPatterns.map(
    (pattern): Route => ({
      method: "GET",
      pattern,
      answer: ({ request }) => pageReply(request.url),
    }),
  ),
  {
    method: "GET",
    pattern: "/assets/{}",
    answer: async ({ request, parameter }) => (await pageAssets()).answer(parameter, request),
  },
  { method: "GET", pattern: "/health", answer: health },
  { method: "GET", pattern: "/ready", answer: ready },
  { method: "GET", pattern: "/metrics", answer: exposition },
  {
    method: "GET",
    pattern: "/status",
    answer: ({ source, metrics, now }) => jsonReply(statusJson(source, metrics, now)),
  },
  {
    method: "GET",
    pattern: "/status/overview",
    answer: async ({ source, metrics, now }) => jsonReply(await overviewJson(source, metrics, now)),
  },
  { method: "GET", pattern: "/status/machines", answer: machines },
  { method: "GET", pattern: "/status/jobsets", answer: jobsets },
  {
    method: "GET",
    pattern: "/status/builds",
    answer: ({ source }) => listReply("builds", source.builds(), "buildCount", buildJson),
  },
  {
    method: "GET",
    pattern: "/status/steps",
    answer: ({ source }) => listReply("steps", source.steps(), "stepCount", stepJson),
  },
  {
    method: "GET",
    pattern: "/status/runnable",
    answer: ({ source }) =>
      listReply(
        "steps",
        source.steps().filter((step) => step.runnable),
        "stepCount",
        stepJson,
      ),
  },
  { method: "GET", pattern: "/status/queues", answer: queues },
  {
    method: "GET",
    pattern: "/status/queues/jobs",
    answer: ({ source }) =>
      listReply(
        "steps",
        source.queues().flatMap((queue) => queue.steps),
        "stepCount",
        queuedStepJson,
      ),
  },
  {
    method: "GET",
    pattern: "/status/queues/scheduled",
    answer: ({ source }) =>
      listReply(
        "steps",
        source.queues().flatMap((queue) => queue.steps.filter((step) => step.state === "running")),
        "stepCount",
        queuedStepJson,
      ),
  },
  { method: "GET", pattern: "/status/uploads", answer: uploads },
  { method: "GET", pattern: "/status/build/{}/active", answer: buildActive },
  { method: "GET", pattern: "/status/steps/{}/why", answer: whyNotRunning },
  { method: "PUT", pattern: "/build", answer: submitBuild },
  { method: "POST", pattern: "/build_one", answer: buildOne },
  { method: "POST", pattern: "/log-level", answer: changeLogLevel },
  {
    method: "POST",
    pattern: "/builds/{}/cancel",
    answer: (context) => steerBuild(context, "cancelBuild"),
  },
  {
    method: "POST",
    pattern: "/builds/{}/bump",
    answer: (context) => steerBuild(context, "bumpBuild"),
  },
  {
    method: "POST",
    pattern: "/machines/{}/drain",
    answer: (context) => switchMachine(context, "drainMachine"),
  },
  {
    method: "POST",
    pattern: "/machines/{}/resume",
    answer: (context) => switchMachine(context, "resumeMachine"),
  },
];

const fixedRoutes = new Map<string, Route>();
const openRoutes: { readonly route: Route; readonly segments: readonly string[] }[] = [];
for (const route of routes) {
  if (route.pattern.includes("{}")) {
    openRoutes.push({ route, segments: route.pattern.split("/") });
  } else {
    fixedRoutes.set(`${route.method} ${route.pattern}`, route);
    if (route.pattern !== "/") fixedRoutes.set(`${route.method} ${route.pattern}/`, route);
  }
}

/** What stands in the places of the `{}`; undefined where a path does not match. */
function matchSegments(pattern: readonly string[], path: readonly string[]): string[] | undefined {
  if (pattern.length !== path.length) return undefined;
  const found: string[] = [];
  for (const [index, segment] of path.entries()) {
    if (pattern[index] !== "{}") {
      if (pattern[index] !== segment) return undefined;
    } else if (segment === "") return undefined;
    else found.push(segment);
  }
  return found;
}

/** A route and what stood in the places of its `{}`. */
export interface FoundRoute {
  readonly route: Route;
  readonly parameters: readonly string[];
}

/** The route of a request; the path is compared byte by byte, the query is ignored, HEAD is handled as GET. Undefined: not found. */
export function findRoute(method: string, url: string): FoundRoute | undefined {
  const query = url.indexOf("?");
  const path = query < 0 ? url : url.slice(0, query);
  const verb = method === "HEAD" ? "GET" : method;
  const fixed = fixedRoutes.get(`${verb} ${path}`);
  if (fixed !== undefined) return { route: fixed, parameters: [] };
  const sent = path.split("/");
  for (const { route, segments } of openRoutes) {
    if (route.method !== verb) continue;
    const found = matchSegments(segments, sent);
    if (found === undefined) continue;
    try {
      return { route, parameters: found.map((segment) => decodeURIComponent(segment)) };
    } catch {
      return undefined;
    }
  }
  return undefined;
}
