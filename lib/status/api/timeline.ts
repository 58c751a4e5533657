/** What ran where: `GET /api/timeline`, and the attempts of other answers. */
import { resultWords } from "../answers/words.js";
import type { AttemptRecord } from "./source.js";
import type { ApiAttempt } from "./types.js";

/** Name of a derivation without hash and `.drv`; what is not the name of one is given as it is. */
export function derivationName(drv: string): string {
  return /^[0-9a-z]{32}-(.*)\.drv$/.exec(drv)?.[1] ?? drv;
}

/** A recorded attempt as the API has it. */
export function apiAttempt(record: AttemptRecord): ApiAttempt {
  return {
    drv: record.drv,
    name: derivationName(record.drv),
    build: record.build,
    job: record.job ?? null,
    try: record.try,
    machine: record.machine,
    system: record.system ?? null,
    startedAt: record.startedAt,
    stoppedAt: record.stoppedAt ?? null,
    status: record.status ?? null,
    result: record.status === undefined ? "running" : resultWords(record.status),
  };
}
