/** The authorities, leaves and revocation lists of the matrix. */

import type { X509Certificate } from 'node:crypto';
import type { RevocationReason } from '../../../src/base/revocation.ts';
import { type Authority, makeIntermediate, makeRoot } from '../../../src/ca/authority.ts';
import { encodeRevoked, writeCrl } from '../../../src/ca/crl.ts';
import { LeafWriter } from '../../../src/ca/leaf.ts';
import { localSigner } from '../../../src/ca/signer.ts';
import { EPOCH_TRUST_DOMAIN, makeTrustBundle, type TrustBundle } from '../../../src/spiffe/bundle.ts';
import { parseSpiffeId, parseTrustDomain, type TrustDomain, trustDomainId } from '../../../src/spiffe/id.ts';
import type { AuthorityKeyType } from '../../../src/spiffe/key-types.ts';
import { DAY, HOUR, SECOND, TRUST_DOMAIN, writeLeaf, YEAR } from '../../ca/support.ts';
import type { Credentials } from '../../support/mtls-client.ts';

const OTHER_DOMAIN = parseTrustDomain('other.test');
const SERVER_DOMAIN = parseTrustDomain('server.test');

export const LEAVES = [
  'leaf of I',
  'revoked leaf of I',
  'leaf of R',
  'revoked leaf of R',
  'leaf of J',
  'leaf of R2',
  'leaf of I2',
  'revoked leaf of I2',
  'leaf of another domain',
] as const;
export type LeafName = (typeof LEAVES)[number];

/** The client, or the server, that is revoked in tests beside the tables. */
export const REVOKED = 'revoked leaf of I';

/** A chain and its key, PEM. */
export type Certified = Pick<Credentials, 'cert' | 'key'>;

export interface Pki {
  /** Each has a chain without its root. */
  readonly leaves: Readonly<Record<LeafName, Certified>>;
  /** Two certificates for Envoy as a server, and their root, PEM; no list is about them. */
  readonly servers: readonly [Certified, Certified];
  readonly serverRoot: string;
  /** The other domain's bundle, without lists. */
  readonly otherDomain: TrustBundle;
  /** A bundle with the named authorities, lists and epoch, such as `R + CRL(R) + CRL(I) + epoch 1`. */
  bundle(blocks: string): TrustBundle;
  /** A leaf of I that ends at this time, in milliseconds since the epoch. */
  leafUntil(notAfter: number): Promise<Certified>;
  /** The bundle `R + CRL(R) + CRL(I)`, whose list of I ends at this time, in milliseconds since the epoch. */
  bundleUntil(nextUpdate: number): Promise<TrustBundle>;
}

export async function makePki(): Promise<Pki> {
  const now = Math.floor(Date.now() / SECOND) * SECOND;
  const authorities = await makeAuthorities();
  const { R, other, server } = authorities;
  const leaves = await makeLeaves(authorities, now);
  const { named, ofI } = await makeLists(authorities, leaves, now);
  const anchors: Readonly<Record<string, Authority>> = { R, R2: authorities.R2, I: authorities.I };
  const epochs: Readonly<Record<string, Buffer>> = {
    'epoch 1': await makeEpoch(),
    'epoch 2': await makeEpoch(),
    'epoch 3': await makeEpoch(),
  };
  return {
    leaves,
    servers: [await makeLeaf(server, now, SERVER_DOMAIN), await makeLeaf(server, now, SERVER_DOMAIN)],
    serverRoot: server.certificate.toString(),
    otherDomain: bundleOf([other.certificate], [], OTHER_DOMAIN),
    bundle(blocks) {
      const roots: X509Certificate[] = [];
      const crls: Buffer[] = [];
      let epoch: Buffer | undefined;
      for (const name of blocks.split(' + ')) {
        const [anchor, crl] = [anchors[name], named[name]];
        if (anchor !== undefined) roots.push(anchor.certificate);
        else if (crl !== undefined) crls.push(crl);
        else if (epochs[name] !== undefined) epoch = epochs[name];
        else throw new Error(`no block ${name}`);
      }
      return { ...bundleOf(roots, crls), epoch };
    },
    leafUntil: (notAfter) => makeLeaf(authorities.I, now, TRUST_DOMAIN, notAfter),
    async bundleUntil(nextUpdate) {
      return bundleOf([R.certificate], [named['CRL(R)']!, await ofI({ until: nextUpdate })]);
    },
  };
}

type Authorities = Awaited<ReturnType<typeof makeAuthorities>>;

