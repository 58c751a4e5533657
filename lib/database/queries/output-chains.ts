/**
 * Output paths that only a build could tell.
 *
 * A chain names an output of an output: `root^a^b` is output b of the derivation that output a of root is. Each link is
 * looked up for all chains at once.
 */
import type { Session } from "../session.js";
import { stepStatus } from "../status-numbers.js";

/** Names an output of an output. */
export interface OutputChain {
  /** Full path of the first derivation. */
  readonly drvPath: string;
  readonly outputs: readonly string[];
}

// A derivation that was resolved (status `resolved`) has its paths at the step of the derivation it was resolved to.
const linkStatement = `
  SELECT i.nr, found.path
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i(drv, name, nr)
   CROSS JOIN LATERAL (
     SELECT coalesce(ro.path, o.path) AS path
       FROM buildsteps s
       LEFT JOIN buildsteps sr
         ON s.status = ${stepStatus.resolved} AND sr.status = ${stepStatus.succeeded} AND sr.drvpath = $3::text || '/' || s.resolveddrvpath
       LEFT JOIN buildstepoutputs ro ON ro.build = sr.build AND ro.stepnr = sr.stepnr AND ro.name = i.name
       LEFT JOIN buildstepoutputs o ON o.build = s.build AND o.stepnr = s.stepnr AND o.name = i.name
      WHERE s.drvpath = i.drv AND s.status IN (${stepStatus.succeeded}, ${stepStatus.resolved}) AND coalesce(ro.path, o.path) IS NOT NULL
      ORDER BY s.build DESC, sr.build DESC NULLS LAST, s.stepnr DESC
      LIMIT 1
   ) found`;

/** The full path that each chain leads to, in the order of `chains`; undefined where a link is not known. */
export async function resolveOutputChains(
  session: Session,
  chains: readonly OutputChain[],
  storeDir: string,
): Promise<(string | undefined)[]> {
  const current: (string | undefined)[] = chains.map((chain) => chain.drvPath);
  const depth = Math.max(0, ...chains.map((chain) => chain.outputs.length));
  for (let link = 0; link < depth; link++) {
    const wanted: { index: number; drv: string; name: string }[] = [];
    chains.forEach((chain, index) => {
      const drv = current[index];
      const name = chain.outputs[link];
      if (drv !== undefined && name !== undefined) wanted.push({ index, drv, name });
    });
    if (wanted.length === 0) break;
    const { rows } = await session.query<{ nr: number; path: string }>(linkStatement, [
      wanted.map((link) => link.drv),
      wanted.map((link) => link.name),
      storeDir,
    ]);
    for (const { index } of wanted) current[index] = undefined;
    for (const { nr, path } of rows) {
      const link = wanted[nr - 1];
      // Rows of a runner with another store folder are useless here.
      if (link !== undefined && path.startsWith(`${storeDir}/`)) current[link.index] = path;
    }
  }
  return current;
}
