/** A Workload API whose messages the test makes, so that they can be wrong, and a keeper that reads it. */

import { createPrivateKey } from 'node:crypto';
import type { TestContext } from 'node:test';
import type { JWTBundlesResponse, JWTSVIDResponse, X509SVID, X509SVIDResponse } from '../../src/gen/workload.ts';
import { Keeper, type KeeperOptions } from '../../src/svid-files/keeper.ts';
import type { FilesPlan } from '../../src/svid-files/plan.ts';
import type { StreamListener, SvidSource } from '../../src/svid-files/source.ts';
import { type Made, makeCertificate } from '../support/certificates.ts';
import { TestClock } from '../support/clock.ts';
import { recordingLog } from '../support/recording-log.ts';

export const WEB = 'spiffe://ilinux.io/web';

export const X509 = {
  certificate: { name: 'svid.pem', mode: 0o644 },
  key: { name: 'key.pem', mode: 0o600 },
  bundle: { name: 'bundle.pem', mode: 0o644 },
  intermediatesInBundle: false,
  federated: false,
  omitExpired: false,
};

export function makePlan(directory: string, more: Partial<FilesPlan> = {}): FilesPlan {
  return { directory, allowShared: false, choice: {}, x509: X509, jwts: [], ...more };
}

const root = await makeCertificate({ name: 'root' });
export const ROOT_PEM = root.pem;

export const keyOf = ({ privateKey }: Made): Buffer =>
  createPrivateKey(privateKey).export({ format: 'der', type: 'pkcs8' });

export async function makeSvid(
  spiffeId = WEB,
  { notAfter, ...more }: Partial<X509SVID> & { notAfter?: number } = {},
): Promise<X509SVID> {
  const leaf = await makeCertificate({ isCa: false, uris: [spiffeId], name: 'leaf', ...(notAfter && { notAfter }) });
  return { spiffeId, x509Svid: leaf.der, x509SvidKey: keyOf(leaf), bundle: root.der, hint: '', ...more };
}

export const x509Message = (...svids: X509SVID[]): X509SVIDResponse => ({ svids, crl: [], federatedBundles: {} });

/** Of WEB, unless the claims say otherwise. Not signed: what reads it does not verify it. */
export function makeToken(claims: Record<string, unknown>): string {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${encode({ alg: 'ES256' })}.${encode({ sub: WEB, ...claims })}.x`;
}

export class ScriptedSource implements SvidSource {
  readonly x509: StreamListener<X509SVIDResponse>[] = [];
  readonly bundles: StreamListener<JWTBundlesResponse>[] = [];
  readonly asked: (readonly string[])[] = [];
  tokens: () => Promise<JWTSVIDResponse> = async () => ({ svids: [] });
  open = 0;

  watchX509Svids(listener: StreamListener<X509SVIDResponse>): () => void {
    return this.#watch(this.x509, listener);
  }

  watchJwtBundles(listener: StreamListener<JWTBundlesResponse>): () => void {
    return this.#watch(this.bundles, listener);
  }

  #watch<T>(all: StreamListener<T>[], listener: StreamListener<T>): () => void {
    all.push(listener);
    this.open += 1;
    return () => {
      this.open -= 1;
    };
  }

  jwtSvids(audience: readonly string[]): Promise<JWTSVIDResponse> {
    this.asked.push(audience);
    return this.tokens();
  }
}

export function startKeeper(t: TestContext, plan: FilesPlan, more: Partial<KeeperOptions> = {}) {
  const clock = new TestClock();
  const source = new ScriptedSource();
  const { log, lines } = recordingLog();
  const keeper = new Keeper({ plan, source, reactions: [], log, clock, ...more });
  t.after(() => keeper.close());
  keeper.start();
  /** Lets promises and timers of no length run. */
  const settle = async () => {
    for (let round = 0; round < 5; round += 1) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(0);
  };
  return { clock, source, lines, keeper, settle };
}
