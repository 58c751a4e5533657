/** `GET /openapi.json`: the table of routes as an OpenAPI 3.1 document. */
import { longestText, type QueryParameter } from "../routes/query.js";
import type { AnswerAbout, Route, RouteAbout, RouteGroup } from "../routes/route.js";
import { apiError, plainError } from "./common.js";
import type { AnySchema, Components, JsonSchema } from "./schema.js";

const groups: Readonly<Record<RouteGroup, string>> = {
  page: "The live page and its files.",
  "live data":
    "What the live page shows. Times are milliseconds since the epoch; what is not known is `null`.",
  actions: "What changes something. With `statusTokenPath` these need the token.",
  status: "What Hydra's front-end reads. Its form is that of the queue runner that Hydra ships.",
  monitoring: "Health and metrics.",
};

const meanings: Readonly<Record<number, string>> = {
  304: "The client has it already (`If-None-Match`)",
  400: "The request cannot be understood; the message names the parameter or member",
  401: "The token is missing or wrong",
  403: "The request comes from a page of another site",
  404: "There is no such thing",
  409: "Not possible in the present state",
  413: "The body is too long",
  416: "The log has no such part",
  421: "The server is not the one that `Host` names",
  500: "A fault of the runner; its log says more",
  503: "Not now: the database does not answer, or the runner is not active",
};

const description = `The state of a queue runner, and actions on it.

Each \`GET\` route answers \`HEAD\` too. Answers that are made in one piece have an \`ETag\`; long ones are compressed where
the client accepts \`gzip\`. Refusals are JSON: below \`/api/\` with a \`code\`, which does not change between versions.
New members can appear in any answer.`;

/** The document; `version` is the runner's. */
export function openApiDocument(routes: readonly Route[], version: string): object {
  const components: Components = new Map();
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const path = pathOf(route);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route, components) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Hydra queue runner", version, description, license: { name: "MIT", identifier: "MIT" } },
    servers: [{ url: ".", description: "Where this document is" }],
    tags: Object.entries(groups).map(([name, about]) => ({ name, description: about })),
    paths,
    components: {
      schemas: Object.fromEntries([...components].sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: {
        statusToken: { type: "http", scheme: "bearer", description: "The token in `statusTokenPath`" },
      },
    },
  };
}

/** `/machines/{name}`: the pattern with the names of its parts. */
function pathOf({ pattern, about }: Route): string {
  const names = (about.path ?? []).map(({ name }) => name);
  return pattern.replaceAll("{}", () => `{${names.shift() ?? ""}}`);
}

function operation({ method, pattern, about }: Route, components: Components): object {
  const { id, group, summary, details, path = [], query = [], body, answers, refusals = [] } = about;
  const isAction = method !== "GET";
  const everywhere = [421, 500, ...(isAction ? [401, 403] : [304])];
  const refusal = pattern.startsWith("/api/") ? apiError : plainError;
  return {
    operationId: id,
    tags: [group],
    summary,
    ...(details === undefined ? {} : { description: details }),
    parameters: [
      ...path.map(({ name, about: meaning }) => ({
        name,
        in: "path",
        required: true,
        description: meaning,
        schema: { type: "string" },
      })),
      ...query.map((parameter) => ({
        name: parameter.name,
        in: "query",
        required: false,
        description: parameter.about,
        schema: parameterSchema(parameter),
      })),
    ],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { "application/json": { schema: body.print(components) } },
          },
        }),
    responses: responses(answers, [...everywhere, ...refusals], refusal, components),
    ...(isAction ? { security: [{ statusToken: [] }, {}] } : {}),
  };
}

function responses(
  answers: RouteAbout["answers"],
  refusals: readonly number[],
  refusal: AnySchema,
  components: Components,
): Record<string, object> {
  const found: Record<string, object> = {};
  for (const status of refusals) {
    const meaning = meanings[status];
    if (meaning === undefined) throw new Error(`no meaning for a refusal with ${status}`);
    found[status] =
      status === 304
        ? { description: meaning }
        : { description: meaning, content: { "application/json": { schema: refusal.print(components) } } };
  }
  for (const [status, answer] of Object.entries(answers)) found[status] = response(answer, components);
  return found;
}

function response({ about, contentType, schema }: AnswerAbout, components: Components): object {
  return {
    description: about,
    content: {
      [contentType ?? "application/json"]: { schema: schema?.print(components) ?? { type: "string" } },
    },
  };
}

function parameterSchema(parameter: QueryParameter): JsonSchema {
  switch (parameter.kind) {
    case "text":
      return { type: "string", maxLength: longestText };
    case "integer": {
      const { min, max, usual } = parameter;
      const bounds = { type: "integer", minimum: min, maximum: max };
      return usual === undefined ? bounds : { ...bounds, default: usual };
    }
    case "choice":
      return { type: "string", enum: parameter.choices };
  }
}
