/** Routes that report on the whole runner, in the form that Hydra's front-end and monitoring know. */
import type { StepView } from "../../scheduler/index.js";
import { explanationJson } from "../answers/explanation.js";
import { overviewJson } from "../answers/overview.js";
import { statusJson } from "../answers/runner-report.js";
import {
  buildJson,
  jobsetsJson,
  machinesJson,
  problemJson,
  queuedStepJson,
  stepJson,
} from "../answers/shapes.js";
import { jsonReply, listReply, type Reply } from "../http/http-reply.js";
import { expositionContentType, printExposition } from "../metrics/exposition.js";
import { stateFamilies } from "../metrics/state-families.js";
import * as schemas from "../openapi/reports.js";
import type { AnySchema } from "../openapi/schema.js";
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

async function buildActive(context: RouteContext): Promise<Reply> {
  return jsonReply({ active: await context.source.isBuildActive(buildId(context)) });
}

async function whyNotRunning({ source, parameter }: RouteContext): Promise<Reply> {
  const drvPath = parseDerivation(source, parameter);
  const explanation = await source.whyNotRunning(drvPath);
  return jsonReply({ drvPath, ...explanationJson(explanation) }, explanation.code === "unknown" ? 404 : 200);
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

type Described = Pick<RouteAbout, "id" | "summary" | "path" | "refusals"> &
  Partial<Pick<RouteAbout, "answers">>;

function monitoring(pattern: string, about: Described, schema: AnySchema, answer: Route["answer"]): Route {
  return {
    method: "GET",
    pattern,
    about: {
      group: "monitoring",
      answers: { 200: { about: "Yes", schema }, 503: { about: "No", schema } },
      ...about,
    },
    answer,
  };
}

function report(pattern: string, about: Described, schema: AnySchema, answer: Route["answer"]): Route {
  return { method: "GET", pattern, about: { group: "status", answers: json(schema), ...about }, answer };
}

function queuedSteps({ source }: RouteContext, isWanted: (step: StepView) => boolean): Reply {
  const steps = source.queues().flatMap((queue) => queue.steps.filter(isWanted));
  return listReply("steps", steps, "stepCount", queuedStepJson);
}

/** Health, metrics and everything below `/status`. */
export const reportRoutes: readonly Route[] = [
  monitoring(
    "/health",
    { id: "health", summary: "Whether anything is wrong, and what." },
    schemas.health,
    health,
  ),
  monitoring("/ready", { id: "ready", summary: "Whether the runner does its work." }, schemas.ready, ready),
  {
    method: "GET",
    pattern: "/metrics",
    about: {
      id: "metrics",
      group: "monitoring",
      summary: "Metrics in Prometheus' text format.",
      answers: { 200: { about: "One exposition", contentType: expositionContentType } },
    },
    answer: exposition,
  },
  report(
    "/status",
    { id: "status", summary: "The runner, its machines, jobsets and stores." },
    schemas.status,
    ({ source, metrics, now }) => jsonReply(statusJson(source, metrics, now)),
  ),
  report(
    "/status/overview",
    { id: "statusOverview", summary: "One small document about the whole farm; `/api/overview` says more." },
    schemas.overview,
    async ({ source, metrics, now }) => jsonReply(await overviewJson(source, metrics, now)),
  ),
  report(
    "/status/machines",
    { id: "statusMachines", summary: "Machines by host name." },
    schemas.machines,
    machines,
  ),
  report(
    "/status/jobsets",
    { id: "statusJobsets", summary: "Jobsets that had a build in the queue." },
    schemas.jobsets,
    jobsets,
  ),
  report(
    "/status/builds",
    { id: "statusBuilds", summary: "Builds of the queue." },
    schemas.builds,
    ({ source }) => listReply("builds", source.builds(), "buildCount", buildJson),
  ),
  report(
    "/status/steps",
    { id: "statusSteps", summary: "Steps of the queue." },
    schemas.steps,
    ({ source }) => listReply("steps", source.steps(), "stepCount", stepJson),
  ),
  report(
    "/status/runnable",
    { id: "statusRunnable", summary: "Steps whose inputs are there, those that run included." },
    schemas.steps,
    ({ source }) => {
      const steps = source.steps().filter((step) => step.runnable);
      return listReply("steps", steps, "stepCount", stepJson);
    },
  ),
  report(
    "/status/queues",
    { id: "statusQueues", summary: "Steps that can run, by system." },
    schemas.queues,
    queues,
  ),
  report(
    "/status/queues/jobs",
    { id: "statusQueuedJobs", summary: "Steps that can run, of all systems." },
    schemas.queuedSteps,
    (context) => queuedSteps(context, () => true),
  ),
  report(
    "/status/queues/scheduled",
    { id: "statusScheduled", summary: "Steps that run." },
    schemas.queuedSteps,
    (context) => queuedSteps(context, ({ state }) => state === "running"),
  ),
  report(
    "/status/uploads",
    { id: "statusUploads", summary: "Store paths that wait to be uploaded." },
    schemas.uploads,
    uploads,
  ),
  report(
    "/status/build/{}/active",
    {
      id: "buildActive",
      summary: "Whether the database has an unfinished build with this id.",
      path: [buildParameter],
      refusals: [404],
    },
    schemas.active,
    buildActive,
  ),
  report(
    "/status/steps/{}/why",
    {
      id: "whyNotRunning",
      summary: "Why a step does not run, or what became of it.",
      path: [drvParameter],
      answers: {
        200: { about: "The scheduler's answer, or what is recorded", schema: schemas.explanation },
        404: { about: "Not known, with the code `unknown`", schema: schemas.explanation },
      },
      refusals: [400],
    },
    schemas.explanation,
    whyNotRunning,
  ),
];
