/** `grpc-timeout`: one to eight digits and a unit. */

const unitsMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** The longest delay that a timer takes, about 24 days; with a longer one it would go off at once. */
const longestTimerMs = 2 ** 31 - 1;

/** Milliseconds until the deadline of a call, at most 24 days; undefined without a legal one. */
export function deadlineOf(header: string | string[] | undefined): number | undefined {
  const match = typeof header === "string" ? /^(\d{1,8})([HMSmun])$/.exec(header) : null;
  if (match === null) return undefined;
  return Math.min(longestTimerMs, Number(match[1]) * (unitsMs[match[2] ?? ""] ?? 0));
}
