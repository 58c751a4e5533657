/** One life of the simulated runner process: after its end nothing reaches it any more. */
export class ProcessLife {
  #alive = true;

  get alive(): boolean {
    return this.#alive;
  }

  end(): void {
    this.#alive = false;
  }
}
