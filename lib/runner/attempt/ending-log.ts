/** Each end of a try, as a line of the log: which step, where, why, and what follows. */
import type { Logger } from "../../log.js";
import type { MachineNotice } from "../../scheduler/types.js";
import type { Attempt } from "../state/attempts.js";
import type { SettledCompletion } from "../state/running-scheduler.js";

function time(ms: number): string {
  return new Date(ms).toISOString();
}

/** `error`: the builder's words, where they are better than the scheduler's reason. */
export function logEnding(
  logger: Logger,
  attempt: Attempt | undefined,
  completion: SettledCompletion,
  error: string | undefined,
): void {
  if (completion.kind !== "failed" && completion.kind !== "retry") return;
  const { step, tries, reason, ended } = completion;
  const about = {
    drv: step,
    host: attempt?.hostname,
    machine: ended?.machine,
    tries,
    reason: error ?? reason,
  };
  if (completion.kind === "retry") {
    logger.warn("a try ended without result; the step will be tried again", {
      ...about,
      notBefore: time(completion.at),
    });
  } else {
    const { status, builds } = completion;
    logger.warn("step failed", { ...about, status, builds: builds.length });
  }
}

/** A machine was held or released. */
export function logMachineNotice(logger: Logger, notice: MachineNotice): void {
  const { machine, hostname: host } = notice;
  switch (notice.kind) {
    case "held": {
      const { fault, reason, step: drv, failures, until } = notice;
      logger.warn("machine is held: it gets no work for a while", {
        host,
        machine,
        fault,
        reason,
        drv,
        failures,
        until: time(until),
      });
      break;
    }
    case "released":
      logger.info("machine is released", { host, machine, because: notice.because });
      break;
  }
}
