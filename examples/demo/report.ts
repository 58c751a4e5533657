/** The demo's table. */

export interface BuildRow {
  readonly build: number;
  readonly name: string;
  readonly status: string;
  /** Host of the step that decided the build; empty when none ran for it. */
  readonly machine: string;
  /** Seconds since the epoch. */
  readonly startTime: number;
  readonly stopTime: number;
  readonly outputs: readonly string[];
  /** narinfo of the first output; empty when there is none. */
  readonly cacheUrl: string;
  readonly logFile: string | undefined;
}

/** Columns padded to their widest cell, a ruler under the heads. */
export function renderTable(rows: readonly BuildRow[]): string {
  const heads = ["build", "job", "status", "machine", "seconds", "cache"];
  const cells = rows.map((row) => [
    String(row.build),
    row.name,
    row.status,
    row.machine,
    String(Math.max(0, row.stopTime - row.startTime)),
    row.cacheUrl,
  ]);
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...cells.map((line) => line[column]?.length ?? 0)),
  );
  const line = (parts: readonly string[]): string =>
    parts
      .map((part, column) => part.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(heads), line(widths.map((width) => "─".repeat(width))), ...cells.map(line)].join("\n");
}
