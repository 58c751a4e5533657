/** Copies a text that is too long to be typed. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";

/** A small button that says when it has copied. */
export function CopyButton({ text, what }: { readonly text: string; readonly what: string }): JSX.Element {
  const [state, setState] = useState("copy");
  const copy = (): void => {
    // Browsers give the clipboard to pages of https and of this machine only.
    const written = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error("no clipboard"));
    written.then(
      () => setState("copied"),
      () => setState("not allowed here"),
    );
  };
  return (
    <button type="button" class="quiet" aria-label={`Copy the ${what}`} onClick={copy}>
      {state}
    </button>
  );
}
