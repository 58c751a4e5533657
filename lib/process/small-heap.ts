/**
 * How much memory V8 keeps for later: little while a program rests, because services that run for months beside builds
 * should give it back, and enough while it works that looking for garbage does not become the work.
 */
import { constants, PerformanceObserver, performance } from "node:perf_hooks";
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Milliseconds between two looks, and while the space for new objects may grow. */
const lookEveryMs = 1_000;
const lookWhileGrowingMs = 20;
/**
 * Bytes of new objects in a second from which a program works. How busy it is says less: resting takes a fifth of a slow
 * machine's time, and so do thousands of quiet builders on a fast one.
 */
const working = 2 << 20;
/** So long a program has to rest before its garbage is collected, in milliseconds. */
const restMs = 5_000;
/** Bytes that have to have come since then. */
const worthCollecting = 8 << 20;
/** Bytes of pages that are kept for what lies scattered over them. */
const worthMoving = 4 << 20;
/**
 * Collecting when more is in use holds the event loop up for too long: up to 0.7 ms a megabyte. V8 does it in parts then. Bytes.
 */
const tooMuch = 64 << 20;
/** Both halves of the space for new objects, which would grow to 32 MB. Bytes. */
const enoughForNew = 8 << 20;

/** Percent of the heap that may be added before old objects are looked at; else it can become four times as large. */
const growth = { resting: 40, working: 100 } as const;
/** Of a larger heap the smaller share is room enough. Bytes. */
const large = 100 << 20;

/**
 * Keeps the heap close to what is used while the program rests, and gives it some room while it works: then the space for
 * new objects may grow from one megabyte to about four (else to 16), and the heap to twice of what was used. Memory that was
 * needed for work is given back some seconds after it. Call it first, before much is allocated. Limits are not changed.
 */
export function keepHeapSmall(): void {
  growNewSpace(false);
  allow(growth.resting);
  const made = new MadeBytes();
  let workedAt = Number.NEGATIVE_INFINITY;
  let collected = getHeapStatistics().total_heap_size;
  // What lies scattered keeps whole pages. How much that is shows after a collection; moving it takes a second one.
  let mayMove = false;
  setInterval(() => {
    const { total_heap_size: size, used_heap_size: used } = getHeapStatistics();
    if (made.since() >= (working * lookEveryMs) / 1_000) {
      workedAt = performance.now();
      allow(size < large ? growth.working : growth.resting);
      growNewSpace(true);
      return;
    }
    growNewSpace(false);
    if (performance.now() - workedAt < restMs) return;
    allow(growth.resting);
    const hasGrown = size >= collected + worthCollecting && used <= tooMuch;
    const isScattered = mayMove && size > used + worthMoving;
    if (!hasGrown && !isScattered) return;
    collectGarbage(isScattered ? "moving" : "in place");
    collected = getHeapStatistics().total_heap_size;
    mayMove = hasGrown;
  }, lookEveryMs).unref();
}

function allow(percent: number): void {
  setFlagsFromString(`--heap-growing-percent=${percent}`);
}

/** How many bytes of new objects there were, by how often their space was full. */
class MadeBytes {
  #timesFull = 0;

  constructor() {
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries())
        if ("detail" in entry && isMinor(entry.detail)) this.#timesFull++;
    });
    observer.observe({ entryTypes: ["gc"] });
  }

  /** Since it was last asked. */
  since(): number {
    const made = this.#timesFull * (newSpaceBytes() / 2);
    this.#timesFull = 0;
    return made;
  }
}

function isMinor(detail: unknown): boolean {
  return (
    typeof detail === "object" &&
    detail !== null &&
    "kind" in detail &&
    detail.kind === constants.NODE_PERFORMANCE_GC_MINOR
  );
}

/** Both of its halves, one of which is used at a time. */
function newSpaceBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? 0;
}

let growing: NodeJS.Timeout | undefined;

/** It doubles when much of it is in use; V8 has no limit that could be set by now, so it is watched while it may. */
function growNewSpace(may: boolean): void {
  clearTimeout(growing);
  const grows = may && newSpaceBytes() < enoughForNew;
  setFlagsFromString(`--semi-space-growth-factor=${grows ? 2 : 1}`);
  if (grows) growing = setTimeout(growNewSpace, lookWhileGrowingMs, true).unref();
}

let collector: (() => void) | undefined;

/** V8 gives its collector only to contexts that are made while the flag is set. */
function collectGarbage(how: "moving" | "in place"): void {
  if (collector === undefined) {
    setFlagsFromString("--expose-gc");
    collector = runInNewContext("gc") as () => void;
    setFlagsFromString("--no-expose-gc");
  }
  setFlagsFromString(how === "moving" ? "--compact-on-every-full-gc" : "--no-compact-on-every-full-gc");
  collector();
}
