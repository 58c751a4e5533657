/** What a call costs does not grow with the machines of its caller: a proxy or one token may speak for a whole farm. */
import { expect, test } from "vitest";
import type { Principal } from "../../../lib/rpc/index.js";
import { CallGuard } from "../../../lib/runner/service/call-guard.js";
import { AttemptRegistry } from "../../../lib/runner/state/attempts.js";
import { MachineOwners } from "../../../lib/runner/state/machine-owners.js";
import { attemptId, machineId } from "../../../lib/scheduler/ids.js";
import { simpleAttempt } from "../../support/recording.js";

const farm: Principal = { kind: "token", name: "farm" };
const other: Principal = { kind: "token", name: "other" };

test("of 2,000 machines of one caller, those that a call is about are looked at", async () => {
  const attempts = new AttemptRegistry();
  let looked = 0;
  const inUse = (): boolean => {
    looked += 1;
    return true;
  };
  const owners = new MachineOwners({ inUse, now: () => 0 });
  const guard = new CallGuard({ owners, attempts, sessions: { whenSettled: () => Promise.resolve() } });
  for (let index = 0; index < 2_000; index++) {
    const machine = machineId(`machine-${index}`);
    const principal = index === 7 ? other : farm;
    owners.claim(machine, { principal, hostname: "host" });
    const attempt = simpleAttempt(index, `step-${index}`);
    attempts.add({ ...attempt, id: attemptId(`attempt-${index}`), machine, sent: index !== 8 });
  }
  const [wanted, ofOther, unsent] = [1_234, 7, 8].map((index) => simpleAttempt(index, `step-${index}`));
  const out = (attempt = wanted) => attempt?.facts.outputs.get("out") ?? expect.fail();

  looked = 0;
  const own = await guard.joined(farm).attempts();
  expect(own.making(out()).map(({ id }) => id)).toEqual(["attempt-1234"]);
  expect(own.making(out(ofOther))).toEqual([]);
  // Its machine does not know of it.
  expect(own.making(out(unsent))).toEqual([]);
  const about = await guard.log(farm, wanted?.drv ?? expect.fail());
  expect(about.id).toBe("attempt-1234");
  expect(looked).toBeLessThan(20);
  expect(own.all()).toHaveLength(1_998);
  expect(own.count()).toBe(1_999);
});
