/**
 * Schemas of the answers that Hydra's front-end and monitoring know: health, `/status` and what is below it. Their types
 * are those of other programs, so the tests alone hold them against the answers.
 */
import { reasonMeanings } from "./common.js";
import {
  type AnySchema,
  choice,
  count,
  derivation,
  flag,
  integer,
  items,
  list,
  literal,
  named,
  number,
  orNull,
  record,
  type Schema,
  shape,
  text,
  time,
  variants,
} from "./schema.js";

const timestamp = (description?: string): Schema<string> =>
  text(`${description === undefined ? "" : `${description}. `}RFC 3339, UTC`);
const epoch = (description: string): Schema<number> =>
  count(`${description}. Seconds since the epoch; 0: never`);
const percent = (): Schema<number> => number("Percent");
const runnerState = choice({ starting: "", standby: "", active: "", draining: "", stopping: "" });
/** Of a type that the compiler does not know. */
const nullable = (schema: AnySchema): AnySchema => orNull(schema as Schema<unknown>);

const problem = named(
  "HealthProblem",
  "Something that does not work at present",
  shape({
    part: text(),
    reason: text("The cause, as far as it is known"),
    code: text("Stable name of the kind of problem"),
    subject: text("Which of several has it; empty where there is only one"),
    since: timestamp(),
    advice: text("What to do about it"),
  }),
);

/** `GET /health`. */
export const health = shape({
  status: choice({ ok: "nothing is wrong", degraded: "there are problems" }),
  state: runnerState,
  version: text(),
  problems: items(problem),
});

/** `GET /ready`. */
export const ready = shape({
  ready: flag("It does its work: a standby does not, nor does a runner that cannot record results"),
  state: runnerState,
  queueLoaded: flag("The queue has been read at least once"),
  canRecord: flag("The database takes results"),
});

const block = named(
  "MachineBlock",
  "Why a machine takes no step",
  variants(
    shape({ kind: literal("full"), jobs: count(), maxJobs: count() }),
    shape({ kind: literal("uploads"), uploads: count(), limit: count() }),
    shape({ kind: literal("threshold"), what: text(), value: number(), limit: number() }),
    shape({
      kind: choice({ burst: "got several steps just now", disconnected: "its connection is lost" }),
      until: { print: () => ({ description: "When it ends", type: ["number", "string"] }) },
    }),
    shape(
      {
        kind: literal("held"),
        until: { print: () => ({ description: "When it ends", type: ["number", "string"] }) },
        failures: count(),
        fault: text("What it failed by"),
      },
      ["fault"],
    ),
    shape({ kind: literal("storeSilent"), reason: text("Why, as its builder reports") }),
    shape({
      kind: choice({
        noPing: "no ping yet",
        policy: "the operator's rule says so",
        probing: "on trial after a hold",
        draining: "gets nothing until it is resumed",
        avoided: "the step failed there",
      }),
    }),
  ),
);

const pressure = named(
  "Pressure",
  "One pressure line of the kernel",
  shape({ avg10: percent(), avg60: percent(), avg300: percent(), total: count("Microseconds") }),
);

const machineStats = shape({
  currentJobs: count(),
  nrStepsDone: count(),
  avgStepTimeMs: count(),
  avgStepImportTimeMs: count(),
  avgStepBuildTimeMs: count(),
  avgStepUploadTimeMs: count(),
  totalStepTimeMs: count(),
  totalStepImportTimeMs: count(),
  totalStepBuildTimeMs: count(),
  totalStepUploadTimeMs: count(),
  idleSince: epoch("0: busy"),
  lastFailure: epoch("The last one"),
  disabledUntil: epoch("End of a hold"),
  consecutiveFailures: count(),
  lastPing: epoch("The last one"),
  sinceLastPing: integer("Seconds"),
  load1: number(),
  load5: number(),
  load15: number(),
  memUsage: count("Bytes"),
  pressure: nullable(
    shape({
      cpuSome: nullable(pressure),
      memSome: nullable(pressure),
      memFull: nullable(pressure),
      ioSome: nullable(pressure),
      ioFull: nullable(pressure),
      irqFull: nullable(pressure),
    }),
  ),
  buildDirFreePercent: percent(),
  storeFreePercent: percent(),
  currentUploadingPathCount: count(),
  currentDownloadingPathCount: count(),
  jobsInLast30sStart: epoch("Begin of the count"),
  jobsInLast30sCount: count(),
  failedBuilds: count("Steps"),
  succeededBuilds: count("Steps"),
});

