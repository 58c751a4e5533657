/** Routes that tell of the whole runner, in the form that Hydra's front-end and monitoring know. */
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
import { buildId, parseDerivation, type Route, type RouteContext } from "./route.js";

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

/** Health, metrics and everything below `/status`. */
export const reportRoutes: readonly Route[] = [
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
];
