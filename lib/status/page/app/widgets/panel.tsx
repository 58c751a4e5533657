/** A titled part of a view. */
import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";

interface PanelProps {
  readonly title: ComponentChildren;
  /** Beside the title. */
  readonly note?: ComponentChildren;
  readonly class?: string;
  readonly children: ComponentChildren;
}

/** A section with a heading of the second level. */
export function Panel({ title, note, children, ...rest }: PanelProps): JSX.Element {
  const id = useId();
  return (
    <section class={`panel ${rest.class ?? ""}`} aria-labelledby={id}>
      <h2 id={id}>
        {title}
        {note === undefined ? null : <small> {note}</small>}
      </h2>
      {children}
    </section>
  );
}

/** The view's name and its first line, which answers its question. */
export function Headline({
  title,
  children,
}: {
  readonly title: ComponentChildren;
  readonly children: ComponentChildren;
}): JSX.Element {
  return (
    <div class="headline">
      <h1 id="view-title" tabIndex={-1}>
        {title}
      </h1>
      <p class="answer">{children}</p>
    </div>
  );
}