const machine = named(
  "ConnectedMachine",
  "A machine as Hydra's front-end reads it; counts begin at its connection",
  shape({
    systems: list(text()),
    hostname: text(),
    uptime: number("Seconds since it joined"),
    cpuCount: count(),
    bogomips: number(),
    speedFactor: number(),
    maxJobs: count(),
    buildDirAvailThreshold: percent(),
    storeAvailThreshold: percent(),
    load1Threshold: number(),
    cpuPsiThreshold: percent(),
    memPsiThreshold: percent(),
    ioPsiThreshold: orNull(percent()),
    score: number("By which the scheduler orders machines"),
    totalMem: count("Bytes"),
    supportedFeatures: list(text()),
    mandatoryFeatures: list(text()),
    cgroups: flag(),
    substituters: list(text()),
    useSubstitutes: flag(),
    nixVersion: text(),
    stats: machineStats,
    jobs: list(derivation()),
    hasCapacity: flag(),
    hasDynamicCapacity: flag(),
    hasStaticCapacity: flag(),
    id: text(),
    peer: orNull(text()),
    currentUploads: count(),
    draining: flag(),
    blockedBy: nullable(block),
  }),
);
const machineMap = record(machine, "By host name");

const jobset = shape({
  id: integer(),
  projectName: text(),
  name: text(),
  seconds: count("Build time of the last 24 h"),
  shares: integer(),
});
const jobsetMap = record(jobset, "By `project:jobset`");

/** `GET /status/machines`. */
export const machines = shape({ machines: machineMap, machinesCount: count() });
/** `GET /status/jobsets`. */
export const jobsets = shape({ jobsets: jobsetMap, jobsetCount: count() });

const cgroup = shape({
  memory: shape({
    currentBytes: count(),
    peakBytes: count(),
    swapCurrentBytes: count(),
    zswapCurrentBytes: count(),
  }),
  io: shape({ totalReadBytes: count(), totalWriteBytes: count() }),
  cpu: shape({ usageUsec: count(), userUsec: count(), systemUsec: count() }),
});

const runnerCounts = [
  ["buildCount", "jobsetCount", "stepCount", "runnableCount"],
  ["queueChecksStarted", "queueBuildLoads", "queueStepsCreated", "queueChecksEarlyExits"],
  ["queueChecksFinished", "dispatcherTimeSpentRunning", "dispatcherTimeSpentWaiting"],
  ["queueMonitorTimeSpentRunning", "queueMonitorTimeSpentWaiting", "nrBuildsRead", "buildReadTimeMs"],
  ["nrBuildsUnfinished", "nrBuildsDone", "nrBuildsSucceeded", "nrBuildsFailed", "nrStepsStarted"],
  ["nrStepsDone", "nrStepsBuilding", "nrStepsWaiting", "nrStepsRunnable", "nrStepsUnfinished"],
  ["nrUnsupportedSteps", "nrUnsupportedStepsAborted", "nrSubstitutesStarted", "nrSubstitutesFailed"],
  ["nrSubstitutesSucceeded", "nrRetries", "maxNrRetries", "avgStepTimeMs", "avgStepImportTimeMs"],
  ["avgStepBuildTimeMs", "avgStepUploadTimeMs", "totalStepTimeMs", "totalStepImportTimeMs"],
  ["totalStepBuildTimeMs", "totalStepUploadTimeMs", "nrQueueWakeups", "nrDispatcherWakeups"],
  ["dispatchTimeMs", "machinesTotal", "machinesInUse", "s3UploadsPending"],
].flat();

