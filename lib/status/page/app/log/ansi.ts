/**
 * Lines of a terminal as pieces of text with a style: colours and weights of ANSI escape sequences (ECMA-48 SGR), carriage
 * returns and backspaces that overwrite, "erase to the end of the line". Every other sequence is left out. Pure; linear in
 * the length of the line.
 */

/** `color`: 0 to 15, undefined for the default. Colours of larger palettes become the nearest of these. */
export interface Style {
  readonly color?: number | undefined;
  readonly background?: number | undefined;
  readonly bold?: boolean | undefined;
  readonly dim?: boolean | undefined;
  readonly italic?: boolean | undefined;
  readonly underline?: boolean | undefined;
  readonly inverse?: boolean | undefined;
}

/** A piece of a line. */
export interface Piece {
  readonly text: string;
  readonly style: Style;
}

/** The style at the begin of a log. */
export const plain: Style = {};

/** Red, green and blue (0 to 255) as one of the 16 colours: its bits say which parts are strong. */
function nearest(red: number, green: number, blue: number): number {
  const most = Math.max(red, green, blue);
  if (most < 48) return 0;
  const half = Math.max(64, most * 0.6);
  const bits = (red >= half ? 1 : 0) | (green >= half ? 2 : 0) | (blue >= half ? 4 : 0);
  return bits + (most > 192 ? 8 : 0);
}

