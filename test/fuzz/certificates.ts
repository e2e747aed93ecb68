/** Certificates of every shape, which openssl, @peculiar/x509 and Go read and verify, as far as they are installed. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Cohort, makeCohorts } from '../ca/profile/cohorts.ts';
import {
  buildGoVerifier,
  verifyWithGo,
  verifyWithOpenSsl,
  verifyWithPeculiar,
  whyNot,
} from '../ca/profile/verifiers.ts';
import { Broken, type Budget, type Result } from './target.ts';

/** About so many are made and verified at a time. */
const BATCH = 10_000;

export async function fuzzCertificates(seed: number, goOn: Budget): Promise<Result> {
  const begun = performance.now();
  const missing = (['openssl', 'go'] as const).map(whyNot);
  const [noOpenSsl, noGo] = missing;
  const directory = mkdtempSync(path.join(tmpdir(), 'sidekey-certificates-'));
  let count = 0;
  try {
    const go = noGo ? undefined : await buildGoVerifier(directory);
    for (let batch = 0; goOn(count); batch += 1) {
      const cohorts = await makeCohorts(seed + batch, BATCH);
      const verify = async ({ cohort, i }: { cohort: Cohort; i: number }) => {
        const files = path.join(directory, `${i}`);
        if (!noOpenSsl) await verifyWithOpenSsl(cohort, files);
        rmSync(files, { recursive: true, force: true });
        await verifyWithPeculiar(cohort);
      };
      try {
        for (const [i, cohort] of cohorts.entries()) await verify({ cohort, i });
        if (go !== undefined) await verifyWithGo(go, cohorts);
      } catch (cause) {
        throw new Broken('certificates', seed, batch, 'a batch of certificates', cause);
      }
      for (const { leafs } of cohorts) count += leafs.length;
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const notes = missing.filter((why) => why !== false);
  return { inputs: count, seconds: (performance.now() - begun) / 1_000, notes };
}