const queueRunner = named(
  "QueueRunnerReport",
  "The runner itself: counters since the start of the process, and present sizes",
  shape({
    status: literal("up"),
    time: timestamp("Now"),
    uptime: number("Seconds"),
    proc: nullable(
      shape({
        pid: integer(),
        vsizeBytes: count(),
        rssBytes: count(),
        sharedBytes: count(),
        cgroup: nullable(cgroup),
      }),
    ),
    supportedFeatures: list(text()),
    queueStats: record(
      shape({
        activeRunnable: count("Steps that run"),
        totalRunnable: count("Steps in the queue, those that run included"),
        nrRunnableWaiting: count(),
        nrRunnableDisabled: count("Steps that wait for their next try"),
        avgRunnableTime: count(),
        waitTimeMs: count(),
      }),
      "By system",
    ),
    ...Object.fromEntries(runnerCounts.map((name) => [name, integer()])),
    state: runnerState,
  }),
);

/** `GET /status`. */
export const status = shape({
  queueRunner,
  machines: machineMap,
  jobsets: jobsetMap,
  store: { print: () => ({ type: "null", description: "There for old clients" }) },
  s3: record(
    shape({
      put: count("Objects written"),
      putBytes: count(),
      putTimeMs: count(),
      putSpeed: number("MiB/s"),
      get: count(),
      getBytes: count(),
      getTimeMs: count(),
      getSpeed: number("MiB/s"),
      head: count(),
      costDollarApprox: number("US dollars, at list prices"),
    }),
    "Traffic with remote stores by name",
  ),
});

const build = named(
  "UnfinishedBuild",
  "A build of the queue",
  shape({
    id: integer(),
    drvPath: derivation(),
    jobsetId: integer(),
    name: text("Name of the job"),
    timestamp: timestamp("When it was queued"),
    maxSilentTime: orNull(integer("Seconds")),
    timeout: orNull(integer("Seconds")),
    localPriority: integer(),
    globalPriority: integer(),
    finishedInDb: flag(),
  }),
);

/** `GET /status/builds`. */
export const builds = shape({ builds: items(build), buildCount: count() });

const step = named(
  "UnfinishedStep",
  "A step of the queue",
  shape({
    drvPath: derivation(),
    runnable: flag(),
    finished: flag(),
    previousFailure: flag(),
    created: flag(),
    tries: count(),
    highestGlobalPriority: integer(),
    highestLocalPriority: integer(),
    lowestBuildId: integer(),
    depsCount: count("Inputs that are not built yet"),
    system: text(),
    state: text(),
  }),
);

/** `GET /status/steps` and `/status/runnable`. */
export const steps = shape({ steps: items(step), stepCount: count() });

const queuedStep = named(
  "QueuedStep",
  "A step that can run or runs",
  shape({
    drvPath: derivation(),
    alreadyScheduled: flag("It runs"),
    runnable: flag(),
    finished: flag(),
    cancelled: flag(),
    runnableSince: timestamp(),
    tries: count(),
    lowestShareUsed: orNull(number("Null: infinite")),
    highestGlobalPriority: integer(),
    highestLocalPriority: integer(),
    lowestBuildId: integer(),
    machine: orNull(text("Id of the machine that runs it")),
  }),
);

/** `GET /status/queues`. */
export const queues = shape({
  queues: record(items(queuedStep, "In the order in which the scheduler would start them"), "By system"),
});
/** `GET /status/queues/jobs` and `/status/queues/scheduled`. */
export const queuedSteps = shape({ steps: items(queuedStep), stepCount: count() });
/** `GET /status/uploads`. */
export const uploads = shape({
  paths: list(text("Base name of a store path"), "In the order of the queue; one may be there several times"),
  pathCount: count(),
});
/** `GET /status/build/{id}/active`. */
export const active = shape({ active: flag("The database has an unfinished build with this id") });

const blockedMachine = shape({ machine: text("Its id"), hostname: text(), block });

