/** Outputs of a build or step. */
import type { JSX } from "preact";
import type { ApiOutput } from "../../../api/types.js";
import { CopyButton } from "./copy.js";
import { Panel } from "./panel.js";

/** A list of outputs; nothing where there are none. */
export function Outputs({ outputs }: { readonly outputs: readonly ApiOutput[] }): JSX.Element | null {
  if (outputs.length === 0) return null;
  return (
    <Panel title="Outputs">
      <ul class="plain">
        {outputs.map(({ name, path }) => (
          <li key={name}>
            <strong>{name}</strong>{" "}
            {path === null ? (
              <span class="soft">its path is known when it is built</span>
            ) : (
              <>
                <span class="mono">{path}</span> <CopyButton text={path} what={`path of ${name}`} />
              </>
            )}
          </li>
        ))}
      </ul>
    </Panel>
  );
}
