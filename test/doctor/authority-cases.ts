/** Broken set-ups of the authorities: what holds their replacement up. */

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import type { AuthoritiesJson } from '../../src/admin/ca-schema.ts';
import { makeCa } from '../ca/upstream/pki.ts';
import type { DoctorCase, Stage } from './case.ts';

const BUNDLE = 'spiffe://ilinux.io';
/** Beyond the time between two looks of the server, at the files of an upstream or at proxies. */
const LOOK_MS = 10_000;

async function authorities({ admin }: Stage): Promise<AuthoritiesJson> {
  return admin.json<AuthoritiesJson>('GET', '/v1/ca');
}

/** Lets the server look again and again until its authorities are so. */
async function lookUntil(stage: Stage, what: string, until: (seen: AuthoritiesJson) => boolean): Promise<void> {
  const look = async () => {
    stage.clock.advance(LOOK_MS);
    return authorities(stage);
  };
  await wait(what, { look, until });
}

interface Files {
  readonly cert: string;
  readonly key: string;
  readonly bundle: string;
}

/** In the folder of the stand-in for an engine, which is the test's. */
function filesIn({ engine }: Pick<Stage, 'engine'>): Files {
  const place = (name: string) => path.join(path.dirname(engine.socketPath), name);
  return { cert: place('ca.crt'), key: place('ca.key'), bundle: place('root.crt') };
}

/** Of the stage that {@link diskUpstream} made. */
const certificates = new Map<string, string>();

async function diskUpstream(stage: Pick<Stage, 'engine'>): Promise<Record<string, string>> {
  const { cert, key, bundle } = filesIn(stage);
  const root = await makeCa();
  const issuer = await makeCa({ name: 'issuer' }, root);
  certificates.set(cert, issuer.certificate.toString());
  writeFileSync(cert, certificates.get(cert)!, { mode: 0o600 });
  writeFileSync(key, issuer.privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
  writeFileSync(bundle, root.certificate.toString(), { mode: 0o600 });
  return { upstream: 'disk', upstreamCertFile: cert, upstreamKeyFile: key, upstreamBundleFile: bundle };
}

async function breakFiles(stage: Stage): Promise<void> {
  await wait('an intermediate', { look: () => authorities(stage), until: (seen) => seen.authorities.length > 1 });
  writeFileSync(filesIn(stage).cert, 'broken');
  await lookUntil(stage, 'the server to see it', ({ upstream }) => upstream!.problem !== null);
}

async function mendFiles(stage: Stage): Promise<void> {
  const { cert } = filesIn(stage);
  writeFileSync(cert, certificates.get(cert)!);
  await lookUntil(stage, 'the server to see it', ({ upstream }) => upstream!.problem === null);
}

/** By the stage. */
const silent = new Map<Stage, () => void>();

/** A proxy that does not answer the bundle with the new root. */
async function holdUp(stage: Stage, t: TestContext): Promise<void> {
  await stage.create(`${BUNDLE}/web`);
  const stream = stage.connect().stream();
  t.after(() => stream.cancel());
  silent.set(stage, () => stream.cancel());
  stream.ask(BUNDLE);
  stream.ack(await stream.next());
  await stage.admin.json('POST', '/v1/ca/rotate', { body: { role: 'root' } });
  await stream.next();
  const isWaiting = ({ authorities: seen }: AuthoritiesJson) =>
    seen.some(({ waits_for: proxies }) => proxies.length > 0);
  await wait('the server to wait', { look: () => authorities(stage), until: isWaiting });
  // The proxy answers the PING that the server sends after a minute; it has 20 s for it.
  for (let i = 0; i < 5; i += 1) stage.clock.advance(15_000);
}

export const AUTHORITY_CASES: readonly Omit<DoctorCase, 'by'>[] = [
  {
    symptom: 'A root that was to be replaced still signs',
    words: '`the new root does not sign yet: proxies have not acknowledged the bundle with it` (Sidekey)',
    cause: 'a proxy has not acknowledged the bundle with the new root, or has rejected it',
    own: () => ({ rootPublishTime: '0s' }),
    rule: 'rotation-held-up',
    break: holdUp,
    byHand: async (stage) => {
      silent.get(stage)!();
      const isOver = ({ authorities: seen }: AuthoritiesJson) =>
        seen.every(({ role, state }) => role === 'jwt' || state !== 'published');
      await lookUntil(stage, 'the new root to sign', isOver);
    },
    fix: 'see in the log of the proxy that the finding names why it does not take the bundle, or restart the proxy',
    note: '`--root-ack-policy continue` limits how long the new root waits for proxies: [ca.md](ca.md#rotation-of-the-root)',
  },
  {
    symptom: 'Sidekey logs that the upstream has not signed an intermediate',
    words:
      '`the upstream has not signed an intermediate`, with the reason (Sidekey); `/readyz` says it when a third of the life of the intermediate is left',
    cause: 'the files of the upstream authority are faulty, or its server does not answer',
    own: diskUpstream,
    rule: 'upstream',
    break: breakFiles,
    byHand: mendFiles,
    fix: 'correct the problem that the finding names; Sidekey requests again by itself',
    note: 'the present intermediate signs until its end. [upstreams.md](upstreams.md) has the reasons for each kind of upstream',
  },
];
