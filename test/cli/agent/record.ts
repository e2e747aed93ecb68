/**
 * Records what the real `spire-agent` prints and writes: `scripts/node test/cli/agent/record.ts /path/to/spire-agent`. Go 1.26
 * builds it in about 3 minutes: in an empty module, `go get -tool github.com/spiffe/spire/cmd/spire-agent@v1.13.3` and `go
 * install github.com/spiffe/spire/cmd/spire-agent`.
 */

import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  HealthCheckResponse,
  type HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../../src/gen/grpc/health/v1/health.ts';
import {
  JWTBundlesResponse,
  JWTSVIDResponse,
  ValidateJWTSVIDResponse,
  X509SVIDResponse,
} from '../../../src/gen/workload.ts';
import { x509 } from '../../support/peculiar.ts';
import { type Answers, CASES } from './cases.ts';
import { type Outcome, runCase } from './run-case.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const WEB = 'spiffe://example.org/web';
const API = 'spiffe://example.org/api';

interface Made {
  readonly der: Buffer;
  readonly subject: string;
  readonly keys: webcrypto.CryptoKeyPair;
}

let serial = 1;

async function make(subject: string, issuer: Made | undefined, uri: string): Promise<Made> {
  const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const isLeaf = new URL(uri).pathname !== '';
  serial += 1;
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: serial.toString(16).padStart(2, '0'),
    subject,
    issuer: issuer?.subject ?? subject,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: ALGORITHM,
    // The recording is used for years.
    notBefore: new Date(Date.UTC(2025, 0, 2, 3, 4, 5)),
    notAfter: new Date(Date.UTC(2125, 0, 2, 3, 4, serial)),
    extensions: [
      new x509.BasicConstraintsExtension(!isLeaf, undefined, true),
      new x509.KeyUsagesExtension(
        isLeaf ? x509.KeyUsageFlags.digitalSignature : x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: uri }]),
    ],
  });
  return { der: Buffer.from(made.rawData), subject, keys };
}

async function svidOf(uri: string, issuer: Made, bundle: Buffer, hint: string) {
  const leaf = await make('O=web', issuer, uri);
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', leaf.keys.privateKey));
  return { spiffeId: uri, x509Svid: Buffer.concat([leaf.der, issuer.der]), x509SvidKey: key, bundle, hint };
}

const encoded = (bytes: Uint8Array) => ({ messages: [Buffer.from(bytes).toString('base64')] });
const status = (code: number, details: string) => ({ status: { code, details } });
const jwks = Buffer.from('{"keys":[{"kty":"EC","kid":"a<b>","crv":"P-256","x":"eA","y":"eQ"}]}');

async function answersOf(): Promise<Record<string, Answers>> {
  const root = await make('CN=root', undefined, 'spiffe://example.org');
  const next = await make('CN=next', undefined, 'spiffe://example.org');
  const intermediate = await make('CN=intermediate', root, 'spiffe://example.org');
  const foreign = await make('CN=foreign', undefined, 'spiffe://other.example');
  const x509Svids = (partial: object) =>
    encoded(X509SVIDResponse.encode(X509SVIDResponse.fromPartial(partial)).finish());
  const jwts = (svids: object[]) => encoded(JWTSVIDResponse.encode(JWTSVIDResponse.fromPartial({ svids })).finish());
  const bundles = encoded(
    JWTBundlesResponse.encode(JWTBundlesResponse.fromPartial({ bundles: { 'spiffe://example.org': jwks } })).finish(),
  );
  const claims = { sub: WEB, aud: ['db'], exp: 4_000_000_000, 'a<b': null, nested: { z: 1.5, a: true } };
  const valid = encoded(
    ValidateJWTSVIDResponse.encode(ValidateJWTSVIDResponse.fromPartial({ spiffeId: WEB, claims })).finish(),
  );
  const health = (value: ServingStatus) => encoded(HealthCheckResponse.encode({ status: value }).finish());
  const both = Buffer.concat([root.der, next.der]);
  const denied = status(7, 'no identity issued');
  const names = [
    'SpiffeWorkloadAPI/FetchX509SVID',
    'SpiffeWorkloadAPI/FetchJWTBundles',
    'SpiffeWorkloadAPI/FetchJWTSVID',
    'SpiffeWorkloadAPI/ValidateJWTSVID',
    'grpc.health.v1.Health/Check',
  ];
  const all = (...answers: Answers[string][]) =>
    Object.fromEntries(answers.map((answer, i) => [`/${names[i]}`, answer]));
  return {
    one: all(
      x509Svids({ svids: [await svidOf(WEB, intermediate, root.der, '')] }),
      bundles,
      jwts([{ spiffeId: WEB, svid: 'a.b.c' }]),
      valid,
      health(1),
    ),
    many: all(
      x509Svids({
        svids: [await svidOf(WEB, intermediate, both, 'internal'), await svidOf(API, intermediate, both, '')],
        federatedBundles: { 'spiffe://other.example': foreign.der },
        crl: [Buffer.from('crl')],
      }),
      bundles,
      jwts([
        { spiffeId: WEB, svid: 'a.b.c', hint: 'internal' },
        { spiffeId: API, svid: 'd.e.f' },
      ]),
      status(3, 'token has expired'),
      health(2),
    ),
    denied: all(
      denied,
      encoded(JWTBundlesResponse.encode(JWTBundlesResponse.fromPartial({})).finish()),
      denied,
      denied,
      status(14, 'not now'),
    ),
    silence: {},
  };
}

const agent = process.argv[2];
if (agent === undefined) throw new Error('give the path of spire-agent');
const answers = await answersOf();
const outcomes: Record<string, Outcome> = {};
for (const one of CASES) {
  outcomes[one.name] = await runCase(one, answers[one.answers]!, [agent]);
  console.log(one.name, outcomes[one.name]!.status, outcomes[one.name]!.stderr);
}
writeFileSync(
  path.join(import.meta.dirname, 'recorded.json'),
  `${JSON.stringify({ answers, outcomes }, undefined, 1)}\n`,
);
