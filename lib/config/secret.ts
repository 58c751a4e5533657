import { inspect } from "node:util";
import { aText, checkArgument } from "../argument-checks.js";

/** A value that logs, dumps and JSON show as `[redacted]`; only `reveal()` returns it. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    checkArgument("Secret", "value", value, aText);
    this.#value = value;
  }

  /** The value itself; call it at the place of use only. */
  reveal(): string {
    return this.#value;
  }

  /** Always `[redacted]`. */
  toString(): string {
    return "[redacted]";
  }

  /** Always `[redacted]`. */
  toJSON(): string {
    return "[redacted]";
  }

  [inspect.custom](): string {
    return "[redacted]";
  }
}
