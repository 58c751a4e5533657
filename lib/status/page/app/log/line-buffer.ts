/** The lines of a log as they come, as text; what they look like is worked out when they are shown. */
import { plain, printLine, type Style } from "./ansi.js";

/** Characters beyond which a log is not kept by the page; the whole is there for download. */
const maxLength = 96 * 1024 * 1024;
/** A line longer than this is cut into several. */
const maxLineLength = 16 * 1024;

/** Grows only. */
export class LineBuffer {
  readonly #lines: string[] = [];
  /** Styles that lines begin with, where it is not the plain one. */
  readonly #styles = new Map<number, Style>();
  #style: Style = plain;
  #rest = "";
  #length = 0;

  /** Lines so far; the last one may still grow. */
  get count(): number {
    return this.#lines.length + (this.#rest === "" ? 0 : 1);
  }

  /** Lines that do not grow any more. */
  get completeCount(): number {
    return this.#lines.length;
  }

  /** More came than the page keeps. */
  get isFull(): boolean {
    return this.#length >= maxLength;
  }

  /** The line at an index from 0, as it came. */
  line(index: number): string {
    return this.#lines[index] ?? (index === this.#lines.length ? this.#rest : "");
  }

  /** The style that a line begins with. */
  styleAt(index: number): Style {
    return this.#styles.get(index) ?? plain;
  }

  /** Adds what came. */
  add(text: string): void {
    if (this.isFull) return;
    this.#length += text.length;
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#push(line.endsWith("\r") ? line.slice(0, -1) : line);
    while (this.#rest.length > maxLineLength) {
      this.#push(this.#rest.slice(0, maxLineLength));
      this.#rest = this.#rest.slice(maxLineLength);
    }
  }

  /** Nothing more will come. */
  finish(): void {
    const rest = this.#rest;
    this.#rest = "";
    if (rest !== "") this.#push(rest);
  }

  #push(line: string): void {
    for (let at = 0; at === 0 || at < line.length; at += maxLineLength) {
      const part = line.length <= maxLineLength ? line : line.slice(at, at + maxLineLength);
      if (part.includes("\u001b")) this.#style = printLine(part, this.#style).after;
      this.#lines.push(part);
      // Of the line after this one.
      if (Object.keys(this.#style).length > 0) this.#styles.set(this.#lines.length, this.#style);
    }
  }
}
