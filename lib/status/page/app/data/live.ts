/** What comes by itself: one stream of events, which says what changed, and whether the runner is there at all. */
import type { ApiChanged, ApiTopic } from "../../../api/types.js";
import { root } from "./address.js";
import { createStore } from "./store.js";

/** `live`: the stream is open. `polling`: answers come, but no stream. `gone`: no answer since `asOf`. */
export type Link =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" | "polling" | "gone"; readonly asOf: number };

/** State of the connection. */
export const link = createStore<Link>({ kind: "connecting" });
/** The last `changed` event. */
export const lastChange = createStore<ApiChanged | undefined>(undefined);

/** The runner's clock less ours, milliseconds. */
let clockOffset = 0;
/** Now, by the runner's clock. */
export function runnerNow(): number {
  return Date.now() + clockOffset;
}

const listeners = new Set<(topics: ReadonlySet<ApiTopic> | "all") => void>();

/** Calls `listener` with what changed; `all` after a time without events. Returns the end of it. */
export function onChange(listener: (topics: ReadonlySet<ApiTopic> | "all") => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function publish(topics: ReadonlySet<ApiTopic> | "all"): void {
  if (!document.hidden) for (const listener of [...listeners]) listener(topics);
}

let stream: EventSource | undefined;

/** An answer came. `now`: the runner's clock in it. */
export function noteAnswer(now: number | undefined): void {
  if (now !== undefined) clockOffset = now - Date.now();
  const isOpen = stream?.readyState === EventSource.OPEN;
  link.set({ kind: isOpen ? "live" : "polling", asOf: runnerNow() });
}

/** No answer came. */
export function noteSilence(): void {
  const before = link.get();
  if (before.kind === "gone") return;
  link.set({ kind: "gone", asOf: before.kind === "connecting" ? runnerNow() : before.asOf });
}

const retryMs = 3000;
const pollMs = 2000;

function open(): void {
  stream = new EventSource(new URL("api/events", root));
  stream.addEventListener("changed", ({ data }: MessageEvent<string>) => {
    const change = JSON.parse(data) as ApiChanged;
    noteAnswer(change.now);
    lastChange.set(change);
    publish(new Set(change.topics));
  });
  stream.addEventListener("open", () => publish("all"));
  stream.addEventListener("error", () => {
    // A stream that was refused is not tried again by the browser.
    if (stream?.readyState === EventSource.CLOSED) setTimeout(open, retryMs);
    publish("all");
  });
}

/** Opens the stream; while there is none, everything shown is asked for every two seconds. */
export function startLive(): void {
  open();
  document.addEventListener("visibilitychange", () => publish("all"));
  setInterval(() => {
    if (stream?.readyState !== EventSource.OPEN || link.get().kind === "gone") publish("all");
  }, pollMs);
}
