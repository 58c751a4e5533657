/**
 * JSON schemas as values, in the dialect of OpenAPI 3.1 (JSON Schema 2020-12). `Schema<T>` is checked against the type of
 * the answer by the compiler: a member that the type has and the schema lacks is an error, and so is one too many.
 */

/** A schema or a part of one, as JSON. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** Schemas that have names, as they were printed. */
export type Components = Map<string, JsonSchema>;

/** A schema. Those that are named are put into `components` and printed as a reference. */
export interface AnySchema {
  readonly print: (components: Components) => JsonSchema;
}

/** The schema of the values of a type, as they are in JSON. */
export interface Schema<T> extends AnySchema {
  /** Not there at run time: makes schemas of different types different types. */
  readonly of?: (value: T) => T;
}

/** Schemas of all members of a type. */
export type Members<T> = { readonly [K in keyof T]-?: Schema<Exclude<T[K], undefined>> };

function plain<T>(json: JsonSchema, description: string | undefined): Schema<T> {
  const printed = description === undefined ? json : { ...json, description };
  return { print: () => printed };
}

/** Text. */
export function text(description?: string): Schema<string> {
  return plain({ type: "string" }, description);
}

/** A whole number; bounds where they are known. */
export function integer(
  description?: string,
  bounds: { readonly minimum?: number; readonly maximum?: number } = {},
): Schema<number> {
  return plain({ type: "integer", ...bounds }, description);
}

/** A whole number that is not negative. */
export function count(description?: string): Schema<number> {
  return integer(description, { minimum: 0 });
}

/** Any number. */
export function number(description?: string): Schema<number> {
  return plain({ type: "number" }, description);
}

/** A time in milliseconds since the epoch; fractions of them are possible. */
export function time(description?: string): Schema<number> {
  return plain({ type: "number", minimum: 0 }, `${description ?? "A time"}. Milliseconds since the epoch`);
}

/** A duration in milliseconds. */
export function duration(description: string): Schema<number> {
  return plain({ type: "number" }, `${description}. Milliseconds`);
}

/** Base name of a derivation in the store. */
export function derivation(description = "Base name of a derivation"): Schema<string> {
  return plain({ type: "string", pattern: "\\.drv$" }, description);
}

/** True or false. */
export function flag(description?: string): Schema<boolean> {
  return plain({ type: "boolean" }, description);
}

/** One of some texts, each with its meaning; an empty meaning is left out. */
export function choice<T extends string>(
  values: { readonly [V in T]: string },
  description?: string,
): Schema<T> {
  const meanings = Object.entries<string>(values)
    .filter(([, meaning]) => meaning !== "")
    .map(([value, meaning]) => `\`${value}\`: ${meaning}`);
  const whole = [...(description === undefined ? [] : [description]), ...meanings].join(". ");
  return plain({ type: "string", enum: Object.keys(values) }, whole === "" ? undefined : whole);
}

/** Exactly this text. */
export function literal<T extends string>(value: T): Schema<T> {
  return plain({ const: value }, undefined);
}

/** A list. */
export function list<T>(item: Schema<T>, description?: string): Schema<readonly T[]> {
  return {
    print: (components) => ({
      type: "array",
      items: item.print(components),
      ...(description === undefined ? {} : { description }),
    }),
  };
}

/** A list of exactly two. */
export function pair<A, B>(first: Schema<A>, second: Schema<B>): Schema<readonly [A, B]> {
  return {
    print: (components) => ({
      type: "array",
      prefixItems: [first.print(components), second.print(components)],
      items: false,
      minItems: 2,
    }),
  };
}

/** `null` stands for "not known", unless the description says otherwise. */
export function orNull<T>(schema: Schema<T>): Schema<T | null> {
  return {
    print: (components) => {
      const { description, ...printed } = schema.print(components);
      const about = description === undefined ? {} : { description };
      if (typeof printed.type === "string" && printed.enum === undefined) {
        return { ...printed, type: [printed.type, "null"], ...about };
      }
      return { anyOf: [printed, { type: "null" }], ...about };
    },
  };
}

function printMembers(
  members: Readonly<Record<string, AnySchema>>,
  optional: readonly string[],
  components: Components,
): JsonSchema {
  return {
    type: "object",
    properties: Object.fromEntries(
      Object.entries(members).map(([name, member]) => [name, member.print(components)]),
    ),
    required: Object.keys(members).filter((name) => !optional.includes(name)),
  };
}

/** An object with the members of a type. Members are always there, except those of `optional`. */
export function object<T extends object>(
  members: Members<T>,
  optional: readonly (keyof T & string)[] = [],
): Schema<T> {
  const schemas = members as Readonly<Record<string, AnySchema>>;
  return { print: (components) => printMembers(schemas, optional, components) };
}

/** An object of which there is no type: the shape that known clients read. */
export function shape(
  members: Readonly<Record<string, AnySchema>>,
  optional: readonly string[] = [],
): AnySchema {
  return { print: (components) => printMembers(members, optional, components) };
}

/** An object whose members have names that are data. */
export function record(value: AnySchema, description: string): AnySchema {
  return {
    print: (components) => ({ type: "object", additionalProperties: value.print(components), description }),
  };
}

/** A list of which there is no type. */
export function items(item: AnySchema, description?: string): AnySchema {
  return list(item as Schema<unknown>, description);
}

/** An object of one of several shapes that differ in a member. */
export function variants(...schemas: readonly AnySchema[]): AnySchema {
  return { print: (components) => ({ oneOf: schemas.map((schema) => schema.print(components)) }) };
}

/** Printed once, among the components, by that name. */
export function named<S extends AnySchema>(name: string, description: string, schema: S): S {
  const printed: AnySchema = {
    print: (components) => {
      if (!components.has(name)) components.set(name, { ...schema.print(components), description });
      return { $ref: `#/components/schemas/${name}` };
    },
  };
  return printed as S;
}
