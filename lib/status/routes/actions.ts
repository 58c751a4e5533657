/** Routes that change something. */
import { toError } from "../../errors.js";
import { StatusError } from "../errors.js";
import { jsonReply, type Reply } from "../http/http-reply.js";
import { idField, readJsonObject, stringField } from "../http/request-body.js";
import { buildId, notFound, parseDerivation, type Route, type RouteContext } from "./route.js";

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

async function steerBuild(context: RouteContext, action: "cancelBuild" | "bumpBuild"): Promise<Reply> {
  const id = buildId(context);
  await context.source[action](id);
  return jsonReply({ build: id });
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
  if (machines.length === 0) throw notFound("no such machine");
  return jsonReply({ machines, draining: action === "drainMachine" });
}

/** Builds are taken in, cancelled and moved, machines drained and resumed, levels of the log changed. */
export const actionRoutes: readonly Route[] = [
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
