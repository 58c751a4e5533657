/** The table of all routes, and how the route of a request is found. The routes themselves live in `routes/`. */
import { jsonReply } from "./http/http-reply.js";
import { pageAssets } from "./page/assets.js";
import { pageReply, viewPatterns } from "./page/page.js";
import { actionRoutes } from "./routes/actions.js";
import { apiRoutes } from "./routes/api.js";
import { reportRoutes } from "./routes/reports.js";
import { json, type Route } from "./routes/route.js";

/** What the views show, and names of the `{}` of their addresses. */
const viewAbouts: Readonly<Record<(typeof viewPatterns)[number], readonly [id: string, ...names: string[]]>> =
  {
    "/": ["Overview"],
    "/machines": ["Machines"],
    "/machines/{}": ["Machine", "name"],
    "/queue": ["Queue"],
    "/builds/{}": ["Build", "id"],
    "/steps/{}": ["Step", "drv"],
    "/steps/{}/log/{}": ["Log", "drv", "try"],
    "/timeline": ["Timeline"],
    "/jobsets": ["Jobsets"],
    "/uploads": ["Uploads"],
    "/problems": ["Problems"],
  };

/** The page: one document for all views, and its files. */
const pageRoutes: readonly Route[] = [
  ...viewPatterns.map((pattern): Route => {
    const [view, ...names] = viewAbouts[pattern];
    return {
      method: "GET",
      pattern,
      about: {
        id: `page${view}`,
        group: "page",
        summary: `The live page: ${view.toLowerCase()}.`,
        path: names.map((name) => ({ name, about: "As in the API" })),
        answers: {
          200: { about: "The same document for all views", contentType: "text/html; charset=utf-8" },
        },
      },
      answer: ({ request }) => pageReply(request.url),
    };
  }),
  {
    method: "GET",
    pattern: "/assets/{}",
    about: {
      id: "pageFile",
      group: "page",
      summary: "A file of the live page; its name has a hash of the content.",
      path: [{ name: "file", about: "Name of the file, as the document has it" }],
      answers: { 200: { about: "Its content never changes", contentType: "*/*" } },
      refusals: [404],
    },
    answer: async ({ request, parameter }) => (await pageAssets()).answer(parameter, request),
  },
];

const openApiRoute: Route = {
  method: "GET",
  pattern: "/openapi.json",
  about: {
    id: "openApi",
    group: "monitoring",
    summary: "This description of all routes, as an OpenAPI 3.1 document.",
    answers: json({ print: () => ({ type: "object" }) }, "The document"),
  },
  answer: async ({ version }) => {
    const { openApiDocument } = await import("./openapi/document.js");
    return jsonReply(openApiDocument(routes, version));
  },
};

/** All routes of the status API. */
const routes: readonly Route[] = [
  ...pageRoutes,
  openApiRoute,
  ...reportRoutes,
  ...apiRoutes,
  ...actionRoutes,
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
      const parameters = found.map((segment) => decodeURIComponent(segment));
      // No name holds a NUL, and the database refuses to be asked for one.
      return parameters.some((parameter) => parameter.includes("\0")) ? undefined : { route, parameters };
    } catch {
      return undefined;
    }
  }
  return undefined;
}