function ofPalette(index: number): number | undefined {
  if (index < 16) return index;
  if (index > 255) return undefined;
  if (index >= 232) return nearest(8 + (index - 232) * 10, 8 + (index - 232) * 10, 8 + (index - 232) * 10);
  const level = (part: number): number => (part === 0 ? 0 : 55 + part * 40);
  const cube = index - 16;
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

/** `38;5;n` and `38;2;r;g;b`; how many numbers were used. */
function extended(
  numbers: readonly number[],
  at: number,
): { readonly color: number | undefined; readonly used: number } {
  if (numbers[at] === 5) return { color: ofPalette(numbers[at + 1] ?? 0), used: 2 };
  if (numbers[at] === 2) {
    return { color: nearest(numbers[at + 1] ?? 0, numbers[at + 2] ?? 0, numbers[at + 3] ?? 0), used: 4 };
  }
  return { color: undefined, used: 1 };
}

function withCode(style: Style, code: number): Style {
  if (code === 0) return plain;
  if (code >= 30 && code <= 37) return { ...style, color: code - 30 };
  if (code >= 90 && code <= 97) return { ...style, color: code - 82 };
  if (code >= 40 && code <= 47) return { ...style, background: code - 40 };
  if (code >= 100 && code <= 107) return { ...style, background: code - 92 };
  switch (code) {
    case 1:
      return { ...style, bold: true };
    case 2:
      return { ...style, dim: true };
    case 3:
      return { ...style, italic: true };
    case 4:
      return { ...style, underline: true };
    case 7:
      return { ...style, inverse: true };
    case 22:
      return { ...style, bold: undefined, dim: undefined };
    case 23:
      return { ...style, italic: undefined };
    case 24:
      return { ...style, underline: undefined };
    case 27:
      return { ...style, inverse: undefined };
    case 39:
      return { ...style, color: undefined };
    case 49:
      return { ...style, background: undefined };
    default:
      return style;
  }
}

function withCodes(style: Style, text: string): Style {
  const numbers = text.split(/[;:]/).map(Number);
  let next = style;
  for (let at = 0; at < numbers.length; at++) {
    const code = numbers[at] ?? 0;
    if (code === 38 || code === 48) {
      const { color, used } = extended(numbers, at + 1);
      next = code === 38 ? { ...next, color } : { ...next, background: color };
      at += used;
    } else next = withCode(next, code);
  }
  return next;
}

/** What is left of a line when it is printed, and the style after it. */
export interface PrintedLine {
  readonly pieces: readonly Piece[];
  readonly after: Style;
}

/** Cells of a line that is printed over; a short one in most logs. */
class Cells {
  readonly #texts: string[] = [];
  readonly #styles: Style[] = [];
  #column = 0;

  write(text: string, style: Style): void {
    for (const character of text) {
      if (character === "\r") this.#column = 0;
      else if (character === "\b") this.#column = Math.max(0, this.#column - 1);
      else {
        while (this.#texts.length < this.#column) {
          this.#texts.push(" ");
          this.#styles.push(plain);
        }
        this.#texts[this.#column] = character;
        this.#styles[this.#column] = style;
        this.#column++;
      }
    }
  }

  /** 0: to the end, 1: to the begin, 2: the whole line. */
  erase(mode: number): void {
    if (mode === 0) this.#texts.length = Math.min(this.#texts.length, this.#column);
    else {
      const end = mode === 1 ? Math.min(this.#column + 1, this.#texts.length) : this.#texts.length;
      for (let at = 0; at < end; at++) {
        this.#texts[at] = " ";
        this.#styles[at] = plain;
      }
    }
    this.#styles.length = this.#texts.length;
  }

  pieces(): readonly Piece[] {
    const pieces: Piece[] = [];
    let begin = 0;
    for (let at = 1; at <= this.#texts.length; at++) {
      if (at < this.#texts.length && this.#styles[at] === this.#styles[begin]) continue;
      pieces.push({ text: this.#texts.slice(begin, at).join(""), style: this.#styles[begin] ?? plain });
      begin = at;
    }
    return pieces;
  }
}

const escapeSign = "\u001b";
/** Control characters that a terminal does not show, such as bells. Tabs, carriage returns and backspaces stay. */
const unseen = /[^\P{Cc}\t\r\b]/gu;

interface Part {
  readonly text: string;
  /** Of a CSI sequence: its parameters and its last character. */
  readonly csi?: { readonly parameters: string; readonly final: string };
}

/** Text between escape sequences, and the sequences. */
function* partsOf(line: string): Iterable<Part> {
  let at = 0;
  while (at < line.length) {
    const begin = line.indexOf(escapeSign, at);
    if (begin < 0) {
      yield { text: line.slice(at) };
      return;
    }
    if (begin > at) yield { text: line.slice(at, begin) };
    const kind = line[begin + 1];
    at = begin + 2;
    if (kind === "[") {
      let end = at;
      while (end < line.length && !isFinal(line.charCodeAt(end))) end++;
      yield { text: "", csi: { parameters: line.slice(at, end), final: line[end] ?? "" } };
      at = end + 1;
    } else if (kind === "]") {
      const bell = line.indexOf("\u0007", at);
      const string = line.indexOf(`${escapeSign}\\`, at);
      const ends = [bell < 0 ? Infinity : bell + 1, string < 0 ? Infinity : string + 2];
      at = Math.min(...ends, line.length);
    } else if (kind === "(" || kind === ")") at++;
  }
}

function isFinal(code: number): boolean {
  return code >= 0x40 && code <= 0x7e;
}

/** Whether anything in a line is more than text. */
function moves(line: string): boolean {
  return line.includes(escapeSign) || line.includes("\r") || line.includes("\b");
}

/** Prints a line that begins with a style. */
export function printLine(line: string, before: Style): PrintedLine {
  if (!moves(line)) {
    return { pieces: line === "" ? [] : [{ text: line.replace(unseen, ""), style: before }], after: before };
  }
  const cells = new Cells();
  let style = before;
  for (const { text, csi } of partsOf(line)) {
    if (csi === undefined) cells.write(text.replace(unseen, ""), style);
    else if (csi.final === "m") style = withCodes(style, csi.parameters);
    else if (csi.final === "K") cells.erase(Number(csi.parameters) || 0);
  }
  return { pieces: cells.pieces(), after: style };
}

/** The text that a line shows. */
export function shownText(line: string): string {
  if (!moves(line)) return line.replace(unseen, "");
  return printLine(line, plain)
    .pieces.map(({ text }) => text)
    .join("");
}

/** Classes of a style. */
export function classesOf({ color, background, bold, dim, italic, underline, inverse }: Style): string {
  const [front, back] = inverse === true ? [background ?? "back", color ?? "text"] : [color, background];
  const names = [
    front === undefined ? "" : `ansi-${front}`,
    back === undefined ? "" : `ansi-on-${back}`,
    bold === true ? "ansi-bold" : "",
    dim === true ? "ansi-dim" : "",
    italic === true ? "ansi-italic" : "",
    underline === true ? "ansi-underline" : "",
  ];
  return names.filter((name) => name !== "").join(" ");
}
