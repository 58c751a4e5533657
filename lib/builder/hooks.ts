/**
 * What your own programs can attach to a builder: listeners of its builds and logs, another way to build, another
 * way to measure the machine. What a hook throws never reaches a build; it is a warning in the log, once for each hook.
 */
import { anObject, aText, checkMembers, having } from "../argument-checks.js";
import type { Logger } from "../log.js";
import type { BasicDerivation } from "../nix/derivation/derivation.js";
import type { StorePath } from "../nix/path/store-path.js";
import type { BuildResult, BuildSession } from "../nix/store/store.js";
import type { BuildState, StepStatus } from "../rpc/types.js";
import type { SystemSample } from "./machine/system-sampling.js";

/** A piece of a build's log, as the build wrote it. */
export interface BuildLogChunk {
  /** The runner's name of this attempt. A secret between the two: it proves that a report belongs to the attempt. */
  readonly buildId: string;
  readonly drv: StorePath;
  /** Whole lines with their newline; a very long line comes in several pieces. */
  readonly bytes: Uint8Array;
}

/** Members that all events of a build have. */
export interface BuildEventBase {
  /** See `BuildLogChunk`. */
  readonly buildId: string;
  readonly drv: StorePath;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/**
 * Something that happened to a build. A build that started ends with exactly one `finished` or `aborted`; orders for a
 * derivation that is being built already join that build and have no events of their own.
 */
export type BuildEvent =
  | (BuildEventBase & {
      readonly kind: "started";
      /** The trace that the runner wants the build in, as W3C `traceparent`; absent when it does not trace. */
      readonly traceparent?: string;
    })
  | (BuildEventBase & { readonly kind: "phase"; readonly phase: StepStatus })
  | (BuildEventBase & {
      readonly kind: "finished";
      readonly state: BuildState;
      /** Empty after a success. */
      readonly error: string;
      /** Milliseconds spent on inputs, the build itself and outputs. */
      readonly importMs: number;
      readonly buildMs: number;
      readonly uploadMs: number;
    })
  | (BuildEventBase & { readonly kind: "aborted"; readonly reason: string });

/** What a `BuildExecutor` is asked to build. */
export interface ExecutorJob {
  readonly drv: StorePath;
  /** Resolved: its inputs are store paths, and all of them are valid in the builder's store. */
  readonly derivation: BasicDerivation;
  /**
   * The connection to the builder's store, with the settings and limits of the order (time, silence, log size). It holds
   * temporary roots of the inputs, and should get those of the outputs (`addTempRoots`).
   */
  readonly session: BuildSession;
  /**
   * Takes one line of log without its newline, or a piece of a long line (`complete` false). Wait for it: a runner that
   * takes logs slowly slows the build down.
   */
  readonly log: (line: Uint8Array, complete: boolean) => Promise<void>;
  /** Aborts when the runner gives the build up, or the builder closes. */
  readonly signal: AbortSignal;
}

/**
 * Carries out a build, by other means than the Nix daemon if need be (a remote executor, a replayed build). When it
 * resolves with a status of success, all outputs must be valid in the builder's store. What it throws fails the attempt as
 * the machine's fault, so that the step is tried again elsewhere.
 */
export type BuildExecutor = (job: ExecutorJob) => Promise<BuildResult>;

/** Builds with the Nix daemon behind the builder's store; what a builder uses by default. */
export const daemonExecutor: BuildExecutor = async (build) => {
  checkMembers("daemonExecutor", build, {
    drv: aText,
    derivation: anObject,
    session: having("a BuildSession", ["build"]),
  });
  const { drv, derivation, session, log, signal } = build;
  return session.build(drv, derivation, { signal, onLog: log });
};

/** Hooks of a `BuilderClient`; each is optional. */
export interface BuilderHooks {
  /** Called with each piece of log, in order within a build. A promise it returns is waited for before the build goes on. */
  readonly onLog?: ((chunk: BuildLogChunk) => void | Promise<void>) | undefined;
  /** Called with each event of a build. Not waited for. */
  readonly onBuild?: ((event: BuildEvent) => void | Promise<void>) | undefined;
  /**
   * The span that a build is traced in, as W3C `traceparent`, by the name of its attempt; undefined: none. Called after the
   * `finished` event of the build, when it is reported. `BuilderTracing` of `hydra-runner/tracing` is made for this.
   */
  readonly traceReport?: ((buildId: string) => string | undefined) | undefined;
  /** Default `daemonExecutor`. */
  readonly executor?: BuildExecutor | undefined;
  /** Measures load, memory, pressure and free disk space for each ping. Default: of this machine. */
  readonly sampleSystem?: (() => SystemSample | Promise<SystemSample>) | undefined;
}

/** Calls hooks such that what they throw stays here. */
export class GuardedHooks {
  readonly #hooks: BuilderHooks;
  readonly #logger: Logger;
  readonly #reported = new Set<string>();

  constructor(hooks: BuilderHooks, logger: Logger) {
    this.#hooks = hooks;
    this.#logger = logger;
  }

  /** How builds are carried out. */
  get executor(): BuildExecutor {
    return this.#hooks.executor ?? daemonExecutor;
  }

  /** There is a listener of logs. */
  get followsLogs(): boolean {
    return this.#hooks.onLog !== undefined;
  }

  /** Passes a piece of log on, and waits for the listener. */
  async log(chunk: BuildLogChunk): Promise<void> {
    try {
      await this.#hooks.onLog?.(chunk);
    } catch (error) {
      this.#report("onLog", error);
    }
  }

  /** Passes an event on; an asynchronous listener is not waited for. */
  build(event: BuildEvent): void {
    try {
      const result = this.#hooks.onBuild?.(event);
      if (result instanceof Promise) result.catch((error: unknown) => this.#report("onBuild", error));
    } catch (error) {
      this.#report("onBuild", error);
    }
  }

  /** What the report of a build carries for the runner's trace. */
  traceOf(buildId: string): string | undefined {
    try {
      return this.#hooks.traceReport?.(buildId);
    } catch (error) {
      this.#report("traceReport", error);
      return undefined;
    }
  }

  /** The sample of the hook; undefined when there is no hook, or when it failed. */
  async sample(): Promise<SystemSample | undefined> {
    try {
      return await this.#hooks.sampleSystem?.();
    } catch (error) {
      this.#report("sampleSystem", error);
      return undefined;
    }
  }

  #report(hook: string, error: unknown): void {
    if (this.#reported.has(hook)) return;
    this.#reported.add(hook);
    this.#logger.warn("a hook of the builder failed; further failures of it are not logged", { hook, error });
  }
}
