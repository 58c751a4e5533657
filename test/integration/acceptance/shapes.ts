// Rows and notifications as short values: builds by their place in a list, derivations by name, no times.
import { basename } from "node:path";
import type { BuildRows, HydraTables, Row } from "../../support/hydra-tables.js";
import type { NotificationRecorder } from "../../support/notifications.js";

/** `status/cached`, `queued` for an unfinished build; `!` = nobody will hear of the end of it. */
function buildShape(row: Row): string {
  if (row.finished !== 1) return "queued";
  const pending = row.notificationpendingsince === null ? "!" : "";
  return `${row.buildstatus}${row.iscachedbuild === 1 ? " cached" : ""}${pending}`;
}

/** `build.stepnr name type status`, with what is out of the ordinary behind it. */
function stepShape(row: Row, ids: readonly number[]): string {
  const index = (id: unknown): number => ids.indexOf(Number(id));
  const name = basename(String(row.drvpath))
    .slice(33)
    .replace(/\.drv$/, "");
  const parts = [
    `${index(row.build)}.${row.stepnr}`,
    name,
    row.type === 0 ? "build" : "found",
    row.busy === 0 ? String(row.status) : "busy",
  ];
  if (row.propagatedfrom !== null) parts.push(`from ${index(row.propagatedfrom)}`);
  if (row.stoptime === 0) parts.push("orphan");
  return parts.join(" ");
}

export interface Shapes {
  readonly builds: readonly string[];
  readonly steps: readonly string[];
  /** `channel` and payload, in order of arrival. */
  readonly heard: readonly string[];
}

function heardShape(
  notifications: NotificationRecorder,
  ids: readonly number[],
  from: number,
): readonly string[] {
  const place = (field: string): string => {
    const index = ids.indexOf(Number(field));
    return index < 0 ? field : String(index);
  };
  const all = new Set(notifications.all.slice(from));
  return notifications
    .of(ids)
    .filter((one) => all.has(one))
    .map(({ channel, payload }) => {
      const [first = "", ...rest] = payload.split("\t");
      if (channel === "step_finished") {
        const log = /^\/.*\/build-logs\/..\/.*\.drv$/.test(rest[1] ?? "") ? "log" : rest[1];
        return `step_finished ${place(first)}.${rest[0]} ${log}`;
      }
      if (channel === "step_started") return `step_started ${place(first)}.${rest[0]}`;
      return `${channel} ${[first, ...rest].map(place).join(" ")}`;
    });
}

export function shapesOf(rows: BuildRows, ids: readonly number[]): Omit<Shapes, "heard"> {
  return {
    builds: ids.map((id) => {
      const row = rows.Builds.find((build) => build.id === id);
      return row === undefined ? "gone" : buildShape(row);
    }),
    steps: rows.BuildSteps.map((row) => stepShape(row, ids)),
  };
}

/** Everything that is known of builds now. `from`: notifications to leave out. */
export async function shapes(
  { tables, notifications }: { readonly tables: HydraTables; readonly notifications: NotificationRecorder },
  ids: readonly number[],
  from = 0,
): Promise<Shapes> {
  await notifications.settle();
  return { ...shapesOf(await tables.rows(ids), ids), heard: heardShape(notifications, ids, from) };
}
