/** Values that are made at their first use, such as code that is loaded late. */

/** Made by the first caller for all; after a failure the next caller has it made again. */
export class MadeOnce<T> {
  readonly #make: () => Promise<T>;
  #made: Promise<T> | undefined;

  constructor(make: () => Promise<T>) {
    this.#make = make;
  }

  /** What was made, or is being made; undefined before the first use and after a failure. */
  get made(): Promise<T> | undefined {
    return this.#made;
  }

  /** @throws what making it threw, to all that waited for it */
  get(): Promise<T> {
    this.#made ??= this.#make().catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    return this.#made;
  }
}
