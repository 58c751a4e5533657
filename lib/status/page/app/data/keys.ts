/** Keys of the whole page. */
import { views } from "../views.js";
import { navigate } from "./address.js";

/** Milliseconds that `g` waits for the letter of a view. */
const sequenceMs = 1500;

/** Whether keys are text there. */
export function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/.test(target.nodeName))
  );
}

/** Follows the keys until the returned function is called. */
export function followKeys(actions: { readonly help: () => void }): () => void {
  let goSince = Number.NEGATIVE_INFINITY;
  const press = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]") !== null) return;
    const target =
      event.timeStamp - goSince < sequenceMs ? views.find(({ key }) => key === event.key) : undefined;
    goSince = Number.NEGATIVE_INFINITY;
    if (target !== undefined) {
      event.preventDefault();
      navigate(target.pattern);
    } else if (event.key === "g") goSince = event.timeStamp;
    else if (event.key === "?") actions.help();
    else if (event.key === "/") {
      event.preventDefault();
      document.getElementById("search")?.focus();
    }
  };
  document.addEventListener("keydown", press);
  return () => document.removeEventListener("keydown", press);
}
