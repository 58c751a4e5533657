/**
 * Builders that lie, and strangers that hold a token. They know everything that any builder knows, attempt ids included,
 * because builders may collude. None of it may be believed that its owner did not say.
 */
import type { StorePath } from "../../../lib/nix/index.js";
import {
  type BuilderJoin,
  type CallContext,
  isSamePrincipal,
  type Principal,
} from "../../../lib/rpc/index.js";
import { machineId } from "../../../lib/scheduler/ids.js";
import { logOf, outputAt, streamOf } from "../../../lib/testing/simulated/contents.js";
import type { SeededRandom } from "../../../lib/testing/simulated/seeded-random.js";
import { peerOf, SimulatedTunnel } from "../../../lib/testing/simulated/simulated-tunnel.js";
import { joinFacts } from "./join-facts.js";
import type { GivenOrder } from "./ledger.js";
import { stranger } from "./principals.js";
import { completionOf, givenUp, outputLies, type RunnerSide } from "./run.js";
import type { RunnerWorld } from "./runner-world.js";
import { logText } from "./simulated-disk.js";

const ignored = (): void => {};

function pick<T>(random: SeededRandom, items: readonly T[]): T | undefined {
  return items.length === 0 ? undefined : random.pick(items);
}

/** In the name of a builder, or of a stranger. */
function somePrincipal(world: RunnerWorld, random: SeededRandom): Principal {
  const principals = world.builders.filter(({ gone }) => !gone).map(({ principal }) => principal);
  return random.chance(0.3) ? stranger : (pick(random, principals) ?? stranger);
}

function call(principal: Principal): CallContext {
  return { peer: peerOf(principal), signal: new AbortController().signal };
}

/** Mostly one that is of use right now. */
function someOrder(world: RunnerWorld, random: SeededRandom): GivenOrder | undefined {
  const running = world.builders
    .flatMap((one) => [...one.runs.values()])
    .filter((run) => run.state !== "over")
    .flatMap((run) => world.ledger.order(run.id) ?? []);
  return pick(random, random.chance(0.8) ? running : world.ledger.orders());
}

/** A builder will not tell the truth about the outputs of a build of its own. */
export function lie(world: RunnerWorld, random: SeededRandom): void {
  pick(random, world.builders)?.lie(random, random.pick(outputLies));
}

/** Outputs that nobody asked for, of other steps, or of the sender's own before they are built. */
export function forge(world: RunnerWorld, random: SeededRandom): void {
  const side = world.life?.side;
  if (side === undefined) return;
  const principal = somePrincipal(world, random);
  void sendForged(world, side, principal, random.pick(world.outputPaths()), random);
}

function sendForged(
  world: RunnerWorld,
  { handlers }: RunnerSide,
  principal: Principal,
  path: StorePath,
  random: SeededRandom,
): Promise<void> {
  const joined = world.life?.parts.owners.machinesOf(principal).length !== 0;
  return handlers
    .buildResult(streamOf(outputAt(path, `forged ${random.next()}`)), call(principal))
    .then(
      () =>
        world.watch.demands(
          joined,
          "calls are answered for those who have joined",
          () => `${path} was taken`,
        ),
      ignored,
    );
}

/** Reports an attempt with outputs of its own, as if by the machine or as by another. */
export function forgeReport(world: RunnerWorld, random: SeededRandom): void {
  const side = world.life?.side;
  const given = someOrder(world, random);
  if (side === undefined || given === undefined) return;
  const principal = somePrincipal(world, random);
  const owner = world.builders.find(({ id }) => id === given.machine);
  const run = owner?.runs.get(given.order.buildId);
  if (run === undefined) return;
  const wanted = given.order.derivation?.outputs.get("out");
  const path = wanted?.kind === "inputAddressed" ? wanted.path : random.pick(world.outputPaths());
  const forged = outputAt(path, `forged ${random.next()}`);
  const succeeds = random.chance(0.7);
  const send = (): void => {
    if (world.life?.side !== side) return;
    const report = completionOf(
      { id: run.id, machine: given.machine },
      succeeds ? "success" : "buildFailure",
      succeeds ? forged : undefined,
      false,
    );
    const own = isSamePrincipal(principal, given.principal);
    const entitled = own && world.life.knows(run);
    world.ledger.reports(principal, report);
    const ends = (): void => {
      world.ledger.misreported.add(given.order.derivation?.name ?? "");
      world.disturb();
      run.owned = false;
      run.ownedUntil = undefined;
      run.disturbances = givenUp;
    };
    const known = own ? world.watch.onReport(run, false) : world.watch.onForeignReport(run);
    if (entitled) ends();
    const taken = (): void => {
      // The attempt may have become known only while the report waited for the machine's builds to be settled.
      if (own && !entitled) ends();
      known(undefined);
    };
    side.handlers.completeBuild(report, call(principal)).then(taken, known);
  };
  if (!succeeds) {
    send();
    return;
  }
  side.handlers.buildResult(streamOf(forged), call(principal)).then(send, send);
}

