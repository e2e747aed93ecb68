/** Certificates of every shape that Sidekey issues: each cohort has one chain and one time. */

import { type Authority, makeIntermediate, makeRoot } from '../../../src/ca/authority.ts';
import { checkLeaf } from '../../../src/ca/check.ts';
import { generateEcKeyPair, generateRsaKeyPair, type RsaKeyPair } from '../../../src/ca/key-pair.ts';
import { type Leaf, type LeafRequest, LeafWriter } from '../../../src/ca/leaf.ts';
import { localSigner } from '../../../src/ca/signer.ts';
import { parseSpiffeId } from '../../../src/spiffe/id.ts';
import type { AuthorityKeyType } from '../../../src/spiffe/key-types.ts';
import { Random } from '../../fuzz/random.ts';
import { DAY, HOUR, SECOND, TRUST_DOMAIN, YEAR } from '../support.ts';

export interface Cohort {
  /** `ec-p256 under rsa-4096`, with the year. */
  readonly name: string;
  /** Milliseconds since the epoch; all certificates are valid now. */
  readonly now: number;
  readonly root: Authority;
  readonly intermediate: Authority;
  readonly leafs: readonly { readonly request: LeafRequest; readonly leaf: Leaf }[];
}

const NOW = Date.UTC(2026, 5, 1, 12, 0, 0, 250);
/** The end of UTCTime. */
const TURN = Date.UTC(2050, 0, 1);

/** Types of root and intermediate, time, and the share of all leafs. */
const PLAN: readonly (readonly [AuthorityKeyType, AuthorityKeyType, number, number])[] = [
  ['ec-p256', 'ec-p256', NOW, 0.2],
  ['ec-p256', 'ec-p256', TURN - HOUR / 2, 0.15],
  ['ec-p256', 'ec-p256', TURN, 0.15],
  ['ec-p256', 'ec-p256', Date.UTC(2119, 1, 28, 23, 59, 59, 999), 0.1],
  ['ec-p384', 'ec-p384', NOW, 0.05],
  ['ec-p384', 'ec-p384', TURN + YEAR, 0.05],
  ['rsa-2048', 'rsa-2048', NOW, 0.05],
  ['rsa-2048', 'rsa-2048', TURN - 1, 0.05],
  ['rsa-3072', 'rsa-3072', NOW, 0.03],
  ['rsa-4096', 'rsa-4096', TURN + DAY, 0.02],
  // After a change of --ca-key-type.
  ['ec-p256', 'rsa-2048', NOW, 0.03],
  ['rsa-4096', 'ec-p256', NOW, 0.05],
  ['ec-p384', 'ec-p256', NOW, 0.03],
  ['rsa-2048', 'ec-p384', NOW, 0.02],
  ['ec-p256', 'ec-p384', NOW, 0.02],
];
/** Making one takes as long as hundreds of certificates, so a few are used again. */
const RSA_KEYS = 4;

/** About `count` leafs in all; the same seed gives the same requests, with other keys and serial numbers. */
export async function makeCohorts(seed: number, count: number): Promise<Cohort[]> {
  const random = new Random(seed);
  const rsaKeys = await Promise.all(Array.from({ length: RSA_KEYS }, generateRsaKeyPair));
  const cohorts: Cohort[] = [];
  for (const plan of PLAN) cohorts.push(await makeCohort(plan, random, rsaKeys, count));
  return cohorts;
}

async function makeCohort(
  [rootType, keyType, now, share]: (typeof PLAN)[number],
  random: Random,
  rsaKeys: readonly RsaKeyPair[],
  count: number,
): Promise<Cohort> {
  const making = { trustDomain: TRUST_DOMAIN, subject: [{ type: 'O', value: 'SPIFFE' } as const] };
  // The authorities may be new, or near their end.
  const [rootMade, made] = random.pick([
    [now, now],
    [now - YEAR / 2, now - DAY / 2],
    [now - YEAR + HOUR, now - DAY + HOUR],
  ] as const);
  const root = await makeRoot({ ...making, keyType: rootType, now: rootMade }, YEAR);
  const intermediate = await makeIntermediate({ ...making, keyType, now: made }, root, DAY);
  const signer = localSigner(intermediate);
  const writer = new LeafWriter(signer);
  const make = async (request: LeafRequest) => {
    const keyPair = request.keyType === 'rsa-2048' ? random.pick(rsaKeys) : generateEcKeyPair();
    const leaf = await writer.sign(writer.draft(request, keyPair));
    checkLeaf(leaf, request, signer);
    return { request, leaf };
  };
  const requests = Array.from({ length: Math.max(1, Math.round(count * share)) }, () => makeRequest(random, now));
  const leafs: Cohort['leafs'][number][] = [];
  while (leafs.length < requests.length) {
    leafs.push(...(await Promise.all(requests.slice(leafs.length, leafs.length + 64).map(make))));
  }
  const name = `${keyType} under ${rootType}, ${new Date(now).getUTCFullYear()}`;
  return { name, now, root, intermediate, leafs };
}

const ID_CHARACTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.';
const NAME_CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';
/** Around the lengths at which DER needs more bytes for a length. */
const PATH_LENGTHS = [1, 8, 20, 60, 100, 105, 108, 110, 120, 127, 128, 220, 236, 240, 255, 256, 1000, 2000];
const LIVES = [SECOND, 2 * SECOND, 90 * SECOND, HOUR, DAY, 400 * DAY];

function makeRequest(random: Random, now: number): LeafRequest {
  const text = (characters: string, length: number) =>
    Array.from({ length }, () => characters[random.below(characters.length)]).join('');
  const label = () => `a${text(NAME_CHARACTERS, random.below(30))}`;
  const name = () => `${random.chance(0.2) ? '*.' : ''}${label()}.${label()}.example`;
  return {
    spiffeId: parseSpiffeId(`spiffe://${TRUST_DOMAIN}/x${text(ID_CHARACTERS, random.pick(PATH_LENGTHS))}`),
    dnsNames: random.chance(0.5) ? [] : [...new Set(Array.from({ length: 1 + random.below(6) }, name))],
    keyType: random.chance(0.2) ? 'rsa-2048' : 'ec-p256',
    now,
    notAfter: now + random.pick(LIVES),
  };
}
