/** The table of views: which address shows which. */
import type { ComponentType } from "preact";
import type { ViewProps } from "./view-props.js";
import { Build } from "./views/build.js";
import { Jobsets } from "./views/jobsets.js";
import { Log } from "./views/log.js";
import { Machine } from "./views/machine.js";
import { Machines } from "./views/machines.js";
import { Overview } from "./views/overview.js";
import { Problems } from "./views/problems.js";
import { Queue } from "./views/queue.js";
import { Step } from "./views/step.js";
import { Timeline } from "./views/timeline.js";
import { Uploads } from "./views/uploads.js";

/** A view. */
export interface View {
  /** `{}` stands for one part. */
  readonly pattern: string;
  readonly title: string;
  readonly component: ComponentType<ViewProps>;
  /** In the navigation: what follows `g` on the keyboard. */
  readonly key?: string;
}

/** All views, those of the navigation in its order. */
export const views: readonly View[] = [
  { pattern: "/", title: "Overview", key: "o", component: Overview },
  { pattern: "/machines", title: "Machines", key: "m", component: Machines },
  { pattern: "/machines/{}", title: "Machine", component: Machine },
  { pattern: "/queue", title: "Queue", key: "q", component: Queue },
  { pattern: "/timeline", title: "Timeline", key: "t", component: Timeline },
  { pattern: "/jobsets", title: "Jobsets", key: "j", component: Jobsets },
  { pattern: "/uploads", title: "Uploads", key: "u", component: Uploads },
  { pattern: "/problems", title: "Problems", key: "p", component: Problems },
  { pattern: "/builds/{}", title: "Build", component: Build },
  { pattern: "/steps/{}", title: "Step", component: Step },
  { pattern: "/steps/{}/log/{}", title: "Log", component: Log },
];

/** The view of a path, and the parts of the path; undefined: there is none. */
export function findView(
  path: string,
): { readonly view: View; readonly parts: readonly string[] } | undefined {
  const segments = (path === "/" ? path : path.replace(/\/$/, "")).split("/");
  for (const view of views) {
    const pattern = view.pattern.split("/");
    if (pattern.length !== segments.length) continue;
    if (!pattern.every((part, index) => part === "{}" || part === segments[index])) continue;
    try {
      return { view, parts: segments.filter((_, index) => pattern[index] === "{}").map(decodeURIComponent) };
    } catch {
      return undefined;
    }
  }
  return undefined;
}
