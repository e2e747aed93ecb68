/** SPIRE's bundles: the own roots as PEM, those of other trust domains as SPIFFE bundle documents. */

import { createPublicKey, X509Certificate } from 'node:crypto';
import { parseTrustDomain, type TrustDomain } from '../spiffe/index.ts';
import { fault, isObject, type JsonInput, listIn } from './json-input.ts';

/** Maximum number of bundles, and of authorities in each. */
const MAX = 1_000;
const RULE = 'give what spire-server prints with -output json';

/** The roots of the own bundle, in the output of `spire-server bundle show -output json`; without tainted ones. */
export function ownRoots(input: JsonInput, trustDomain: TrustDomain): X509Certificate[] {
  const { from, value } = input;
  if (value.trust_domain !== trustDomain)
    throw fault(`${from} /trust_domain`, `it is not ${trustDomain}`, 'give the bundle of the trust domain itself');
  return authoritiesOf(value, 'x509_authorities', from)
    .filter(({ tainted }) => tainted !== true)
    .map((one, index) => certificate(one.asn1, `${from} /x509_authorities/${index}`));
}

export interface ForeignBundle {
  readonly trustDomain: string;
  /** As `sidekey bundle set` takes it. */
  readonly document: object;
}

/** The bundles of other trust domains, in the output of `spire-server bundle list -output json`. @throws ERR_CONFIG */
export function foreignBundles(input: JsonInput, own: TrustDomain): ForeignBundle[] {
  const bundles = listIn(input, 'bundles');
  if (bundles.length > MAX) throw fault(input.from, `it has ${bundles.length} bundles`, `give at most ${MAX}`);
  return bundles.flatMap((bundle, index) => {
    const at = `${input.from} /bundles/${index}`;
    const name = domainOf(bundle.trust_domain, at);
    if (name === own) return [];
    const x509 = authoritiesOf(bundle, 'x509_authorities', at).map((one, each) => {
      const { publicKey, raw } = certificate(one.asn1, `${at}/x509_authorities/${each}`);
      return { use: 'x509-svid', ...publicKey.export({ format: 'jwk' }), x5c: [raw.toString('base64')] };
    });
    const jwt = authoritiesOf(bundle, 'jwt_authorities', at).map((one, each) =>
      jwtKey(one, `${at}/jwt_authorities/${each}`),
    );
    const [sequence, hint] = [bundle.sequence_number, bundle.refresh_hint].map(wholeNumber);
    return [
      {
        trustDomain: name,
        document: {
          keys: [...x509, ...jwt],
          ...(sequence === undefined || sequence === 0 ? {} : { spiffe_sequence: sequence }),
          ...(hint === undefined || hint === 0 ? {} : { spiffe_refresh_hint: hint }),
        },
      },
    ];
  });
}

export interface SpireRelationship {
  readonly trustDomain: string;
  readonly url: string;
  readonly profile: string;
}

/** The relationships in the output of `spire-server federation list -output json`. @throws ERR_CONFIG */
export function relationships(input: JsonInput): SpireRelationship[] {
  return listIn(input, 'federation_relationships').map((one, index) => {
    const trustDomain = domainOf(one.trust_domain, `${input.from} /federation_relationships/${index}`);
    const { bundle_endpoint_url: url, https_spiffe: spiffe } = one;
    const id = isObject(spiffe) ? spiffe.endpoint_spiffe_id : undefined;
    return {
      ...{ trustDomain, url: typeof url === 'string' ? url : '' },
      profile: isObject(spiffe) ? `https_spiffe ${typeof id === 'string' ? id : ''}`.trim() : 'https_web',
    };
  });
}

/** Checked, since it becomes the name of a file. */
function domainOf(value: unknown, at: string): string {
  try {
    return parseTrustDomain(typeof value === 'string' ? value : '');
  } catch (thrown) {
    throw fault(`${at}/trust_domain`, (thrown as Error).message, RULE);
  }
}

function authoritiesOf(bundle: Readonly<Record<string, unknown>>, name: string, at: string) {
  const list = bundle[name] ?? [];
  if (!Array.isArray(list) || !list.every(isObject)) throw fault(`${at}/${name}`, 'it is not a list of objects', RULE);
  if (list.length > MAX) throw fault(`${at}/${name}`, `it has ${list.length}`, `give at most ${MAX}`);
  return list as Readonly<Record<string, unknown>>[];
}

function certificate(value: unknown, at: string): X509Certificate {
  try {
    return new X509Certificate(Buffer.from(String(value), 'base64'));
  } catch {
    throw fault(`${at}/asn1`, 'it is not a certificate in base64', RULE);
  }
}

function jwtKey({ public_key: key, key_id: kid }: Readonly<Record<string, unknown>>, at: string): object {
  if (typeof kid !== 'string' || kid === '') throw fault(`${at}/key_id`, 'it is missing', RULE);
  try {
    const read = createPublicKey({ key: Buffer.from(String(key), 'base64'), format: 'der', type: 'spki' });
    return { use: 'jwt-svid', kid, ...read.export({ format: 'jwk' }) };
  } catch {
    throw fault(`${at}/public_key`, 'it is not a public key in base64', RULE);
  }
}

/** Protobuf's JSON has 64-bit numbers as texts. */
function wholeNumber(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value;
  return Number.isSafeInteger(number) ? (number as number) : undefined;
}
