/** A log that nobody reads but the fuzzing: what a program calls a fault of its own is a finding. */
import { HydraError, toError } from "../../../../lib/errors.js";
import { type Logger, silentLogger } from "../../../../lib/log.js";

export class FaultLog {
  readonly #faults: string[] = [];
  readonly logger: Logger;

  constructor() {
    const note = (message: string, fields: { readonly error?: unknown } = {}): void => {
      const { error } = fields;
      if (error === undefined || error instanceof HydraError) return;
      const { stack, message: text } = toError(error);
      this.#faults.push(`${message}: ${stack ?? text}`);
    };
    const logger: Logger = { ...silentLogger, error: note, warn: note, child: () => logger };
    this.logger = logger;
  }

  /** @throws Error with the first fault since the last call */
  check(): void {
    const [first] = this.#faults.splice(0);
    if (first !== undefined) throw new Error(first);
  }
}