/** R signs the intermediates I and J, R2 signs I2. Their keys are of all kinds, since they sign the lists too. */
async function makeAuthorities() {
  const root = (domain: TrustDomain, keyType?: AuthorityKeyType) => makeRoot(requestFor(domain, keyType), YEAR);
  const [R, R2] = await Promise.all([root(TRUST_DOMAIN, 'rsa-2048'), root(TRUST_DOMAIN, 'ec-p256')]);
  const under = (issuer: Authority, keyType: AuthorityKeyType) => {
    return makeIntermediate(requestFor(TRUST_DOMAIN, keyType), issuer, DAY);
  };
  const [I, J, I2] = await Promise.all([under(R, 'ec-p256'), under(R, 'ec-p384'), under(R2, 'rsa-2048')]);
  return { R, R2, I, J, I2, other: await root(OTHER_DOMAIN), server: await root(SERVER_DOMAIN) };
}

async function makeLeaves({ R, R2, I, J, I2, other }: Authorities, now: number) {
  return {
    'leaf of I': await makeLeaf(I, now),
    'revoked leaf of I': await makeLeaf(I, now),
    'leaf of R': await makeLeaf(R, now),
    'revoked leaf of R': await makeLeaf(R, now),
    'leaf of J': await makeLeaf(J, now),
    'leaf of R2': await makeLeaf(R2, now),
    'leaf of I2': await makeLeaf(I2, now),
    'revoked leaf of I2': await makeLeaf(I2, now),
    'leaf of another domain': await makeLeaf(other, now, OTHER_DOMAIN),
  } satisfies Record<LeafName, Certified>;
}

async function makeLeaf(authority: Authority, now: number, domain = TRUST_DOMAIN, notAfter = now + HOUR) {
  const signer = { ...localSigner(authority), ...(authority.role === 'root' ? { chain: '' } : {}) };
  const { certificateChain, privateKey, serial } = await writeLeaf(new LeafWriter(signer), {
    spiffeId: parseSpiffeId(`${trustDomainId(domain)}/web`),
    dnsNames: [],
    keyType: 'ec-p256',
    now,
    notAfter,
  });
  return { cert: certificateChain, key: privateKey, serial };
}

interface ListOptions {
  /** thisUpdate and nextUpdate, in milliseconds since the epoch. */
  readonly since?: number;
  readonly until?: number;
  readonly reason?: RevocationReason;
}

/** The lists by their names in the tables. Each revokes the revoked leaf of its authority, unless the name says more. */
async function makeLists(
  { R, R2, I, J, I2 }: Authorities,
  leaves: Awaited<ReturnType<typeof makeLeaves>>,
  now: number,
) {
  const list = (authority: Authority, serials: readonly string[], options: ListOptions = {}) => {
    // A year that UTCTime cannot have.
    const { since = now - HOUR, until = Date.UTC(2060, 0, 1), reason = 'key-compromise' } = options;
    return writeCrl(localSigner(authority), {
      revoked: serials.map((serial) => encodeRevoked({ serial, revokedAt: now, reason })),
      number: since,
      thisUpdate: since,
      nextUpdate: until,
    });
  };
  const revokedOfR = [leaves['revoked leaf of R'].serial];
  const ofR = (options?: ListOptions) => list(R, revokedOfR, options);
  const ofI = (options?: ListOptions) => list(I, [leaves['revoked leaf of I'].serial], options);
  const past = { since: now - 2 * HOUR, until: now - HOUR };
  const future = { since: now + HOUR };
  const older = { since: now - 2 * HOUR };
  const named: Readonly<Record<string, Buffer>> = {
    'CRL(R)': await ofR(),
    'CRL(I)': await ofI(),
    'CRL(J)': await list(J, []),
    'CRL(R2)': await list(R2, []),
    'CRL(I2)': await list(I2, [leaves['revoked leaf of I2'].serial]),
    'past CRL(R)': await ofR(past),
    'past CRL(I)': await ofI(past),
    'future CRL(R)': await ofR(future),
    'future CRL(I)': await ofI(future),
    'CRL(R) with I': await list(R, [...revokedOfR, I.certificate.serialNumber.toLowerCase()]),
    'hold CRL(I)': await ofI({ reason: 'certificate-hold' }),
    'empty CRL(I)': await list(I, []),
    'older CRL(I)': await ofI(older),
    'older empty CRL(I)': await list(I, [], older),
  };
  return { named, ofI };
}

/** A throw-away CA, PEM. */
async function makeEpoch(): Promise<Buffer> {
  const { certificate } = await makeRoot(requestFor(EPOCH_TRUST_DOMAIN), YEAR);
  return Buffer.from(certificate.toString());
}

function requestFor(trustDomain: TrustDomain, keyType: AuthorityKeyType = 'ec-p256') {
  return { trustDomain, subject: [{ type: 'O', value: 'SPIFFE' } as const], keyType, now: Date.now() };
}

function bundleOf(roots: readonly X509Certificate[], crls: readonly Buffer[], trustDomain = TRUST_DOMAIN): TrustBundle {
  return makeTrustBundle({ trustDomain, roots, crls, sequenceNumber: 1, refreshHint: undefined });
}
