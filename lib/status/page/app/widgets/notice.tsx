/** What stands where data would be: not there yet, not there at all, or why not. */
import type { ComponentChildren, JSX } from "preact";
import type { Resource } from "../data/resource.js";

/** A sentence where a list is empty. */
export function Empty({ children }: { readonly children: ComponentChildren }): JSX.Element {
  return <p class="empty">{children}</p>;
}

interface LoadedProps<T> {
  readonly resource: Resource<T>;
  readonly children: (data: T) => ComponentChildren;
}

/** Draws data once they are there; until then that they are on their way, or why they are not. */
export function Loaded<T>({ resource, children }: LoadedProps<T>): JSX.Element {
  const { data, error } = resource;
  if (data !== undefined) return <>{children(data)}</>;
  if (error !== undefined) {
    return (
      <p class="notice bad" role="alert">
        {error.status === 404 ? `Not found: ${error.message}` : error.message}.
      </p>
    );
  }
  return (
    <p class="notice soft" aria-busy="true">
      Loading…
    </p>
  );
}
