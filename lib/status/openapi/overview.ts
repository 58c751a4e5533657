/** Schemas of the overview, its history, uploads, problems, jobsets, search and events. */
import type {
  ApiChanged,
  ApiHistory,
  ApiHistoryPoint,
  ApiHit,
  ApiJobsets,
  ApiOverview,
  ApiProblems,
  ApiResult,
  ApiRetriedUploads,
  ApiSearch,
  ApiSystem,
  ApiTopic,
  ApiUploadSummary,
  ApiUploads,
} from "../api/types.js";
import { problem, reasonCounts, runningStep, stateMembers } from "./common.js";
import {
  choice,
  count,
  derivation,
  duration,
  flag,
  integer,
  list,
  type Members,
  named,
  number,
  object,
  orNull,
  text,
  time,
} from "./schema.js";

const historyPoint = object<ApiHistoryPoint>({
  at: time("Begin of the interval"),
  done: count("Steps that succeeded"),
  failed: count("Steps that failed"),
  waitMs: orNull(duration("Mean time that steps waited for a machine; null: none started")),
  slotsUsed: orNull(count("At the end of the interval; null: before the start of the process")),
  slots: orNull(count()),
});

/** `GET /api/history`. */
export const history = named(
  "History",
  "What happened, interval by interval",
  object<ApiHistory>({
    intervalMs: duration("Length of an interval"),
    points: list(historyPoint, "Oldest first, without gaps; the last one is not over"),
  }),
);

const system = named(
  "System",
  "The part of the queue that one system has",
  object<ApiSystem>({
    system: text(),
    slotsUsed: count(),
    slots: count("Of all machines that build it"),
    ready: count("Steps that only wait for room on a machine"),
    reasons: reasonCounts,
    oldest: orNull(
      object<NonNullable<ApiSystem["oldest"]>>({
        drv: derivation("The runnable step that waits longest"),
        name: text(),
        since: time(),
        why: text("Why it does not run, in words"),
      }),
    ),
  }),
);

const result = named(
  "Result",
  "A build that ended",
  object<ApiResult>({
    build: integer(),
    project: text(),
    jobset: text(),
    job: text(),
    drv: derivation(),
    status: integer("`builds.buildstatus`; 0: succeeded"),
    result: text("The status in words"),
    error: orNull(text("The first line of why it failed; null: it did not, or it is not known")),
    machine: orNull(text()),
    cached: flag("It was known already"),
    durationMs: duration("Of the build's own step; 0: nothing had to be built"),
    finishedAt: time(),
  }),
);

const summaryMembers: Members<ApiUploadSummary> = {
  waiting: count("Jobs that are not done"),
  oldestSince: orNull(time("From when on the oldest job waits; null: none does")),
  failingSince: orNull(time("Null: no cache fails")),
};

/** `GET /api/overview`. */
export const overview = named(
  "Overview",
  "How the farm is, in one answer",
  object<ApiOverview>({
    ...stateMembers,
    now: time("The runner's clock when it answered"),
    version: text(),
    farmName: orNull(text()),
    frontendUrl: orNull(text("Hydra's front-end, without a last slash")),
    problems: list(problem, "Oldest first"),
    counts: object<ApiOverview["counts"]>({
      builds: count(),
      steps: count(),
      running: count(),
      ready: count("Steps that only wait for room on a machine"),
      waiting: count("Steps that wait for anything else"),
      slotsUsed: count(),
      slots: count(),
      machines: count(),
      donePerHour: count(),
      failedPerHour: count(),
    }),
    reasons: reasonCounts,
    leftMs: orNull(duration("Estimate until the queue is empty; null: there is no rate yet")),
    systems: list(system),
    history,
    runningNow: list(runningStep, "Longest over its usual time first; at most 25"),
    results: list(result, "Newest first, failures of the last minute before them; at most 25"),
    uploads: object<ApiUploadSummary>(summaryMembers),
    skipped: list(
      object<ApiOverview["skipped"][number]>({ build: integer(), reason: text(), since: time() }),
      "Rows of the queue that cannot be read",
    ),
  }),
);

/** `GET /api/uploads`. */
export const uploads = named(
  "Uploads",
  "What waits to be uploaded, and how the caches are",
  object<ApiUploads>({
    now: time(),
    ...summaryMembers,
    paths: list(
      object<ApiUploads["paths"][number]>({ path: text("Base name of a store path"), since: time() }),
      "Those in progress first, then oldest first; at most 100",
    ),
    caches: list(
      object<ApiUploads["caches"][number]>({
        name: text(),
        puts: count("Objects written since the start of the process"),
        putBytes: count(),
        bytesPerSecond: orNull(count("Over the last minute; null: not measured yet")),
        failingSince: orNull(time()),
        error: orNull(text()),
      }),
    ),
  }),
);

/** `POST /api/uploads/retry`. */
export const retriedUploads = object<ApiRetriedUploads>({
  retried: count("Jobs that waited after a failure and are tried now"),
});

/** `GET /api/problems`. */
export const problems = named(
  "Problems",
  "Problems: open ones first, then by end, newest first",
  object<ApiProblems>({ now: time(), problems: list(problem) }),
);

/** `GET /api/jobsets`. */
export const jobsets = named(
  "Jobsets",
  "Which share of the farm each jobset should get, and got",
  object<ApiJobsets>({
    now: time(),
    jobsets: list(
      object<ApiJobsets["jobsets"][number]>({
        project: text(),
        name: text(),
        shares: integer(),
        asked: number("Part of all shares, 0 to 1"),
        got: number("Part of the build time of the last 24 h, 0 to 1"),
        usedMs: duration("Build time of the last 24 h"),
        builds: count("Builds in the queue"),
        ready: count(),
        running: count(),
        oldestSince: orNull(time("When its oldest build was queued")),
      }),
    ),
  }),
);

/** `GET /api/search`. */
export const search = named(
  "Search",
  "What was found",
  object<ApiSearch>({
    hits: list(
      object<ApiHit>({
        kind: choice<ApiHit["kind"]>({ build: "", step: "", machine: "", jobset: "" }),
        id: text("Id of the build, base name of the derivation, name of the machine, or `project:jobset`"),
        title: text(),
        detail: text(),
      }),
      "Best first; at most 20",
    ),
  }),
);

/** Data of the `changed` event of `GET /api/events`. */
export const changed = named(
  "Changed",
  "Data of a `changed` event: which answers are worth asking for again",
  object<ApiChanged>({
    ...stateMembers,
    now: time(),
    topics: list(
      choice<ApiTopic>({
        overview: "",
        machines: "",
        queue: "",
        builds: "",
        steps: "",
        uploads: "",
        problems: "",
        jobsets: "",
      }),
    ),
    running: count(),
    ready: count(),
    steps: count(),
    problems: list(problem),
  }),
);
