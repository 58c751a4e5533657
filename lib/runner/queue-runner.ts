/** The queue runner as an embedder sees it: its life is `life.ts`, its questions and orders are those of the status API. */

import type { AddressInfo } from "node:net";
import {
  type ArgumentRule,
  aNumber,
  anAmount,
  aText,
  checkArgument,
  checkMembers,
} from "../argument-checks.js";
import type { QueueRunnerConfig } from "../config/types.js";
import { UsageError } from "../errors.js";
import type { ServerTlsOptions } from "../rpc/index.js";
import type { RunnerState, StatusSource, StepExplanation } from "../status/index.js";
import { checkOptions } from "./check-options.js";
import type {
  EventStream,
  EventStreamOptions,
  RunnerEventName,
  RunnerListener,
  Unsubscribe,
} from "./events/index.js";
import { type RunnerExit, RunnerLife } from "./life.js";
import type { QueueRunnerOptions } from "./options.js";
import { derivationOf, type EnqueueRequest, jobsetIdOf, switchMachine } from "./service/requests.js";

const aJobset: ArgumentRule = {
  words: "the id of a jobset, or its name: 'project:jobset'",
  accepts: (value) => aText.accepts(value) || aNumber.accepts(value),
};

/** A queue runner; `start` it once, `close` it at the end. */
export class QueueRunner implements AsyncDisposable {
  readonly #life: RunnerLife;
  readonly #encrypted: boolean;
  /** Resolves when the runner is over; never rejects. */
  readonly finished: Promise<RunnerExit>;

  /**
   * Makes a runner and starts it; see `start`. Use it with `await using`, or `close` it at the end.
   *
   * @throws UsageError for options and settings that cannot work
   */
  static async open(options: QueueRunnerOptions): Promise<QueueRunner> {
    const runner = new QueueRunner(options);
    await runner.start();
    return runner;
  }

  /** @throws UsageError that names the option which is missing or wrong */
  constructor(options: QueueRunnerOptions) {
    checkOptions(options);
    this.#life = new RunnerLife(options);
    this.#encrypted = options.tls !== undefined;
    this.finished = this.#life.finished;
  }

  /** Where it is in its life; see `RunnerState`. */
  get state(): RunnerState {
    return this.#life.state;
  }

  /** Nothing is known to be broken. Trouble outside of the process counts too, so restarting would not mend it. */
  get healthy(): boolean {
    return this.#life.problems.present.length === 0;
  }

  /** Where the status API listens. */
  get restAddress(): AddressInfo | string | undefined {
    return this.#life.restAddress;
  }

  /** Where builders connect. */
  get grpcAddress(): AddressInfo | string | undefined {
    return this.#life.grpcAddress;
  }

  /**
   * The address for builders on this machine, as `BuilderClient.open` takes it. A certificate may want
   * another name than that of the loopback.
   *
   * @throws UsageError before the start
   */
  get builderAddress(): string {
    const address = this.#life.grpcAddress;
    if (address === undefined) throw new UsageError("builderAddress is known when the runner has started");
    if (typeof address === "string") return `unix://${address}`;
    const loopback = address.family === "IPv6" ? "[::1]" : "127.0.0.1";
    const anywhere = address.address === "::" || address.address === "0.0.0.0";
    const bound = address.family === "IPv6" ? `[${address.address}]` : address.address;
    return `${this.#encrypted ? "https" : "http"}://${anywhere ? loopback : bound}:${address.port}`;
  }

  /**
   * What the status API answers from: mount it in a server of your own.
   *
   * @throws StatusError `unavailable` before the runner has started
   */
  get status(): StatusSource {
    return this.#life.opened.source;
  }

  /**
   * Calls `listener` for each event of that name until the returned function is called (or disposed of). It may be
   * called before the start. Listeners that throw or reject are reported once in the log and disturb nothing.
   */
  on<Name extends RunnerEventName>(name: Name, listener: RunnerListener<Name>): Unsubscribe {
    return this.#life.events.on(name, listener);
  }

  /**
   * Events from now on, for `for await`; ends with the runner or its `signal`. A reader that is slower than the events
   * misses the oldest and finds their number in `dropped`.
   */
  events<Name extends RunnerEventName = RunnerEventName>(
    options?: EventStreamOptions<Name>,
  ): EventStream<Name> {
    return this.#life.events.events(options);
  }

  /**
   * Why a step does not run, or how it ended.
   *
   * @throws StatusError `bad-request` when `drv` is neither base name nor path of a derivation
   */
  async why(drv: string): Promise<StepExplanation> {
    checkArgument("QueueRunner.why", "drv", drv, aText);
    const { source } = this.#life.opened;
    return source.whyNotRunning(derivationOf(source.storeDir, drv));
  }

  /**
   * Adds a build to the queue and resolves to its id when it is taken in.
   *
   * @throws StatusError `not-found` when the derivation or the jobset does not exist, `bad-request`, `unavailable`
   */
  async enqueue(request: EnqueueRequest): Promise<number> {
    checkMembers("QueueRunner.enqueue", request, { drv: aText, jobset: aJobset });
    const { drv, jobset } = request;
    const { source, database } = this.#life.opened;
    const path = derivationOf(source.storeDir, drv);
    return source.submitBuild({ drv: path, jobsetId: await jobsetIdOf(database, jobset) });
  }

  /**
   * Cancels a build as Hydra's front-end does; what runs for it alone is stopped a moment later. Cancelling it again does
   * nothing.
   *
   * @throws StatusError `not-found`, `conflict` when it has another result, `unavailable`
   */
  async cancel(build: number): Promise<void> {
    checkArgument("QueueRunner.cancel", "build", build, anAmount);
    await this.#life.opened.source.cancelBuild(build);
  }

  /**
   * Moves a build to the front of the queue as Hydra's front-end does.
   *
   * @throws StatusError `not-found`, `conflict` when it is finished, `unavailable`
   */
  async bump(build: number): Promise<void> {
    checkArgument("QueueRunner.bump", "build", build, anAmount);
    await this.#life.opened.source.bumpBuild(build);
  }

  /**
   * A machine gets no more work; what it builds goes on. `machine`: id or host name. Resolves to the ids that were meant.
   *
   * @throws StatusError `not-found` when it is not connected, `unavailable`
   */
  async drain(machine: string): Promise<readonly string[]> {
    checkArgument("QueueRunner.drain", "machine", machine, aText);
    return switchMachine(this.#life.opened.source, "drainMachine", machine);
  }

  /**
   * A machine that was drained gets work again; see `drain`.
   *
   * @throws StatusError `not-found` when it is not connected, `unavailable`
   */
  async resume(machine: string): Promise<readonly string[]> {
    checkArgument("QueueRunner.resume", "machine", machine, aText);
    return switchMachine(this.#life.opened.source, "resumeMachine", machine);
  }

  /**
   * Opens the listeners, then the stores and the database (waiting for one that is down). Resolves when the runner is
   * active, or in standby behind another runner; requests are answered before.
   *
   * @throws UsageError for settings that cannot work: addresses, keys, a database that refuses us
   */
  async start(): Promise<void> {
    await this.#life.start();
  }

  /**
   * Takes new settings, and a new certificate, over: what can change while the runner works does, the rest waits for a
   * restart.
   *
   * @throws UsageError when the new settings cannot work; the old ones then stay in force
   */
  async reload(config: QueueRunnerConfig, tls?: ServerTlsOptions): Promise<void> {
    await this.#life.reload(config, tls);
  }

  /** Stops: no new step is assigned, what runs gets `drainTimeoutInS` to end, then it is given back to the queue. */
  close(): Promise<void> {
    return this.#life.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
