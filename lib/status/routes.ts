/** The table of all routes, and how the route of a request is found. The routes themselves live in `routes/`. */
import { pageAssets } from "./page/assets.js";
import { pageReply, viewPatterns } from "./page/page.js";
import { actionRoutes } from "./routes/actions.js";
import { apiRoutes } from "./routes/api.js";
import { reportRoutes } from "./routes/reports.js";
import type { Route } from "./routes/route.js";

/** The page: one document for all views, and its files. */
const pageRoutes: readonly Route[] = [
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
];

/** All routes of the status API. */
const routes: readonly Route[] = [...pageRoutes, ...reportRoutes, ...apiRoutes, ...actionRoutes];

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
