/** Names and values, in as many columns as there is room for. */
import type { ComponentChildren, JSX } from "preact";

/** A name and its value. */
export type Fact = readonly [name: string, value: ComponentChildren];

/** A list of facts. */
export function Facts({ facts }: { readonly facts: readonly Fact[] }): JSX.Element {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
