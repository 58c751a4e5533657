/**
 * What builders send into the runner's store.
 *
 * A path enters only for an attempt that runs: as one of the outputs that it must make, or because its address follows
 * from its contents. It stays unproven until the attempt has reported success with the same contents.
 *
 * A step may be executed twice, when its first builder was lost while sending or when some of its outputs were collected
 * since, and the second execution may give other contents. All outputs of a step come from one execution, so what is left
 * of an earlier one is replaced, and to builders it counts as missing.
 */
import { whenDescriptorsAreFree } from "../../../async/index.js";
import { hashesEqual } from "../../../nix/path/hash.js";
import type { StorePath } from "../../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../../nix/store/path-info.js";
import type { CancelOptions } from "../../../nix/store/store.js";
import { type BuiltOutput, RpcError, type UnpackedNar } from "../../../rpc/index.js";
import type { AttemptId } from "../../../scheduler/ids.js";
import { RunnerError } from "../../errors.js";
import type { Attempt, AttemptRegistry, AttemptsInQuestion } from "../../state/attempts.js";
import type { RawStore } from "../../state/runner-store.js";
import type { UnprovenPaths } from "../../state/unproven-paths.js";
import { isAddressed, makes } from "./addressed.js";

/** What incoming outputs work with. */
export interface IncomingOutputsOptions {
  readonly store: Pick<RawStore, "storeDir" | "isValidPath" | "addToStoreNar">;
  readonly unproven: UnprovenPaths;
  readonly attempts: Pick<AttemptRegistry, "get" | "onRemoved">;
}

/** A path that is being received. */
interface Intake {
  readonly attempts: Set<AttemptId>;
  readonly abort: AbortController;
}

/** Takes outputs from builders, and knows which of them are incomplete. */
export class IncomingOutputs {
  readonly #store: IncomingOutputsOptions["store"];
  readonly #unproven: UnprovenPaths;
  readonly #attempts: IncomingOutputsOptions["attempts"];
  /** Valid outputs of steps that are not complete. They were proven once. */
  readonly #incomplete = new Set<StorePath>();
  readonly #intakes = new Set<Intake>();

