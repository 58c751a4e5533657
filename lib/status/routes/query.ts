/**
 * Parameters in the query of an address: declared once, for those who read them and for the description of the API.
 * Faults name the parameter, never its value.
 */
import { StatusError } from "../errors.js";
import type { StatusRequest } from "../http/status-request.js";

/** The longest text that a parameter may have. */
export const longestText = 500;

/** A parameter of a query; all may be left out. */
export type QueryParameter = TextParameter | IntegerParameter | ChoiceParameter<string>;

interface Parameter {
  readonly name: string;
  /** What it means, for the description of the API. */
  readonly about: string;
}

/** Any text. */
export interface TextParameter extends Parameter {
  readonly kind: "text";
}

/** A whole number within bounds. */
export interface IntegerParameter extends Parameter {
  readonly kind: "integer";
  readonly min: number;
  readonly max: number;
  /** What is meant when it is left out, where that is always the same. */
  readonly usual?: number;
}

/** One of some texts. */
export interface ChoiceParameter<T extends string> extends Parameter {
  readonly kind: "choice";
  readonly choices: readonly T[];
}

/** Parameters of a request; of one that came several times the first. */
export class Query {
  readonly #parameters: URLSearchParams;

  constructor({ url }: StatusRequest) {
    const start = url.indexOf("?");
    this.#parameters = new URLSearchParams(start < 0 ? "" : url.slice(start + 1));
  }

  /** Undefined when it is missing or empty. @throws StatusError when it is too long, or holds a NUL, which no text here does */
  text({ name }: Pick<Parameter, "name">): string | undefined {
    const value = this.#parameters.get(name)?.trim() ?? "";
    if (value.length > longestText) {
      throw new StatusError("bad-request", `${name}: longer than ${longestText} characters`);
    }
    if (value.includes("\0")) throw new StatusError("bad-request", `${name}: holds a NUL`);
    return value === "" ? undefined : value;
  }

  /** Undefined when it is missing. @throws StatusError when it is not a whole number within the bounds */
  integer(parameter: IntegerParameter & { readonly usual: number }): number;
  integer(parameter: IntegerParameter): number | undefined;
  integer({ name, min, max, usual }: IntegerParameter): number | undefined {
    const text = this.text({ name });
    if (text === undefined) return usual;
    const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new StatusError("bad-request", `${name}: not a whole number from ${min} to ${max}`);
  }

  /** Undefined when it is missing. @throws StatusError when it is none of the choices */
  choice<T extends string>({ name, choices }: ChoiceParameter<T>): T | undefined {
    const text = this.text({ name });
    if (text === undefined) return undefined;
    const found = choices.find((choice) => choice === text);
    if (found !== undefined) return found;
    throw new StatusError("bad-request", `${name}: not one of ${choices.join(", ")}`);
  }
}
