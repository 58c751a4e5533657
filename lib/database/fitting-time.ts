/** Unix seconds on their way into columns that hold 32 bits in today's schema and may be wider in another one. */

/** SQL for the bigint `value` as the column (`table.column`) takes it: beyond 2038, the last second that fits. */
export function fittingTime(column: string, value: string): string {
  const [table, name] = column.split(".");
  const narrow = `pg_typeof((NULL::${table}).${name}) = 'integer'::regtype`;
  return `CASE WHEN ${value} > 2147483647 AND ${narrow} THEN 2147483647 ELSE ${value} END`;
}
