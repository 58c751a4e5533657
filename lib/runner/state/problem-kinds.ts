/** The kinds of trouble that the runner knows, and what an operator does about each. `docs/operations.md` lists them. */
import type { ProblemPart } from "../../status/index.js";

interface ProblemKind {
  readonly part: ProblemPart;
  /** What to do, in one sentence. */
  readonly advice: string;
  /** While it lasts no result can be recorded, so the runner is not ready. */
  readonly stopsRecording: boolean;
}

const kinds = {
  "database-silent": {
    part: "database",
    advice:
      "check that PostgreSQL runs, answers and can be reached at dbUrl; running builds go on and are recorded when it answers",
    stopsRecording: true,
  },
  "database-refuses": {
    part: "database",
    advice:
      "see the log of PostgreSQL (full disk, read-only standby, locks); results wait and are recorded when it accepts them",
    stopsRecording: true,
  },
  "notifications-lost": {
    part: "database",
    advice:
      "check that PostgreSQL accepts one more connection; until then the queue is read only every few minutes",
    stopsRecording: false,
  },
  "upload-failing": {
    part: "uploads",
    advice:
      "check that the store can be reached, its credentials and its space; uploads are repeated and nothing is lost",
    stopsRecording: false,
  },
  "cache-silent": {
    part: "uploads",
    advice:
      "check that the store can be reached and serves this Nix store; uploads wait for it and nothing is lost",
    stopsRecording: false,
  },
  "disk-unwritable": {
    part: "disk",
    advice: "free space on the disk or mend its permissions; what could not be written is tried again",
    stopsRecording: false,
  },
  "disk-low": {
    part: "disk",
    advice: "free space on the disk before it is full",
    stopsRecording: false,
  },
  "store-silent": {
    part: "store",
    advice: "check that nix-daemon runs and answers (`nix store ping`); restart it if it hangs",
    stopsRecording: false,
  },
  "no-machines": {
    part: "machines",
    advice: "start builders, and see their logs if they run and do not join",
    stopsRecording: false,
  },
  "machine-held": {
    part: "machines",
    advice: "see the log of the builder; it gets a trial job when the hold ends",
    stopsRecording: false,
  },
  "machine-store-silent": {
    part: "machines",
    advice:
      "check that nix-daemon runs and answers on that machine; it gets no work until then, its builds wait for it or are tried elsewhere",
    stopsRecording: false,
  },
  "steps-unsupported": {
    part: "machines",
    advice:
      "add a machine with the system and the features of these steps (see /status/steps/<drv>/why), or cancel their builds",
    stopsRecording: false,
  },
  "queue-unreadable": {
    part: "queue",
    advice: "see the error in the log; the pass is repeated and continues where it stopped",
    stopsRecording: false,
  },
} as const satisfies Readonly<Record<string, ProblemKind>>;

/** Stable name of a kind of trouble. */
export type ProblemCode = keyof typeof kinds;

/** All kinds by their codes. */
export const problemKinds: Readonly<Record<ProblemCode, ProblemKind>> = kinds;
