/** What goes out when an attempt is over: its log, its outputs, and what its builder did not finish uploading. */

import type { TaskGroup } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { Attempt, StepRow } from "../state/attempts.js";
import type { SettledCompletion } from "../state/running-scheduler.js";
import type { RunnerEdges } from "./edges.js";
import type { PresignedUploads } from "./presigned/presigned-uploads.js";
import type { Publication } from "./uploads/uploads.js";

/** What a publisher is made of. */
export interface PublisherParts {
  readonly logs: Pick<RunnerEdges["logs"], "finish">;
  readonly uploads: Pick<RunnerEdges["uploads"], "publish" | "putLog" | "discardStaged">;
  readonly presigned: Pick<PresignedUploads, "abandon">;
  readonly tasks: TaskGroup;
  readonly logger: Logger;
}

/** Publishes what attempts leave behind. */
export class Publisher {
  readonly #logs: PublisherParts["logs"];
  readonly #uploads: PublisherParts["uploads"];
  readonly #presigned: PublisherParts["presigned"];
  readonly #tasks: TaskGroup;
  readonly #logger: Logger;

  constructor({ logs, uploads, presigned, tasks, logger }: PublisherParts) {
    this.#logs = logs;
    this.#uploads = uploads;
    this.#presigned = presigned;
    this.#tasks = tasks;
    this.#logger = logger;
  }

  /** Makes outputs safe and public; resolves when builds that need them may be recorded as finished. */
  publish(publication: Publication): Promise<void> {
    return this.#uploads.publish(publication);
  }

  /** The log of an attempt is complete. Never rejects: a log that cannot be compressed stays as it is. */
  async finishLog(drv: StorePath): Promise<void> {
    try {
      await this.#logs.finish(drv);
    } catch (error) {
      this.#logger.warn("log could not be compressed", { drv, error });
    }
  }

  /**
   * An attempt that reached its machine is over and its log is complete on disk. The log of a success goes with the
   * outputs; every other log is uploaded in the background.
   */
  attemptOver(attempt: Attempt, row: StepRow | undefined, kind: SettledCompletion["kind"]): void {
    this.#tasks.start(() => this.#presigned.abandon(attempt, { mayReturn: kind === "retry" }));
    // Outputs of a success go out with its row; they need none when its build was deleted.
    if (kind === "finished" && row !== undefined) return;
    this.#tasks.start(() => this.#uploads.discardStaged(attempt));
    if (kind === "finished") return;
    const name = row === undefined ? `${attempt.startedAt}` : `${row.build}-${row.stepNumber}`;
    this.#tasks.start(() => this.#uploads.putLog(attempt, name, kind === "failed"));
  }
}
