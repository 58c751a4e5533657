/** A file of lines that is only appended to, until it is replaced as a whole. What is appended together is synced once. */
import { type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { isSystemError } from "./errors.js";

interface Group {
  readonly lines: string[];
  durable: boolean;
  readonly written: Promise<void>;
}

/** An append-only file of lines. Calls may overlap: they take effect in the order they were made. */
export class LineFile {
  readonly #path: string;
  #file: FileHandle | undefined;
  #size = 0;
  /** A write failed half-way, so the next one begins on a new line. */
  #torn = false;
  /** Lines that the next write takes along. */
  #group: Group | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** Bytes written since the file was last replaced, or loaded. */
  get size(): number {
    return this.#size;
  }

  /** All lines; one that was cut off by a crash is left out: its `append` never resolved. */
  async load(): Promise<string[]> {
    await rm(this.#temporary, { force: true });
    try {
      const lines = (await readFile(this.#path, "utf8")).split("\n");
      lines.pop();
      return lines.filter((line) => line !== "");
    } catch (error) {
      if (isSystemError(error) && error.code === "ENOENT") return [];
      throw error;
    }
  }

  /** Resolves when the line is written; when it is `durable`, a power cut cannot take it away any more. */
  append(line: string, options: { readonly durable: boolean }): Promise<void> {
    const group = this.#group ?? this.#newGroup();
    group.lines.push(line);
    group.durable ||= options.durable;
    return group.written;
  }

  /** The file holds these lines and no others: at once, also when the power fails meanwhile. */
  replace(lines: Iterable<string>): Promise<void> {
    // What is appended from now on comes after.
    this.#group = undefined;
    const text = [...lines].map((line) => `${line}\n`).join("");
    return this.#next(() => (text === "" ? this.#empty() : this.#replace(text)));
  }

  /** Resolves when everything is written. */
  async close(): Promise<void> {
    await this.#next(async () => {
      await this.#file?.close();
      this.#file = undefined;
    });
  }

  get #temporary(): string {
    return `${this.#path}.tmp`;
  }

  #newGroup(): Group {
    const group: Group = {
      lines: [],
      durable: false,
      written: this.#next(async () => {
        if (this.#group === group) this.#group = undefined;
        await this.#write(group);
      }),
    };
    this.#group = group;
    return group;
  }

  #next(action: () => Promise<void>): Promise<void> {
    const result = this.#last.then(action);
    this.#last = result.catch(() => {});
    return result;
  }

  async #write({ lines, durable }: Group): Promise<void> {
    const file = await this.#open();
    const text = `${this.#torn ? "\n" : ""}${lines.join("\n")}\n`;
    this.#torn = true;
    await file.appendFile(text);
    this.#torn = false;
    this.#size += Buffer.byteLength(text);
    if (durable) await file.datasync();
  }

  async #empty(): Promise<void> {
    const file = await this.#open();
    await file.truncate();
    this.#size = 0;
    this.#torn = false;
  }

  async #replace(text: string): Promise<void> {
    const file = await open(this.#temporary, "w", 0o600);
    try {
      await file.appendFile(text);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(this.#temporary, this.#path);
    await this.#file?.close();
    this.#file = undefined;
    this.#size = Buffer.byteLength(text);
    this.#torn = false;
  }

  async #open(): Promise<FileHandle> {
    this.#file ??= await open(this.#path, "a", 0o600);
    return this.#file;
  }
}
