/**
 * Tables: sortable by the address, walked by arrow keys, drawn in part where they are long, two lines a row on phones.
 *
 * Rows are known by their keys, so a row that changes keeps its focus and selection.
 */
import type { ComponentChildren, JSX } from "preact";
import { useRef } from "preact/hooks";
import { changeQuery, useAddress } from "../data/address.js";
import { useVisibleRows } from "../data/visible-rows.js";

/** A column. */
export interface Column<T> {
  readonly key: string;
  readonly title: string;
  readonly cell: (row: T) => ComponentChildren;
  /** What it is sorted by; without it the column cannot be sorted. */
  readonly sort?: (row: T) => number | string;
  /** `number`: to the right. `name`: takes the room that is left. */
  readonly kind?: "number" | "name" | "text";
  /** `head`: on the first line of a phone's row. `hidden`: not on phones. Default: on the second line. */
  readonly phone?: "head" | "hidden";
}

interface TableProps<T> {
  /** For screen readers. */
  readonly caption: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly rowKey: (row: T) => string;
  /** Name of its member of the address. Without it the order of the rows is kept. */
  readonly sortName?: string;
  /** All rows, also those that are not loaded. */
  readonly total?: number;
  readonly onNearEnd?: () => void;
}

/** `build-2` before `build-10`. Made once: making it costs more than a hundred comparisons. */
const byName = new Intl.Collator("en", { numeric: true });

function sorted<T>(rows: readonly T[], columns: readonly Column<T>[], order: string): readonly T[] {
  const descending = order.startsWith("-");
  const column = columns.find(({ key }) => key === order.replace(/^-/, ""));
  const by = column?.sort;
  if (by === undefined) return rows;
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [by(a), by(b)];
    return sign * (typeof left === "string" ? byName.compare(left, String(right)) : left - Number(right));
  });
}

function HeadCell<T>({
  column,
  order,
  name,
}: {
  readonly column: Column<T>;
  readonly order: string;
  readonly name: string | undefined;
}): JSX.Element {
  const { key, title, kind = "text", sort } = column;
  if (sort === undefined || name === undefined) {
    return (
      <th scope="col" class={kind}>
        {title}
      </th>
    );
  }
  const direction = order === key ? "ascending" : order === `-${key}` ? "descending" : "none";
  // Figures are asked for by the largest first.
  const [first, second] = kind === "number" ? [`-${key}`, key] : [key, `-${key}`];
  const next = order === first ? second : order === second ? "" : first;
  return (
    <th scope="col" class={kind} aria-sort={direction}>
      <button type="button" class="sort" onClick={() => changeQuery({ [name]: next })}>
        {title}
        <span aria-hidden="true">
          {direction === "ascending" ? " ↑" : direction === "descending" ? " ↓" : ""}
        </span>
      </button>
    </th>
  );
}

/** Arrow keys go to the first link or button of the row above or below. */
function walk(event: KeyboardEvent): void {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (
    step === undefined ||
    event.altKey ||
    event.ctrlKey ||
    event.metaKey ||
    !(event.target instanceof HTMLElement)
  )
    return;
  if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
  const row = event.target.closest("tr");
  let next = step > 0 ? row?.nextElementSibling : row?.previousElementSibling;
  if (row?.parentElement?.nodeName === "THEAD" && step > 0) next = row.closest("table")?.tBodies[0]?.rows[0];
  while (next != null) {
    const target = next.querySelector<HTMLElement>("a, button");
    if (target !== null) {
      event.preventDefault();
      target.focus();
      target.scrollIntoView({ block: "nearest" });
      return;
    }
    next = step > 0 ? next.nextElementSibling : next.previousElementSibling;
  }
}

/** A table of rows. */
export function Table<T>(props: TableProps<T>): JSX.Element {
  const { caption, columns, rowKey, sortName, total, onNearEnd } = props;
  const { query } = useAddress();
  const order = sortName === undefined ? "" : (query.get(sortName) ?? "");
  const rows = sorted(props.rows, columns, order);
  const body = useRef<HTMLTableSectionElement>(null);
  const { first, last, before, after } = useVisibleRows(body, rows.length, onNearEnd);
  return (
    <table aria-label={caption} aria-rowcount={(total ?? rows.length) + 1} onKeyDown={walk}>
      <thead>
        <tr>
          {columns.map((column) => (
            <HeadCell key={column.key} column={column} order={order} name={sortName} />
          ))}
        </tr>
      </thead>
      <tbody ref={body}>
        {before > 0 ? <tr key="before" class="gap" style={{ height: `${before}px` }} /> : null}
        {rows.slice(first, last).map((row, index) => (
          <tr key={rowKey(row)} aria-rowindex={first + index + 2}>
            {columns.map(({ key, title, cell, kind = "text", phone = "line" }) => (
              <td key={key} class={`${kind} phone-${phone}`} data-label={title}>
                {cell(row)}
              </td>
            ))}
          </tr>
        ))}
        {after > 0 ? <tr key="after" class="gap" style={{ height: `${after}px` }} /> : null}
      </tbody>
    </table>
  );
}
