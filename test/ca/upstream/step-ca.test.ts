/**
 * A real step-ca behind `command`, where there is one: `$STEP_CA` names its binary. It is built with
 * `go get -tool github.com/smallstep/certificates/cmd/step-ca@v0.30.2` in a module of its own.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { homedir } from 'node:os';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../../../envoy-examples/demo/ports.ts';
import { SystemClock } from '../../../src/base/clock.ts';
import { CommandUpstream } from '../../../src/ca/upstream/command.ts';
import { proved } from '../../../src/ca/upstream/proved.ts';
import { tryLeaf } from '../../../src/ca/upstream/trial.ts';
import type { UpstreamAuthority } from '../../../src/ca/upstream/upstream.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { DAY, HOUR, TRUST_DOMAIN } from '../support.ts';
import { type CaOptions, makeCa, newKey, opensslFault } from './pki.ts';

const binary = process.env.STEP_CA || path.join(homedir(), '.cache/sidekey/step-ca/0.30.2/step-ca');

function whyNot(): string | false {
  try {
    accessSync(binary, constants.X_OK);
    return false;
  } catch {
    return `there is no step-ca at ${binary}: build one, or name it in $STEP_CA`;
  }
}

/** Signs with a one-time token of a JWK provisioner, as `step ca sign` does. */
const PROGRAM = `
import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
const [folder, base, provisioner] = process.argv.slice(2);
const csr = readFileSync(0, 'utf8');
const ca = readFileSync(folder + '/root.crt');
const now = Math.floor(Date.now() / 1000);
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const id = 'spiffe://' + process.env.SIDEKEY_TRUST_DOMAIN;
const claims = { iss: provisioner, aud: base + '/1.0/sign', sub: id, sans: [id], iat: now, nbf: now - 5, exp: now + 60, jti: randomUUID() };
const text = encode({ alg: 'ES256', kid: 'sidekey', typ: 'JWT' }) + '.' + encode(claims);
const key = createPrivateKey(readFileSync(folder + '/jwk.pem'));
const ott = text + '.' + sign('sha256', text, { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
const asked = request(base + '/1.0/sign', { method: 'POST', ca, headers: { 'Content-Type': 'application/json' } }, async (answer) => {
  let body = '';
  for await (const chunk of answer) body += chunk;
  if (answer.statusCode !== 201) {
    process.stderr.write(answer.statusCode + ' ' + body);
    process.exit(1);
  }
  process.stdout.write(JSON.parse(body).certChain.join('') + ca);
});
asked.end(JSON.stringify({ csr, ott, notAfter: process.env.SIDEKEY_CA_TTL + 's' }));
`;

const CA_TEMPLATE = JSON.stringify({
  subject: 0,
  sans: 0,
  keyUsage: ['certSign', 'crlSign'],
  basicConstraints: { isCA: true, maxPathLen: 0 },
}).replace('"subject":0,"sans":0', '"subject": {{ toJson .Insecure.CR.Subject }}, "sans": {{ toJson .SANs }}');

async function start(
  t: TestContext,
  issuerOptions: CaOptions = {},
): Promise<(provisioner: string) => UpstreamAuthority> {
  const folder = tempDir(t);
  const times = { notBefore: Date.now() - HOUR, notAfter: Date.now() + 30 * DAY };
  const root = await makeCa(times);
  const issuer = await makeCa({ ...times, name: 'issuer', ...issuerOptions }, root);
  const file = (name: string, content: string) => {
    writeFileSync(path.join(folder, name), content, { mode: 0o600 });
    return path.join(folder, name);
  };
  const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pkcs8 = { format: 'pem', type: 'pkcs8' } as const;
  file('jwk.pem', jwk.privateKey.export(pkcs8) as string);
  const publicJwk: JsonWebKey = jwk.publicKey.export({ format: 'jwk' });
  const key = { ...publicJwk, kid: 'sidekey', use: 'sig', alg: 'ES256' };
  const claims = { maxTLSCertDuration: '720h', defaultTLSCertDuration: '24h' };
  const [port] = await freePorts(1);
  const config = file(
    'ca.json',
    JSON.stringify({
      root: file('root.crt', root.certificate.toString()),
      crt: file('ca.crt', issuer.certificate.toString()),
      key: file('ca.key', issuer.privateKey.export({ format: 'pem', type: 'sec1' }) as string),
      address: `127.0.0.1:${port}`,
      dnsNames: ['127.0.0.1'],
      authority: {
        provisioners: [
          { type: 'JWK', name: 'plain', key, claims },
          { type: 'JWK', name: 'authorities', key, claims, options: { x509: { template: CA_TEMPLATE } } },
          {
            type: 'JWK',
            name: 'short',
            key,
            claims: { ...claims, maxTLSCertDuration: '2h', defaultTLSCertDuration: '1h' },
            options: { x509: { template: CA_TEMPLATE } },
          },
        ],
      },
    }),
  );
  const child = spawn(binary, [config], { cwd: folder, env: { HOME: folder }, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk;
    });
  }
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const base = `https://127.0.0.1:${port}`;
  const ca = readFileSync(path.join(folder, 'root.crt'));
  for (let tries = 0; !(await isUp(`${base}/health`, ca)); tries += 1) {
    assert.ok(tries < 200 && child.exitCode === null, said);
    await sleep(50);
  }
  const program = file('sign.mjs', PROGRAM);
  return (provisioner) => {
    const argv = [process.execPath, program, folder, base, provisioner];
    const source = new CommandUpstream({ argv, trustDomain: TRUST_DOMAIN, bundleFile: undefined });
    const clock = new SystemClock();
    return proved(source, {
      trustDomain: TRUST_DOMAIN,
      subject: [{ type: 'O', value: 'SPIFFE' }],
      clock,
      timeout: 30_000,
    });
  };
}

function isUp(url: string, ca: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    request(url, { ca, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    })
      .on('error', () => resolve(false))
      .end();
  });
}

describe('a real step-ca behind a program', { skip: whyNot() }, () => {
  test('signs, which openssl takes', async (t) => {
    const privateKey = newKey();
    const upstream = (await start(t))('authorities');
    const { chain, roots, notBefore, notAfter } = await upstream.mint({ privateKey, life: DAY });
    assert.equal(chain.length, 2);
    const leaf = await tryLeaf(chain[0]!, { trustDomain: TRUST_DOMAIN, privateKey, notBefore, notAfter });
    assert.equal(await opensslFault(t, leaf, chain, roots, Date.now()), undefined);
  });

  test('answers with a leaf from a plain provisioner, which is refused', async (t) => {
    const upstream = (await start(t))('plain');
    await assert.rejects(upstream.mint({ privateKey: newKey(), life: DAY }), /not a CA certificate/);
  });

  test('signs under an issuer with path length 0 without complaint, which is refused', async (t) => {
    const upstream = (await start(t, { pathLength: 0 }))('authorities');
    await assert.rejects(upstream.mint({ privateKey: newKey(), life: DAY }), /"CN=issuer" has path length 0/);
  });

  test('refuses a life over its maximum, and says so', async (t) => {
    const upstream = (await start(t))('short');
    await assert.rejects(
      upstream.mint({ privateKey: newKey(), life: DAY }),
      /status 1: 403 .*more than the authorized maximum/,
    );
  });
});
