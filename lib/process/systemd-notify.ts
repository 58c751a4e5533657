/**
 * Messages to the service manager. Node has no datagram sockets of the Unix kind, so `systemd-notify` sends them; the
 * unit needs `NotifyAccess=all` for that, because the sender is our child.
 */

import { execFile } from "node:child_process";
import {
  aLogger,
  aNumber,
  anAmount,
  anObject,
  aText,
  checkArgument,
  checkMembers,
  optional,
} from "../argument-checks.js";

import { errorChain } from "../errors.js";
import { type Logger, silentLogger } from "../log.js";
import { ProcessError } from "./errors.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** A message to the service manager; members left out are not sent. */
export interface ServiceState {
  readonly ready?: boolean;
  /** A reload begins; `ready` ends it. */
  readonly reloading?: boolean;
  readonly stopping?: boolean;
  /** One line for `systemctl status`. */
  readonly status?: string;
  /** Number of the error that `status` is about. */
  readonly errno?: number;
  /** Alive, for `WatchdogSec=`. */
  readonly watchdog?: boolean;
  /** The step under way (start, stop) may take this much longer. Milliseconds. */
  readonly extendTimeoutMs?: number;
}

/** How messages reach the service manager. */
export interface NotifyOptions {
  /** Default `process.env`. */
  readonly env?: Environment;
  /**
   * Wait until the manager has read the message. It tells services apart by the sender's process, so the sender has
   * to live until then; false is for receivers that do not look. Default true.
   */
  readonly waitForReceipt?: boolean;
  /** How long the sender may take. Milliseconds, default 10,000. */
  readonly timeoutMs?: number;
}

/** The assignments of a message, in the order in which they are sent. */
export function printServiceState(state: ServiceState): string[] {
  checkMembers("printServiceState", state, {
    status: optional(aText),
    errno: optional(aNumber),
    extendTimeoutMs: optional(anAmount),
  });
  const { status, errno, extendTimeoutMs } = state;
  const lines: string[] = [];
  // CLOCK_MONOTONIC in µs, which is what Node's high-resolution clock reads.
  if (state.reloading) lines.push("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  if (status !== undefined) lines.push(`STATUS=${status.replaceAll(/\s+/g, " ").trim()}`);
  if (errno !== undefined) lines.push(`ERRNO=${errno}`);
  if (state.ready) lines.push("READY=1");
  if (state.stopping) lines.push("STOPPING=1");
  if (extendTimeoutMs !== undefined) lines.push(`EXTEND_TIMEOUT_USEC=${Math.ceil(extendTimeoutMs * 1000)}`);
  if (state.watchdog) lines.push("WATCHDOG=1");
  return lines;
}

/**
 * Sends one message. Resolves to false without a service manager (`NOTIFY_SOCKET` is not set).
 * @throws ProcessError `notify-failed` when `systemd-notify` is not there or failed
 */
export async function notifySystemd(state: ServiceState, options: NotifyOptions = {}): Promise<boolean> {
  checkMembers("notifySystemd", options, { env: optional(anObject), timeoutMs: optional(anAmount) });
  const { env = process.env, waitForReceipt = true, timeoutMs = 10_000 } = options;
  const socket = env.NOTIFY_SOCKET;
  const assignments = printServiceState(state);
  if (socket === undefined || socket === "" || assignments.length === 0) return false;
  const args = [...(waitForReceipt ? [] : ["--no-block"]), "--", ...assignments];
  const childEnv = { PATH: env.PATH ?? "/usr/bin:/bin", NOTIFY_SOCKET: socket };
  await new Promise<void>((resolve, reject) => {
    execFile("systemd-notify", args, { env: childEnv, timeout: timeoutMs }, (cause, _stdout, stderr) => {
      if (cause === null) return resolve();
      const said = stderr.trim().replaceAll(/\s+/g, " ");
      const text = `systemd-notify could not tell the service manager${said === "" ? "" : `: ${said}`}`;
      reject(new ProcessError("notify-failed", text, { cause }));
    });
  });
  return true;
}

/** Time between two signs of life that `WatchdogSec=` asks for: half of it. Undefined = none wanted. */
export function watchdogIntervalMs(env: Environment = process.env, pid = process.pid): number | undefined {
  checkArgument("watchdogIntervalMs", "env", env, anObject);
  const { WATCHDOG_USEC, WATCHDOG_PID } = env;
  if (WATCHDOG_USEC === undefined || !/^\d+$/.test(WATCHDOG_USEC)) return undefined;
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== "" && Number(WATCHDOG_PID) !== pid) return undefined;
  const interval = Number(WATCHDOG_USEC) / 2000;
  return interval > 0 && Number.isFinite(interval) ? interval : undefined;
}

/** Milliseconds between two messages about what the service does. */
const activityRestMs = 1_000;

/**
 * Keeps the service manager informed: messages go out one after the other in the order of the calls, those that wait
 * are joined into one. Failures are logged once and never disturb the service.
 */
export class SystemdNotifier implements AsyncDisposable {
  readonly #options: NotifyOptions;
  readonly #logger: Logger;
  readonly #waiting: ServiceState[] = [];
  #sending: Promise<void> | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #complained = false;
  #activity: string | undefined;
  #resting: NodeJS.Timeout | undefined;

  constructor(options: NotifyOptions & { readonly logger?: Logger } = {}) {
    checkMembers("SystemdNotifier", options, {
      env: optional(anObject),
      timeoutMs: optional(anAmount),
      logger: optional(aLogger),
    });
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
  }

  /** Resolves when the message, or one that says at least as much, is out. Never rejects. */
  notify(state: ServiceState): Promise<void> {
    const last = this.#waiting.at(-1);
    // The begin and the end of a reload are two messages, however close they are.
    if (last === undefined || last.reloading || state.reloading) this.#waiting.push(state);
    else this.#waiting[this.#waiting.length - 1] = { ...last, ...state };
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
    return this.#sending;
  }

  /**
   * What the service does, which may change many times a second: sent at once, but no more often than once a second, as
   * each message is a process. The last one is always sent.
   */
  activity(status: string): void {
    this.#activity = status;
    if (this.#resting === undefined) this.#sendActivity();
  }

  #sendActivity(): void {
    const status = this.#activity;
    this.#activity = undefined;
    this.#resting = undefined;
    if (status === undefined) return;
    void this.notify({ status, ready: true });
    this.#resting = setTimeout(() => this.#sendActivity(), activityRestMs);
    this.#resting.unref();
  }

  /** Sends signs of life, as long as `isHealthy` says so, when the unit asks for them. */
  startWatchdog(isHealthy: () => boolean): void {
    const interval = watchdogIntervalMs(this.#options.env);
    if (interval === undefined || this.#watchdog !== undefined) return;
    this.#watchdog = setInterval(() => {
      if (isHealthy()) void this.notify({ watchdog: true });
    }, interval);
    this.#watchdog.unref();
  }

  async #sendAll(): Promise<void> {
    for (let state = this.#waiting.shift(); state !== undefined; state = this.#waiting.shift()) {
      try {
        await notifySystemd(state, this.#options);
        this.#complained = false;
      } catch (error) {
        if (!this.#complained) this.#logger.warn(errorChain(error));
        this.#complained = true;
      }
    }
  }

  /** Ends the watchdog and waits for messages under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#watchdog);
    clearTimeout(this.#resting);
    await this.#sending;
  }
}
