/** Which traces are recorded: the samplers that OpenTelemetry's environment variables name. */
import type { SpanContext } from "./span.js";

/** Decides for a span by its trace and its parent; the same answer wherever it is asked. */
export type Sampler = (traceId: string, parent: SpanContext | undefined) => boolean;

/** The name that counts when none is given, or none that is known. */
export const defaultSampler = "parentbased_always_on";

/**
 * `ratio` of all traces, 0 to 1, chosen by the last 56 bits of their ids, as consistent probability sampling does: those
 * that a smaller ratio takes are among those of a larger one.
 */
function byRatio(ratio: number): Sampler {
  const bound = Math.round((1 - ratio) * 2 ** 56);
  return (traceId) => ratio > 0 && Number.parseInt(traceId.slice(-14), 16) >= bound;
}

function parentBased(root: Sampler): Sampler {
  return (traceId, parent) => parent?.sampled ?? root(traceId, undefined);
}

const roots = {
  always_on: () => () => true,
  always_off: () => () => false,
  traceidratio: byRatio,
} as const satisfies Readonly<Record<string, (ratio: number) => Sampler>>;

/** Names of `OTEL_TRACES_SAMPLER` that are understood. */
export const samplerNames: readonly string[] = Object.keys(roots).flatMap((name) => [
  name,
  `parentbased_${name}`,
]);

/** The sampler of this name; undefined for another name. `ratio`: 0 to 1, used by those that need it. */
export function samplerOf(name: string, ratio: number): Sampler | undefined {
  const [, based, root = ""] = /^(parentbased_)?(.*)$/.exec(name) ?? [];
  const make = Object.hasOwn(roots, root) ? roots[root as keyof typeof roots] : undefined;
  if (make === undefined) return undefined;
  return based === undefined ? make(ratio) : parentBased(make(ratio));
}
