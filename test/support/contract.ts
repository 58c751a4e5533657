// The description of the status API, held against answers: nothing may come that it does not describe.
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly description: string;
  readonly schema: {
    readonly type: string;
    readonly minimum?: number;
    readonly maximum?: number;
    readonly maxLength?: number;
    readonly enum?: readonly string[];
  };
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: unknown;
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description: string;
        readonly content?: Readonly<Record<string, { readonly schema: object }>>;
      }
    >
  >;
}

export interface Description {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

/** Members that are not described are errors here; clients are asked to bear them. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, closed(inner)] as const);
  const isObject = "type" in value && value.type === "object" && "properties" in value;
  return { ...Object.fromEntries(entries), ...(isObject ? { additionalProperties: false } : {}) };
}

export class Contract {
  readonly description: Description;
  readonly #strict: Description;
  readonly #ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true });
  readonly #validators = new Map<string, ValidateFunction>();
  /** Operations of which an answer that is not a refusal was seen. */
  readonly seen = new Set<string>();

  constructor(description: Description) {
    this.description = description;
    this.#strict = closed(
      JSON.parse(JSON.stringify(description).replaceAll("#/components/schemas/", "contract#/$defs/")),
    ) as Description;
    this.#ajv.addSchema({ $id: "contract", $defs: this.#strict.components.schemas });
  }

  /** `METHOD /path/{name}` of all that is described. */
  get operations(): readonly (readonly [method: string, path: string, operation: Operation])[] {
    return operationsOf(this.description);
  }

  /** Throws unless it is described that this request gets such an answer. */
  check(
    method: string,
    url: string,
    answer: { readonly status: number; readonly contentType: string; readonly body: string },
  ): void {
    const found = operationsOf(this.#strict).find(
      ([verb, path]) => verb === method && matches(path, url.split("?")[0] ?? ""),
    );
    if (found === undefined) throw new Error(`${method} ${url} is not described`);
    const [, path, operation] = found;
    const what = `${method} ${path}, ${answer.status}`;
    const response = operation.responses[answer.status];
    if (response === undefined) throw new Error(`${what} is not described`);
    const content = response.content?.[answer.contentType];
    if (content === undefined) throw new Error(`${what}: ${answer.contentType} is not described`);
    if (answer.status < 300) this.seen.add(operation.operationId);
    if (answer.contentType !== "application/json") return;
    const validate = this.#validator(what, content.schema);
    if (!validate(JSON.parse(answer.body))) {
      throw new Error(`${what}: ${this.#ajv.errorsText(validate.errors)} in ${answer.body.slice(0, 2_000)}`);
    }
  }

  /** Throws unless a value has the form of a named schema. */
  checkNamed(name: string, value: unknown): void {
    const validate = this.#validator(name, { $ref: `contract#/$defs/${name}` });
    if (!validate(value)) throw new Error(`${name}: ${this.#ajv.errorsText(validate.errors)}`);
  }

  #validator(key: string, schema: object): ValidateFunction {
    let validate = this.#validators.get(key);
    if (validate === undefined) {
      validate = this.#ajv.compile(schema);
      this.#validators.set(key, validate);
    }
    return validate;
  }
}

function operationsOf({ paths }: Description): (readonly [string, string, Operation])[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [method.toUpperCase(), path, operation] as const),
  );
}

function matches(path: string, url: string): boolean {
  const [wanted, sent] = [path.split("/"), url.split("/")];
  return (
    wanted.length === sent.length &&
    wanted.every((part, index) => part.startsWith("{") || part === sent[index])
  );
}
