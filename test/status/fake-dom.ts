// As much of a browser's document as the live page's script touches.
export class Node {
  readonly tag: string;
  readonly attributes = new Map<string, string>();
  children: (Node | string)[] = [];
  className = "";
  hidden = false;

  constructor(tag: string) {
    this.tag = tag;
  }
  setAttribute(name: string, value: unknown): void {
    this.attributes.set(name, String(value));
  }
  append(...children: (Node | string)[]): void {
    this.children.push(...children);
  }
  replaceChildren(...children: (Node | string)[]): void {
    this.children = children;
  }
  get textContent(): string {
    return this.children.map((child) => (typeof child === "string" ? child : child.textContent)).join("");
  }
  set textContent(text: unknown) {
    this.children = [String(text)];
  }
  /** Itself and everything below. */
  all(): Node[] {
    return [this, ...this.children.flatMap((child) => (typeof child === "string" ? [] : child.all()))];
  }
}

export class Document {
  title = "";
  readonly hidden = false;
  readonly #byId = new Map<string, Node>();

  constructor(ids: Iterable<string>) {
    for (const id of ids) this.#byId.set(id, new Node("div"));
  }
  getElementById(id: string): Node | null {
    return this.#byId.get(id) ?? null;
  }
  createElement(tag: string): Node {
    return new Node(tag);
  }
  addEventListener(): void {}
}
