/** `GET /api/steps/{drv}/log`: the log of a try, as bytes: whole, a part of it, or as it grows. */
import { StatusError } from "../errors.js";
import type { Reply } from "../http/http-reply.js";
import { headerOf, type StatusRequest } from "../http/status-request.js";
import type { ApiSource, AttemptRecord, LogRecord } from "./source.js";

/** Which part of which log is asked for. */
export interface LogQuestion {
  readonly drv: string;
  /** Number of the try; undefined: the newest log. */
  readonly try: number | undefined;
  /** Send what is still to come, too. */
  readonly follow: boolean;
  /** Bytes that the client has already; for `follow`. */
  readonly offset: number;
  readonly request: StatusRequest;
}

/** Tries that are looked at for the one that is asked for. */
export const triesKept = 100;

/** The log of each try that has one: it was last written to when no later try had begun. */
export function matchLogs(
  tries: readonly AttemptRecord[],
  logs: readonly LogRecord[],
): ReadonlyMap<number, LogRecord> {
  const found = new Map<number, LogRecord>();
  const byStart = [...tries].sort((a, b) => a.startedAt - b.startedAt || a.try - b.try);
  for (const log of logs) {
    // The database has whole seconds.
    const writer = byStart.findLast(({ startedAt }) => startedAt <= log.modifiedAt);
    if (writer !== undefined) found.set(writer.try, log);
  }
  return found;
}

interface Range {
  readonly start: number;
  /** Before this byte. */
  readonly end: number;
}

/** @throws StatusError (416) for a part that is not there; undefined: the whole, also for ranges that are not understood */
export function parseRange(header: string | undefined, length: number): Range | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return undefined;
  const start = first === "" ? Math.max(0, length - Number(last)) : Number(first);
  const end = first === "" || last === "" ? length : Math.min(length, Number(last) + 1);
  if (first !== "" && last !== "" && Number(last) < start) return undefined;
  if (start < length && end > start) return { start, end };
  throw new StatusError("bad-request", `range: the log has ${length} bytes`, { status: 416 });
}

const headers = {
  "x-content-type-options": "nosniff",
  "cache-control": "no-cache",
  "accept-ranges": "bytes",
} as const;
/** Of all logs, whatever is in them. */
export const logContentType = "text/plain; charset=utf-8";
const contentType = logContentType;

async function find(api: ApiSource, { drv, try: number }: LogQuestion): Promise<LogRecord> {
  const logs = await api.logs.list(drv);
  const newest = logs.at(-1);
  if (newest === undefined) throw new StatusError("not-found", "this step has no log");
  if (number === undefined) return newest;
  const log = matchLogs(await api.records.tries(drv, triesKept), logs).get(number);
  if (log === undefined) throw new StatusError("not-found", "this try has no log");
  return log;
}

/** @throws StatusError `not-found` without a log, 416 */
export async function logReply(api: ApiSource, question: LogQuestion): Promise<Reply> {
  const { drv, follow, request } = question;
  const log = await find(api, question);
  const startedAt = api.row(drv)?.startedAt;
  const isLive = startedAt !== undefined && log.isNewest && log.modifiedAt >= startedAt - 1_000;
  if (follow && isLive) {
    const body = log.follow({
      start: question.offset,
      isLive: () => api.row(drv)?.startedAt === startedAt,
    });
    return { status: 200, contentType, headers, body, encoding: "identity" };
  }
  const range = headerOf(request.headers, "range");
  if (range === undefined) return { status: 200, contentType, headers, body: log.read({ start: 0 }) };
  const length = await log.length();
  const part = parseRange(range, length);
  if (part === undefined) return { status: 200, contentType, headers, body: log.read({ start: 0 }) };
  return {
    status: 206,
    contentType,
    headers: {
      ...headers,
      "content-range": `bytes ${part.start}-${part.end - 1}/${length}`,
      "content-length": String(part.end - part.start),
    },
    body: log.read(part),
    encoding: "identity",
  };
}