/** A builder joins again, and says that builds run on it that do not: of others, of its own past, or of nobody. */
export function claim(world: RunnerWorld, random: SeededRandom): void {
  const builder = pick(
    random,
    world.builders.filter(({ gone }) => !gone),
  );
  if (builder === undefined) return;
  const orders = world.ledger.orders();
  const drvs = [...world.derivations.values()].map(({ drv }) => drv);
  const claims = Array.from({ length: random.int(1, 4) }, () => {
    const given = random.chance(0.8) ? pick(random, orders) : undefined;
    return {
      buildId:
        given?.order.buildId ?? `00000000-0000-4000-8000-${String(random.int(0, 999_999)).padStart(12, "0")}`,
      drv: given !== undefined && random.chance(0.7) ? given.order.drv : random.pick(drvs),
      ageMs: random.int(0, 60_000),
    };
  });
  world.losses++;
  world.disturb();
  builder.claim(claims);
}

/** Joins as a machine that is another's. */
export function seize(world: RunnerWorld, random: SeededRandom): void {
  const { life, time } = world;
  const side = life?.side;
  const victim = pick(random, world.builders);
  if (life === undefined || side === undefined || victim === undefined) return;
  const principal = somePrincipal(world, random);
  const hostname = random.chance(0.5) ? victim.hostname : "elsewhere";
  const id = machineId(victim.id);
  const owner = life.parts.owners.of(id);
  const inUse = life.parts.sessions.get(id) !== undefined || life.parts.attempts.onMachine(id).length > 0;
  const entitled =
    owner === undefined ||
    (isSamePrincipal(principal, owner.principal) && (hostname === owner.hostname || !inUse));
  const join: Omit<BuilderJoin, "running"> = {
    ...joinFacts(0, true, random),
    machineId: victim.id,
    hostname,
  };
  const tunnel: SimulatedTunnel = new SimulatedTunnel(time, victim.id, principal, {
    onSend: (order) => {
      if (order.kind === "build") world.ledger.ordered({ order: order.build, machine: victim.id, principal });
      else if (order.kind === "joinResponse")
        world.watch.demands(entitled, "a machine in use is its owner's", () => victim.id);
    },
    onOrder: ignored,
    onClosed: ignored,
    onEnd: ignored,
  });
  if (entitled) {
    world.losses++;
    world.disturb();
    victim.displaced();
  }
  void side.handlers
    .openTunnel(join, tunnel)
    .catch(ignored)
    .finally(() => tunnel.close("the runner ended the tunnel"));
  time.after(random.int(1, 5_000), () => {
    if (tunnel.open) world.losses++;
    tunnel.break("the impostor leaves");
  });
}

/** Asks for what it may not have, and writes what it may not write. */
export function peek(world: RunnerWorld, random: SeededRandom): void {
  const { life, watch, ledger, store } = world;
  const side = life?.side;
  if (life === undefined || side === undefined) return;
  const principal = somePrincipal(world, random);
  const path = random.pick(world.outputPaths());
  const context = call(principal);
  const joined = life.parts.owners.machinesOf(principal).length > 0;
  const owns = (): boolean =>
    life.parts.owners
      .machinesOf(principal)
      .flatMap((machine) => life.parts.attempts.onMachine(machine))
      .some(({ facts }) => facts.outputs.get("out") === path);
  const ownedBefore = owns();
  const answered = (what: string) => (): void => {
    watch.demands(joined, "calls are answered for those who have joined", () => what);
    const hash = store.hashOf(path);
    if (hash === undefined || ownedBefore || owns()) return;
    watch.demands(
      ledger.isBuilt(path, hash),
      "nothing is believed that its owner did not build",
      () => `${path} was given out by ${what}`,
    );
  };
  side.handlers.fetchPaths([path], context).then(answered("fetchPaths"), ignored);
  side.handlers.hasPath(path, context).then((has) => (has ? answered("hasPath")() : undefined), ignored);
  const given = someOrder(world, random);
  if (given === undefined) return;
  const text = logText(principal, given.order.buildId);
  side.handlers.buildLog({ drv: given.order.drv, chunks: logOf(text) }, context).catch(ignored);
}
