/** Reading of the query of an address. Faults name the parameter, never its value. */
import { StatusError } from "../errors.js";
import type { StatusRequest } from "../http/status-request.js";

/** The longest text that a parameter may have. */
const longestText = 500;

/** Parameters of a request; of one that came several times the first. */
export class Query {
  readonly #parameters: URLSearchParams;

  constructor({ url }: StatusRequest) {
    const start = url.indexOf("?");
    this.#parameters = new URLSearchParams(start < 0 ? "" : url.slice(start + 1));
  }

  /** Undefined when it is missing or empty. @throws StatusError when it is too long */
  text(name: string): string | undefined {
    const value = this.#parameters.get(name)?.trim() ?? "";
    if (value.length > longestText) {
      throw new StatusError("bad-request", `${name}: longer than ${longestText} characters`);
    }
    return value === "" ? undefined : value;
  }

  /** Undefined when it is missing. @throws StatusError when it is not a whole number within the bounds */
  integer(name: string, { min, max }: { readonly min: number; readonly max: number }): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new StatusError("bad-request", `${name}: not a whole number from ${min} to ${max}`);
  }

  /** Undefined when it is missing. @throws StatusError when it is none of `choices` */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const found = choices.find((choice) => choice === text);
    if (found !== undefined) return found;
    throw new StatusError("bad-request", `${name}: not one of ${choices.join(", ")}`);
  }
}
