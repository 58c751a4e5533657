/** Routes that change something. */
import { toError } from "../../errors.js";
import { StatusError } from "../errors.js";
import { jsonReply, type Reply } from "../http/http-reply.js";
import { idField, readJsonObject, stringField } from "../http/request-body.js";
import { flag, integer, list, shape, text } from "../openapi/schema.js";
import {
  buildId,
  buildParameter,
  json,
  notFound,
  type PathParameter,
  parseDerivation,
  type Route,
  type RouteAbout,
  type RouteContext,
} from "./route.js";

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

const machineParameter: PathParameter = {
  name: "machine",
  about: "Id or host name of a machine; a host name means all machines that have it",
};
const steered = shape({ build: integer("Its id") });
const switched = shape({ machines: list(text(), "Ids of the machines that were meant"), draining: flag() });

function steering(
  verb: "cancel" | "bump",
  about: Pick<RouteAbout, "id" | "summary">,
  action: "cancelBuild" | "bumpBuild",
): Route {
  return {
    method: "POST",
    pattern: `/builds/{}/${verb}`,
    about: {
      ...about,
      group: "actions",
      path: [buildParameter],
      answers: json(steered),
      refusals: [404, 409],
    },
    answer: (context) => steerBuild(context, action),
  };
}

function switching(
  verb: "drain" | "resume",
  about: Pick<RouteAbout, "id" | "summary">,
  action: "drainMachine" | "resumeMachine",
): Route {
  return {
    method: "POST",
    pattern: `/machines/{}/${verb}`,
    about: { ...about, group: "actions", path: [machineParameter], answers: json(switched), refusals: [404] },
    answer: (context) => switchMachine(context, action),
  };
}

/** Builds are taken in, cancelled and moved, machines drained and resumed, levels of the log changed. */
export const actionRoutes: readonly Route[] = [
  {
    method: "PUT",
    pattern: "/build",
    about: {
      id: "submitBuild",
      group: "actions",
      summary: "Queues a build of a derivation that is in the runner's store.",
      body: shape({
        drv: text("Base name or full path of a derivation"),
        jobsetId: integer("`jobsets.id`"),
      }),
      answers: json(shape({ buildId: integer("Id of the new build") })),
      refusals: [400, 404, 413],
    },
    answer: submitBuild,
  },
  {
    method: "POST",
    pattern: "/build_one",
    about: {
      id: "loadBuild",
      group: "actions",
      summary: "Reads one build of the database now, and answers when its steps are in the queue.",
      details: "A build that is finished or does not exist changes nothing.",
      body: shape({ buildId: integer() }),
      answers: json(shape({}), "Always an empty object"),
      refusals: [400, 413],
    },
    answer: buildOne,
  },
  {
    method: "POST",
    pattern: "/log-level",
    about: {
      id: "changeLogLevel",
      group: "actions",
      summary: "Changes what the runner logs, until it ends.",
      body: shape({ filter: text("As `LOG_LEVEL` has it: `info,database=debug`") }),
      answers: json(shape({ filter: text("What is in force now") })),
      refusals: [400, 409, 413],
    },
    answer: changeLogLevel,
  },
  steering("cancel", { id: "cancelBuild", summary: "Cancels a build that is not finished." }, "cancelBuild"),
  steering("bump", { id: "bumpBuild", summary: "Moves a build to the front of the queue." }, "bumpBuild"),
  switching(
    "drain",
    { id: "drainMachine", summary: "A machine gets no new steps; what it builds goes on." },
    "drainMachine",
  ),
  switching("resume", { id: "resumeMachine", summary: "A machine gets new steps again." }, "resumeMachine"),
];
