/** Verify all certificates of a cohort, each with another implementation. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { keyAlgorithm } from '../../../src/ca/authority-key.ts';
import type { AuthorityKeyType } from '../../../src/spiffe/key-types.ts';
import { x509 } from '../../support/peculiar.ts';
import { run } from '../../support/run.ts';
import { TRUST_DOMAIN } from '../support.ts';
import type { Cohort } from './cohorts.ts';

/** Why this program cannot be used here; false if it can. */
export function whyNot(program: 'openssl' | 'go'): string | false {
  const { status } = spawnSync(program, ['version']);
  return status === 0 ? false : `${program} is not installed`;
}

const firstOf = (chain: string) => chain.slice(0, chain.indexOf('-----END CERTIFICATE-----') + 26);

/** `openssl verify` with the strict rules, as a server's and as a client's certificate; two processes for each cohort. */
export async function verifyWithOpenSsl({ name, now, root, intermediate, leafs }: Cohort, dir: string): Promise<void> {
  mkdirSync(dir);
  writeFileSync(path.join(dir, 'root.pem'), root.certificate.toString());
  writeFileSync(path.join(dir, 'intermediate.pem'), intermediate.certificate.toString());
  const files = leafs.map(({ leaf }, i) => {
    const file = path.join(dir, `${i}.pem`);
    writeFileSync(file, firstOf(leaf.certificateChain));
    return file;
  });
  const authorities = ['-CAfile', path.join(dir, 'root.pem'), '-untrusted', path.join(dir, 'intermediate.pem')];
  const at = ['-attime', String(Math.floor(now / 1000))];
  const verify = async (purpose: string) => {
    const command = ['openssl', 'verify', '-x509_strict', '-purpose', purpose, ...at, ...authorities, ...files];
    const { status, stdout, stderr } = await run(command);
    assert.equal(status, 0, `${name}, ${purpose}: ${stderr.slice(0, 1000)}`);
    assert.equal(stdout.match(/: OK$/gm)?.length, leafs.length, `${name}, ${purpose}`);
  };
  await Promise.all(['sslserver', 'sslclient'].map(verify));
}

const LEAF_EXTENSIONS = [
  ['KeyUsagesExtension', true],
  ['ExtendedKeyUsageExtension', false],
  ['BasicConstraintsExtension', true],
  ['AuthorityKeyIdentifierExtension', false],
  ['SubjectKeyIdentifierExtension', false],
  ['SubjectAlternativeNameExtension', false],
];

/** Parses with `@peculiar/x509`, compares with the requests, and verifies the signatures. */
export async function verifyWithPeculiar({ name, intermediate, leafs }: Cohort): Promise<void> {
  const publicKey = intermediate.publicKey.toCryptoKey(keyAlgorithm(intermediate.keyType!), true, ['verify']);
  for (const { leaf, request } of leafs) {
    const read = new x509.X509Certificate(firstOf(leaf.certificateChain));
    const found = Array.from(read.extensions, (extension) => [extension.constructor.name, extension.critical]);
    assert.deepEqual(found, LEAF_EXTENSIONS, name);
    assert.deepEqual(read.getExtension(x509.SubjectAlternativeNameExtension)!.names.toJSON(), [
      { type: 'url', value: request.spiffeId },
      ...request.dnsNames.map((value) => ({ type: 'dns', value })),
    ]);
    assert.equal(read.getExtension(x509.BasicConstraintsExtension)!.ca, false);
    assert.equal(read.getExtension(x509.KeyUsagesExtension)!.usages, x509.KeyUsageFlags.digitalSignature);
    assert.equal(read.getExtension(x509.AuthorityKeyIdentifierExtension)!.keyId, intermediate.id);
    assert.deepEqual([read.notBefore.getTime(), read.notAfter.getTime()], [leaf.notBefore, leaf.notAfter]);
    assert.ok(await read.verify({ publicKey, signatureOnly: true }), `${name}: ${request.spiffeId}`);
  }
}

/** Go's names of the algorithms of signatures. */
const GO_ALGORITHMS: Readonly<Record<AuthorityKeyType, string>> = {
  'ec-p256': 'ECDSA-SHA256',
  'ec-p384': 'ECDSA-SHA384',
  'rsa-2048': 'SHA256-RSA',
  'rsa-3072': 'SHA256-RSA',
  'rsa-4096': 'SHA256-RSA',
};

/** Builds `main.go`. @returns the program */
export async function buildGoVerifier(dir: string): Promise<string> {
  copyFileSync(path.join(import.meta.dirname, 'main.go'), path.join(dir, 'main.go'));
  writeFileSync(path.join(dir, 'go.mod'), 'module verify\n\ngo 1.18\n');
  const program = path.join(dir, 'verify');
  const env = { ...process.env, GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local', GOPROXY: 'off', GOWORK: 'off' };
  const { status, stderr } = spawnSync('go', ['build', '-o', program, '.'], { cwd: dir, env, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return program;
}

/** Parses and verifies with Go's crypto/x509, all cohorts in one process. @returns the number of verified leafs */
export async function verifyWithGo(program: string, cohorts: readonly Cohort[]): Promise<number> {
  const child = spawn(program, { stdio: 'pipe' });
  const ended = once(child, 'close');
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  child.stdin.on('error', () => undefined); // its stderr has the reason
  for (const cohort of cohorts) {
    for (const line of goLines(cohort)) {
      if (!child.stdin.write(`${JSON.stringify(line)}\n`) && !child.stdin.destroyed) {
        await Promise.race([once(child.stdin, 'drain'), ended]);
      }
    }
  }
  child.stdin.end();
  const [status] = (await ended) as [number | null];
  const [stdout, stderr] = await said;
  assert.equal(status, 0, stderr);
  return Number(stdout);
}

function* goLines({ name, now, root, intermediate, leafs }: Cohort): Iterable<Record<string, unknown>> {
  const algorithm = GO_ALGORITHMS[intermediate.keyType!];
  const head = { cohort: name, now: Math.floor(now / 1000), root: root.certificate.toString(), algorithm };
  yield { ...head, uri: `spiffe://${TRUST_DOMAIN}` };
  for (const { leaf, request } of leafs) {
    yield {
      chain: leaf.certificateChain,
      key: leaf.privateKey,
      uri: request.spiffeId,
      dns: request.dnsNames,
      serial: leaf.serial,
      notBefore: leaf.notBefore / 1000,
      notAfter: leaf.notAfter / 1000,
    };
  }
}
