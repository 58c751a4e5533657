/** The passing of time, for ages that are shown. One timer for the whole page. */
import { runnerNow } from "./live.js";
import { createStore, useStore } from "./store.js";

const clock = createStore(runnerNow());
setInterval(() => {
  if (!document.hidden) clock.set(runnerNow());
}, 1000);

/** Now by the runner's clock; the component is drawn again each second. */
export function useNow(): number {
  return Math.max(useStore(clock), runnerNow());
}