  constructor({ store, unproven, attempts }: IncomingOutputsOptions) {
    this.#store = store;
    this.#unproven = unproven;
    this.#attempts = attempts;
    attempts.onRemoved((attempt) => this.#attemptOver(attempt));
  }

  /** These are valid although others of their step are not. */
  found(paths: Iterable<StorePath>): void {
    for (const path of paths) this.#incomplete.add(path);
  }

  /**
   * The attempt succeeded: what arrived for it is valid for everybody now. `checked`: those of its outputs that are in the
   * store and are what it reported; others of its outputs stay unproven.
   */
  complete(attempt: Attempt, outputs: Iterable<StorePath>, checked: readonly StorePath[]): void {
    const unchecked = new Set([...outputs].filter((path) => !checked.includes(path)));
    this.#unproven.prove(attempt.id, checked, unchecked);
    for (const path of outputs) this.#incomplete.delete(path);
  }

  /** Whether a builder that has these attempts need not send the path. */
  async has(path: StorePath, attempts: AttemptsInQuestion, options: CancelOptions): Promise<boolean> {
    if (this.#unproven.has(path)) {
      if (!attempts.all().some(({ id }) => this.#unproven.arrivedFor(path, id))) return false;
    } else if (this.#incomplete.has(path) && makersOf(path, attempts).length > 0) return false;
    return this.#store.isValidPath(path, options);
  }

  /**
   * Takes a path from a builder that has these attempts.
   *
   * @throws RpcError `permission-denied` when none of them may bring it, `cancelled` when they end meanwhile; what the
   *   store and the stream throw
   */
  async take(
    { info, nar }: UnpackedNar,
    attempts: AttemptsInQuestion,
    options: CancelOptions,
  ): Promise<void> {
    const { path } = info;
    const vouchers = this.#vouchersFor(info, attempts);
    const valid = await whenDescriptorsAreFree(() => this.#store.isValidPath(path, options), options);
    const mayReplace = this.#incomplete.has(path) && vouchers.some((attempt) => makes(attempt, path));
    // Sent in vain: what is believed already is not replaced.
    if (valid && !this.#unproven.has(path) && !mayReplace) return;
    if (vouchers.length === 0) {
      throw new RpcError(
        "permission-denied",
        `${path} is neither an output of a build that runs on a machine of this builder nor content-addressed`,
      );
    }
    await this.#receive({ info, nar }, vouchers, { ...options, repair: valid });
  }

  /**
   * Whether what arrived is what the attempt reports, so that it may be believed. `infos`: what the store has.
   *
   * @throws RunnerError `output-mismatch`
   */
  demandProvable(
    attempt: Attempt,
    outputs: ReadonlyMap<string, BuiltOutput>,
    infos: ReadonlyMap<StorePath, ValidPathInfo>,
  ): void {
    const own = new Set([...outputs.values()].map(({ path }) => path));
    for (const [name, { path, narHash }] of outputs) {
      const info = infos.get(path);
      if (info === undefined || !this.#unproven.has(path)) continue;
      if (this.#unproven.arrivedFor(path, attempt.id)) continue;
      // An earlier attempt's, perhaps before the runner was restarted. It is believed for its contents.
      if (narHash === undefined || !hashesEqual(narHash, info.narHash)) {
        throw new RunnerError("output-mismatch", `output ${name} of ${attempt.drv} did not arrive for it`);
      }
      const doubtful = info.references.find(
        (reference) =>
          !own.has(reference) &&
          this.#unproven.has(reference) &&
          !this.#unproven.arrivedFor(reference, attempt.id),
      );
      if (doubtful !== undefined) {
        throw new RunnerError(
          "output-mismatch",
          `output ${name} of ${attempt.drv} refers to ${doubtful}, which no builder has reported as built`,
        );
      }
    }
  }

  /** Attempts that may bring the path: all that it refers to must be believed, or have come for them. */
  #vouchersFor(info: ValidPathInfo, attempts: AttemptsInQuestion): readonly Attempt[] {
    const { path } = info;
    const makers = makersOf(path, attempts);
    // The daemon checks that the contents have the address.
    const addressed = makers.length === 0 && isAddressed(this.#store.storeDir, info);
    const candidates = addressed ? attempts.all() : makers;
    return candidates.filter(({ id }) =>
      info.references.every(
        (reference) =>
          reference === path || !this.#unproven.has(reference) || this.#unproven.arrivedFor(reference, id),
      ),
    );
  }

  async #receive(
    { info, nar }: UnpackedNar,
    vouchers: readonly Attempt[],
    options: CancelOptions & { readonly repair: boolean },
  ): Promise<void> {
    const { path } = info;
    const ids = vouchers.map(({ id }) => id);
    const intake: Intake = { attempts: new Set(ids), abort: new AbortController() };
    const signal = AbortSignal.any([intake.abort.signal, ...(options.signal ? [options.signal] : [])]);
    // Another attempt that makes the same content-addressed path goes on with it.
    const shared = this.#unproven.isClaimed(path) && !ids.some((id) => this.#unproven.claims(path, id));
    this.#intakes.add(intake);
    try {
      for (const id of ids) if (this.#attempts.get(id) === undefined) intake.attempts.delete(id);
      this.#cutWhenUnwanted(intake);
      await this.#unproven.arriving(path, [...intake.attempts], signal);
      signal.throwIfAborted();
      // Without a connection nothing of the NAR has been read.
      const add = { signal, repair: options.repair && !shared };
      await whenDescriptorsAreFree(() => this.#store.addToStoreNar(info, nar, add), { signal });
      signal.throwIfAborted();
      this.#unproven.arrived(path, [...intake.attempts]);
      this.#incomplete.delete(path);
    } catch (error) {
      if (intake.abort.signal.aborted) throw intake.abort.signal.reason as Error;
      throw error;
    } finally {
      this.#intakes.delete(intake);
    }
  }

  #attemptOver(attempt: Attempt): void {
    this.#unproven.attemptOver(attempt.id);
    for (const intake of this.#intakes) {
      if (intake.attempts.delete(attempt.id)) this.#cutWhenUnwanted(intake);
    }
  }

  #cutWhenUnwanted({ attempts, abort }: Intake): void {
    if (attempts.size > 0) return;
    abort.abort(new RpcError("cancelled", "the build is over; its outputs are not wanted any more"));
  }
}

/** Those that must make the path. */
function makersOf(path: StorePath, attempts: AttemptsInQuestion): readonly Attempt[] {
  return attempts.making(path).filter((attempt) => makes(attempt, path));
}
