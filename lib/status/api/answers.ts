/** The answers below `/api/` of one runner: what several pages ask for at once is made once. */
import { StatusError } from "../errors.js";
import type { Reply } from "../http/http-reply.js";
import type { StatusSource } from "../types.js";
import { buildAnswer, stepAnswer } from "./builds.js";
import {
  jobsetsAnswer,
  problemsAnswer,
  searchAnswer,
  type TimelineQuestion,
  Traffic,
  timelineAnswer,
  uploadsAnswer,
} from "./lists.js";
import { LiveEvents } from "./live-events.js";
import { type LogQuestion, logReply } from "./logs.js";
import { findMachine, machineLimits, machineList, machineRow } from "./machines.js";
import { Overview } from "./overview.js";
import { QueueLists, type QueueQuestion } from "./queue.js";
import { Remembered } from "./remembered.js";
import { runningSteps, TryNumbers } from "./running.js";
import type { ApiSource } from "./source.js";
import { apiAttempt } from "./timeline.js";
import type {
  ApiBuild,
  ApiHistory,
  ApiJobsets,
  ApiMachineDetail,
  ApiMachines,
  ApiOverview,
  ApiProblems,
  ApiQueue,
  ApiRetriedUploads,
  ApiSearch,
  ApiStep,
  ApiTimeline,
  ApiUploads,
} from "./types.js";

/** Attempts in the history of a machine. */
const machineHistory = 100;
const dayMs = 86_400_000;

/** Who asks, and when. */
export interface Asking {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly version: string;
}

/** See the head of this file. */
export class ApiAnswers {
  readonly #source: StatusSource;
  readonly #api: ApiSource;
  readonly #asking: Asking;
  readonly #numbers: TryNumbers;
  readonly #queue: QueueLists;
  readonly #overview: Remembered<ApiOverview>;
  readonly #machines: Remembered<ApiMachines>;
  readonly #traffic = new Traffic();
  /** Streams of what happens. */
  readonly events: LiveEvents;

  constructor(source: StatusSource, api: ApiSource, asking: Asking) {
    this.#source = source;
    this.#api = api;
    this.#asking = asking;
    this.#numbers = new TryNumbers(api);
    this.events = new LiveEvents(source, api, asking);
    this.#queue = new QueueLists(source, api);
    const overview = new Overview(source, api, this.#numbers);
    this.#overview = new Remembered(() => overview.make(asking.now(), asking.version));
    this.#machines = new Remembered(() => machineList(source, asking.now()));
  }

  overview(): Promise<ApiOverview> {
    return this.#overview.get();
  }

  machines(): Promise<ApiMachines> {
    return this.#machines.get();
  }

  queue(question: QueueQuestion): Promise<ApiQueue> {
    return this.#queue.part(question, this.#asking.now());
  }

  /** @throws StatusError `not-found` */
  build(id: number): Promise<ApiBuild> {
    return buildAnswer(this.#source, this.#api, id, this.#asking.now());
  }

  /** @throws StatusError `not-found` for a derivation that neither the queue nor the database knows */
  step(drv: string): Promise<ApiStep> {
    return stepAnswer(this.#source, this.#api, drv, this.#asking.now());
  }

  async jobsets(): Promise<ApiJobsets> {
    const ready = await this.#queue.readyByJobset();
    return jobsetsAnswer(this.#source, this.#api, ready, this.#asking.now());
  }

  uploads(): ApiUploads {
    return uploadsAnswer(this.#source, this.#api, this.#traffic, this.#asking.now());
  }

  /** What waits after a failure is tried now. */
  retryUploads(): ApiRetriedUploads {
    return { retried: this.#api.uploads.retry() };
  }

  problems(): ApiProblems {
    return problemsAnswer(this.#source, this.#api, this.#asking.now());
  }

  timeline(question: TimelineQuestion): Promise<ApiTimeline> {
    return timelineAnswer(this.#source, this.#api, question, this.#asking.now());
  }

  history(hours: number): Promise<ApiHistory> {
    return this.#api.history(hours);
  }

  /** Nothing is found for an empty text. */
  async search(text: string): Promise<ApiSearch> {
    return text === "" ? { hits: [] } : searchAnswer(this.#source, this.#api, text, this.#asking.now());
  }

  /** @throws StatusError `not-found` without a log, 416 for a part that it does not have */
  log(question: LogQuestion): Promise<Reply> {
    return logReply(this.#api, question);
  }

  /** @throws StatusError `not-found` */
  async machine(text: string): Promise<ApiMachineDetail> {
    const now = this.#asking.now();
    const found = findMachine(this.#source, text);
    if (found === undefined) throw new StatusError("not-found", "no such machine");
    const [name, machine] = found;
    const { info } = machine.view;
    const history = await this.#api.records.attempts({
      from: now - dayMs,
      to: now,
      machine: info.hostname,
      limit: machineHistory,
    });
    return {
      now,
      ...machineRow(name, machine, now),
      nixVersion: machine.nixVersion,
      peer: machine.peer ?? null,
      load5: machine.load5,
      load15: machine.load15,
      running: await runningSteps(this.#source, this.#api, this.#numbers, {
        now,
        limit: info.maxJobs + 100,
        machine: info.id,
      }),
      history: history.filter(({ stoppedAt }) => stoppedAt !== undefined).map(apiAttempt),
      limits: machineLimits(machine),
    };
  }
}
