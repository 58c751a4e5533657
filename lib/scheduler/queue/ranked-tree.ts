/**
 * Runnable steps in order, such that the first step of any given jobsets is found in O(log n).
 *
 * A search tree whose nodes also know which jobsets have a step in their subtree. It is kept balanced as a treap: each
 * node has a number that looks random (a hash of its order of arrival, so that runs are repeatable) and goes above all
 * nodes with smaller ones; whatever the order of arrival, the expected depth is logarithmic.
 */
import {
  added,
  intersects,
  type JobsetMask,
  lengthOf,
  noJobsets,
  type OwnMask,
  ownMask,
  unionInto,
  wordAt,
} from "./jobset-mask.js";
import type { RankedStep, StepOrder } from "./step-order.js";

/** A step's place in the tree. The keys that mostly decide are copied, so that a comparison need not look further. */
export class RankedNode<S extends RankedStep> {
  parent: RankedNode<S> | undefined;
  left: RankedNode<S> | undefined;
  right: RankedNode<S> | undefined;
  /** Jobsets of this step and of all below it. */
  mask: OwnMask;
  readonly own: JobsetMask;
  readonly weight: number;
  readonly localPriority: number;
  readonly lowestBuild: number;

  constructor(
    readonly step: S,
    order: StepOrder,
    /** The largest of a subtree is its root. */
    readonly heat: number,
  ) {
    const { jobsets, localPriority, lowestBuild } = step.keys;
    this.own = jobsets.mask;
    this.mask = ownMask(this.own);
    this.weight = order.weight(step);
    this.localPriority = localPriority;
    this.lowestBuild = lowestBuild;
  }
}

/** See the head of this file. */
export class RankedTree<S extends RankedStep> {
  #root: RankedNode<S> | undefined;
  #arrivals = 0;
  readonly #order: StepOrder;

  constructor(order: StepOrder) {
    this.#order = order;
  }

  /** Jobsets that have a step here; not to be kept, because it changes. */
  get mask(): JobsetMask {
    return this.#root?.mask ?? noJobsets;
  }

  get isEmpty(): boolean {
    return this.#root === undefined;
  }

  /** Keep the result: it is what `remove` takes. */
  insert(step: S): RankedNode<S> {
    // Frozen, because the tree compares steps whose keys have changed and that will be taken out a little later.
    if (this.#order.whole) step.ordered = step.describe();
    const node = new RankedNode(step, this.#order, hash(this.#arrivals++));
    let above = this.#root;
    if (above === undefined) {
      this.#root = node;
      return node;
    }
    for (;;) {
      above.mask = added(above.mask, node.own);
      const isBefore = this.#isBefore(node, above);
      const next: RankedNode<S> | undefined = isBefore ? above.left : above.right;
      if (next === undefined) {
        if (isBefore) above.left = node;
        else above.right = node;
        node.parent = above;
        break;
      }
      above = next;
    }
    while (node.parent !== undefined && node.parent.heat < node.heat) this.#rotateUp(node);
    return node;
  }

  remove(node: RankedNode<S>): void {
    for (;;) {
      const { left, right } = node;
      if (left === undefined || right === undefined) break;
      this.#rotateUp(left.heat > right.heat ? left : right);
    }
    const { parent } = node;
    const child = node.left ?? node.right;
    if (child !== undefined) child.parent = parent;
    this.#replace(node, parent, child);
    for (let above = parent; above !== undefined && lose(above, node.own); above = above.parent);
  }

  /** The best step that belongs to any of these jobsets. */
  firstOf(jobsets: JobsetMask): S | undefined {
    let node = this.#root;
    while (node !== undefined) {
      if (node.left !== undefined && intersects(node.left.mask, jobsets)) node = node.left;
      else if (intersects(node.own, jobsets)) return node.step;
      else node = node.right;
    }
    return undefined;
  }

  /** The best step. */
  get first(): S | undefined {
    let node = this.#root;
    while (node?.left !== undefined) node = node.left;
    return node?.step;
  }

  /** All steps, best first. */
  *[Symbol.iterator](): Generator<S> {
    const path: RankedNode<S>[] = [];
    let node = this.#root;
    while (node !== undefined || path.length > 0) {
      for (; node !== undefined; node = node.left) path.push(node);
      const next = path.pop();
      if (next === undefined) return;
      yield next.step;
      node = next.right;
    }
  }

  #isBefore(a: RankedNode<S>, b: RankedNode<S>): boolean {
    if (a.weight !== b.weight) return a.weight > b.weight;
    if (this.#order.whole) return this.#order.inner(a.step, b.step) < 0;
    if (a.localPriority !== b.localPriority) return a.localPriority > b.localPriority;
    if (a.lowestBuild !== b.lowestBuild) return a.lowestBuild < b.lowestBuild;
    return a.step.sequence < b.step.sequence;
  }

  /** The node takes its parent's place and the parent goes below it; the order stays. */
  #rotateUp(node: RankedNode<S>): void {
    const { parent } = node;
    if (parent === undefined) return;
    const grandparent = parent.parent;
    let moved: RankedNode<S> | undefined;
    if (parent.left === node) {
      moved = node.right;
      parent.left = moved;
      node.right = parent;
    } else {
      moved = node.left;
      parent.right = moved;
      node.left = parent;
    }
    if (moved !== undefined) moved.parent = parent;
    this.#replace(parent, grandparent, node);
    node.parent = grandparent;
    parent.parent = node;
    const room = node.mask;
    node.mask = parent.mask;
    const { left, right } = parent;
    parent.mask = unionInto(room, parent.own, left?.mask ?? noJobsets, right?.mask ?? noJobsets);
  }

  #replace(child: RankedNode<S>, parent: RankedNode<S> | undefined, by: RankedNode<S> | undefined): void {
    if (parent === undefined) this.#root = by;
    else if (parent.left === child) parent.left = by;
    else parent.right = by;
  }
}

/** After a step of these jobsets has left the node's subtree; false when its mask stays as it was. */
function lose<S extends RankedStep>(node: RankedNode<S>, jobsets: JobsetMask): boolean {
  const { own, mask } = node;
  const left = node.left?.mask ?? noJobsets;
  const right = node.right?.mask ?? noJobsets;
  if (typeof mask === "number") {
    node.mask = wordAt(own, 0) | wordAt(left, 0) | wordAt(right, 0);
    return node.mask !== mask;
  }
  let changed = false;
  for (let word = 0; word < lengthOf(jobsets); word++) {
    if (wordAt(jobsets, word) === 0) continue;
    const bits = wordAt(own, word) | wordAt(left, word) | wordAt(right, word);
    if (bits === wordAt(mask, word)) continue;
    changed = true;
    mask[word] = bits;
  }
  return changed;
}

/** Mixes the bits of a counter (the finalizer of MurmurHash3). */
function hash(counter: number): number {
  let bits = Math.imul(counter + 1, 0x9e3779b1);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  // 31 bits: no object is made for them.
  return (bits ^ (bits >>> 16)) >>> 1;
}
