/** The notifications that Hydra's other services listen to. Sent inside the transaction that writes the rows. */
import { prepared } from "../prepared.js";
import type { SqlSession } from "./session.js";

/** A channel and its payload. */
export interface Notification {
  readonly channel: "step_started" | "build_started" | "step_finished" | "build_finished";
  readonly payload: string;
}

/** PostgreSQL refuses payloads of 8000 bytes; the other services are used to at most 7000. */
export const maxPayloadBytes = 7000;

/** A step began to run. */
export function stepStarted(build: number, stepNumber: number): Notification {
  return { channel: "step_started", payload: `${build}\t${stepNumber}` };
}

/** The first step of a build began to run. */
export function buildStarted(build: number): Notification {
  return { channel: "build_started", payload: String(build) };
}

/** `logPath` must name the log; one that cannot be sent becomes `-`, which means "no log". */
export function stepFinished(build: number, stepNumber: number, logPath: string | undefined): Notification {
  const usable = logPath !== undefined && /^[^\t\0]+$/.test(logPath) && Buffer.byteLength(logPath) < 4096;
  return { channel: "step_finished", payload: `${build}\t${stepNumber}\t${usable ? logPath : "-"}` };
}

/**
 * One notification for builds that ended by the same step, `ids[0]` being the one they are reported with.
 * Long lists are split; no id is named twice.
 */
export function buildsFinished(ids: readonly number[], limit = maxPayloadBytes): Notification[] {
  const notifications: Notification[] = [];
  let payload = "";
  for (const id of ids) {
    const text = String(id);
    if (payload !== "" && payload.length + 1 + text.length > limit) {
      notifications.push({ channel: "build_finished", payload });
      payload = "";
    }
    payload = payload === "" ? text : `${payload}\t${text}`;
  }
  if (payload !== "") notifications.push({ channel: "build_finished", payload });
  return notifications;
}

const statement = prepared(
  "SELECT pg_notify(n.channel, n.payload) FROM unnest($1::text[], $2::text[]) AS n(channel, payload)",
);

/** They are delivered at commit, in this order; the server drops exact repetitions. */
export async function sendNotifications(
  session: SqlSession,
  notifications: readonly Notification[],
): Promise<void> {
  if (notifications.length === 0) return;
  await session.query(statement, [notifications.map((n) => n.channel), notifications.map((n) => n.payload)]);
}
