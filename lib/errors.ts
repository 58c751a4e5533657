/**
 * The root of every error this project throws.
 *
 * One subclass per boundary (a format, the daemon, the database, …), each with a closed set of `code`s.
 * The message says what failed, where, and what to do about it; the original error stays in `cause`.
 */
export abstract class HydraError extends Error {
  /** Stable, machine-readable kind of the error. */
  abstract readonly code: string;

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The user gave something we cannot use (a flag, a configuration key, a request): one line, exit code 2. */
export class UsageError extends HydraError {
  readonly code: "usage" | "config" | "secret-file";

  constructor(
    message: string,
    options?: { readonly code?: "usage" | "config" | "secret-file"; readonly cause?: unknown },
  ) {
    super(message, options);
    this.code = options?.code ?? "usage";
  }
}

/** Turns whatever was thrown into an `Error`, keeping the original as `cause` when it was not one. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}

/** The messages of an error and of its causes, outermost first, joined with `: `. */
export function errorChain(thrown: unknown): string {
  const parts: string[] = [];
  let current: unknown = thrown;
  // Counted, because causes can make a circle, and a thrown text becomes its own cause.
  for (let depth = 0; depth < 8 && current !== undefined && current !== null; depth++) {
    const error = toError(current);
    const nested = error instanceof AggregateError ? error.errors.map((e) => toError(e).message) : [];
    const text = error.message || nested.join("; ") || error.name;
    // Some messages quote their cause already.
    if (!parts.some((part) => part.endsWith(text))) parts.push(text);
    current = error.cause;
  }
  return parts.join(": ");
}

/** An error of the operating system: it has a `code` such as `ENOENT`. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}

const shortages: ReadonlySet<string> = new Set([
  "ENOSPC",
  "EDQUOT",
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  "EAGAIN",
  "EIO",
  "EROFS",
  // A running program that loses the right to write a folder usually gets it back once that is seen.
  "EACCES",
  "EPERM",
]);

/**
 * The operating system lacks something that comes back: space, file descriptors, memory, a disk that answers, the right
 * to write a folder. Looked for along the causes.
 */
export function isShortage(thrown: unknown): boolean {
  return causedBy(thrown, shortages);
}

const lacksOfDescriptors: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/** Nothing could be opened, whatever it was, which says nothing about that. Looked for along the causes. */
export function isLackOfDescriptors(thrown: unknown): boolean {
  return causedBy(thrown, lacksOfDescriptors);
}

const refusals: ReadonlySet<string> = new Set(["EACCES", "EPERM"]);

/** This user may not do it; at a start that is a mistake in the settings. Looked for along the causes. */
export function isForbidden(thrown: unknown): boolean {
  return causedBy(thrown, refusals);
}

const impossibleNames: ReadonlySet<string> = new Set(["ENAMETOOLONG", "EISDIR", "ENOTDIR", "EINVAL"]);

/** No file can have this name here, whenever it is tried. Looked for along the causes. */
export function isImpossibleName(thrown: unknown): boolean {
  return causedBy(thrown, impossibleNames);
}

function causedBy(thrown: unknown, codes: ReadonlySet<string>): boolean {
  let current: unknown = thrown;
  for (let depth = 0; depth < 8 && current instanceof Error; depth++) {
    if (isSystemError(current) && codes.has(current.code ?? "")) return true;
    current = current.cause;
  }
  return false;
}