/** `GET /status/steps/{drv}/why`. */
export const explanation = named(
  "Explanation",
  "Why a step does not run, or what became of it; `code` says which members there are",
  variants(
    ...[
      shape({ code: literal("unknown") }),
      shape({ code: literal("finished"), status: integer("`buildsteps.status`"), at: timestamp() }, ["at"]),
      shape({ code: literal("resolved"), to: text("The derivation that is built instead") }),
      shape({
        code: literal("running"),
        machine: text(),
        hostname: text(),
        since: timestamp(),
        phase: text(),
      }),
      shape({ code: literal("waitingForInputs"), inputs: list(derivation()), count: count() }),
      shape({ code: literal("waitingForDynamicInputs"), producers: list(derivation()) }),
      shape({ code: literal("gated"), gate: literal("upload") }),
      shape(
        {
          code: literal("retryLater"),
          at: timestamp(),
          tries: count(),
          maxTries: count(),
          reason: text(),
        },
        ["reason"],
      ),
      shape({
        code: literal("unsupported"),
        system: text(),
        systemKnown: flag("Some machine builds that system"),
        features: list(text()),
        missingFeatures: list(text()),
        since: timestamp(),
        failsAt: timestamp(),
      }),
      shape({
        code: literal("machinesBusy"),
        machines: items(blockedMachine),
        position: integer("Place in the queue, from 1; 0: not known"),
      }),
      shape({
        code: literal("nextInLine"),
        position: integer("Place in the queue, from 1; 0: not known"),
      }),
    ].map((variant) => withDerivation(variant)),
  ),
);

/** Each variant says which step was asked for. */
function withDerivation(variant: AnySchema): AnySchema {
  return {
    print: (components) => {
      const { properties, required, ...printed } = variant.print(components) as {
        readonly properties: object;
        readonly required: readonly string[];
      };
      return {
        ...printed,
        properties: { drvPath: derivation().print(components), ...properties },
        required: ["drvPath", ...required],
      };
    },
  };
}

const ageing = { since: time(), notBefore: number("Milliseconds since the epoch; 0: now") };

/** `GET /status/overview`. */
export const overview = shape({
  now: time(),
  startedAt: time(),
  state: runnerState,
  problems: items(problem),
  counts: shape({
    builds: count(),
    steps: count(),
    runnable: count(),
    running: count(),
    buildsFinished: count(),
    stepsSucceeded: count(),
    stepsFailed: count(),
    retries: count(),
    uploads: count(),
  }),
  reasons: shape(Object.fromEntries(Object.keys(reasonMeanings).map((name) => [name, count()]))),
  machines: items(
    shape({
      id: text(),
      hostname: text(),
      systems: list(text()),
      features: list(text()),
      mandatoryFeatures: list(text()),
      jobs: count(),
      maxJobs: count(),
      uploads: count(),
      load1: number(),
      cpuCount: count(),
      memoryUsed: count(),
      memoryTotal: count(),
      storeFree: orNull(percent()),
      lastPing: time("0: none yet"),
      stepsDone: count(),
      failed: count(),
      draining: flag(),
      block: nullable(block),
    }),
  ),
  attempts: items(
    shape({
      step: derivation(),
      machine: text(),
      hostname: text(),
      build: integer(),
      startedAt: time(),
      phase: text(),
    }),
  ),
  queues: items(
    shape({
      system: text(),
      running: count(),
      ready: count(),
      delayed: count(),
      steps: items(
        shape({
          drv: derivation(),
          state: text(),
          tries: count(),
          build: integer(),
          ...ageing,
          reason: orNull(text("Why its last try failed")),
          why: orNull(text("Why it does not run, in words; null: it runs, or is far from it")),
        }),
      ),
    }),
  ),
  builds: items(
    shape({
      id: integer(),
      jobset: text(),
      job: text(),
      drv: derivation(),
      priority: integer(),
      globalPriority: integer(),
      queuedAt: time(),
    }),
  ),
  recent: items(
    shape({
      id: integer(),
      project: text(),
      jobset: text(),
      job: text(),
      drvPath: derivation(),
      status: integer(),
      result: text(),
      finishedAt: time(),
      durationMs: number(),
      machine: orNull(text()),
      cached: flag(),
      finishedAtSeconds: count(),
    }),
  ),
  skipped: items(shape({ id: integer(), reason: text(), since: time() })),
});
