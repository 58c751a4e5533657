// As much of a browser's document as the live page's script touches.
export class Node {
  parent: Element | undefined;
  readonly nodeType: number;
  readonly nodeName: string;

  constructor(nodeType: number, nodeName: string) {
    this.nodeType = nodeType;
    this.nodeName = nodeName;
  }
  get textContent(): string {
    return "";
  }
  get nextSibling(): Node | null {
    const siblings = this.parent?.childNodes ?? [];
    return siblings[siblings.indexOf(this) + 1] ?? null;
  }
  remove(): void {
    const siblings = this.parent?.childNodes;
    siblings?.splice(siblings.indexOf(this), 1);
    this.parent = undefined;
  }
  replaceWith(other: Node): void {
    this.parent?.insertBefore(other, this);
    this.remove();
  }
}

class Text extends Node {
  data: string;

  constructor(data: string) {
    super(3, "#text");
    this.data = data;
  }
  override get textContent(): string {
    return this.data;
  }
}

export class Element extends Node {
  readonly tag: string;
  readonly byName = new Map<string, string>();
  readonly childNodes: Node[] = [];
  className = "";
  hidden = false;

  constructor(tag: string) {
    super(1, tag.toUpperCase());
    this.tag = tag;
  }
  get attributes(): { readonly name: string; readonly value: string }[] {
    return [...this.byName].map(([name, value]) => ({ name, value }));
  }
  get dataset(): { readonly key: string | undefined } {
    return { key: this.byName.get("data-key") };
  }
  get firstChild(): Node | null {
    return this.childNodes[0] ?? null;
  }
  setAttribute(name: string, value: unknown): void {
    this.byName.set(name, String(value));
  }
  getAttribute(name: string): string | null {
    return this.byName.get(name) ?? null;
  }
  hasAttribute(name: string): boolean {
    return this.byName.has(name);
  }
  removeAttribute(name: string): void {
    this.byName.delete(name);
  }
  append(...children: (Node | string)[]): void {
    for (const child of children)
      this.insertBefore(typeof child === "string" ? new Text(child) : child, null);
  }
  insertBefore(child: Node, before: Node | null): void {
    if (child.parent !== undefined) child.remove();
    const index = before === null ? this.childNodes.length : this.childNodes.indexOf(before);
    this.childNodes.splice(index, 0, child);
    child.parent = this;
  }
  override get textContent(): string {
    return this.childNodes.map((child) => child.textContent).join("");
  }
  override set textContent(text: unknown) {
    this.childNodes.splice(0);
    this.append(String(text));
  }
  /** Itself and every element below. */
  all(): Element[] {
    return [this, ...this.childNodes.flatMap((child) => (child instanceof Element ? child.all() : []))];
  }
}

export class Document {
  title = "";
  readonly hidden = false;
  readonly #byId = new Map<string, Element>();

  constructor(ids: Iterable<string>) {
    for (const id of ids) this.#byId.set(id, new Element("div"));
  }
  getElementById(id: string): Element | null {
    return this.#byId.get(id) ?? null;
  }
  createElement(tag: string): Element {
    return new Element(tag);
  }
  addEventListener(): void {}
}
