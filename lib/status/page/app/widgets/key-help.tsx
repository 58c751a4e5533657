/** What the keys do. */
import type { JSX } from "preact";
import { views } from "../views.js";
import { Dialog } from "./dialog.js";

/** The list of keys. */
export function KeyHelp({ close }: { readonly close: () => void }): JSX.Element {
  const goes = views.flatMap(({ key, title }) => (key === undefined ? [] : [[`g ${key}`, title] as const]));
  const keys: readonly (readonly [string, string])[] = [
    ["/", "Search"],
    ...goes,
    ["↑ ↓", "Rows of a table, hits of a search"],
    ["+ −", "Zoom the timeline; Shift with ← → moves it"],
    ["Enter", "Open"],
    ["?", "This list"],
    ["Esc", "Close"],
  ];
  return (
    <Dialog title="Keys" close={close}>
      <dl class="keys">
        {keys.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <div class="buttons">
          <button type="submit">Close</button>
        </div>
      </form>
    </Dialog>
  );
}
