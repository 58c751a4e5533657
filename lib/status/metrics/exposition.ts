/** Printing of metric families in the Prometheus text format 0.0.4, always in the same order. */

/** One line of a family: labels and value. */
export interface Sample {
  /** Appended to the family's name: `_bucket`, `_sum`, `_count`. */
  readonly suffix?: string;
  readonly labels?: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A metric with its help text, type and samples. `name` is complete, prefix included. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram" | "summary";
  readonly samples: readonly Sample[];
}

/** Content type of the Prometheus text format. */
export const expositionContentType = "text/plain; version=0.0.4; charset=utf-8";

function printNumber(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return Number.isInteger(value) ? BigInt(value).toString() : String(value);
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function printLabels(labels: Sample["labels"]): string {
  const entries = Object.entries(labels ?? {});
  if (entries.length === 0) return "";
  // The bucket bound comes last, as every other exporter prints it.
  entries.sort(([a], [b]) => Number(a === "le") - Number(b === "le"));
  return `{${entries.map(([name, value]) => `${name}="${escapeLabel(String(value))}"`).join(",")}}`;
}

function groupKey(sample: Sample): string {
  const { le: _bound, ...labels } = sample.labels ?? {};
  return JSON.stringify(labels);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Families sorted by name, samples by label values (buckets keep their order); families without samples are left out. */
export function printExposition(families: Iterable<Family>): string {
  const lines: string[] = [];
  for (const family of [...families].sort((a, b) => compare(a.name, b.name))) {
    if (family.samples.length === 0) continue;
    lines.push(`# HELP ${family.name} ${family.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
    lines.push(`# TYPE ${family.name} ${family.type}`);
    const keyed = family.samples.map((sample) => ({ sample, key: groupKey(sample) }));
    keyed.sort((a, b) => compare(a.key, b.key));
    for (const { sample } of keyed) {
      lines.push(
        `${family.name}${sample.suffix ?? ""}${printLabels(sample.labels)} ${printNumber(sample.value)}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}
