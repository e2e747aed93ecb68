import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { SidekeyError } from '../../src/base/errors.ts';
import { type Authority, authorityFile, makeIntermediate, makeRoot, readAuthority } from '../../src/ca/authority.ts';
import { KeyCodec } from '../../src/ca/key-codec.ts';
import { pem } from '../../src/ca/pem.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { DAY, openTestAuthority, request, type TestAuthority, TRUST_DOMAIN, YEAR } from './support.ts';

/** The paths of the only root and the only intermediate. */
function filesOf(dir: string): { root: string; intermediate: string } {
  const find = (role: string) => path.join(dir, readdirSync(dir).find((name) => name.startsWith(role))!);
  return { root: find('root'), intermediate: find('intermediate') };
}

async function refusal(authority: TestAuthority, changes = {}): Promise<string> {
  const error = await authority.restart(changes).then(
    () => assert.fail('it opened'),
    (e: unknown) => e,
  );
  assert.ok(error instanceof SidekeyError, String(error));
  assert.equal(error.code, 'ERR_CA');
  return error.message;
}

async function openTwo(t: TestContext) {
  const [one, other] = [await openTestAuthority(t), await openTestAuthority(t)];
  return { one, other, files: filesOf(one.dir), otherFiles: filesOf(other.dir) };
}

async function readRoot(file: string): Promise<Authority> {
  const text = readFileSync(file, 'utf8');
  return readAuthority('root', TRUST_DOMAIN, text, (await new KeyCodec().read(text)).key);
}

const blocks = (file: string) => readFileSync(file, 'utf8').split(/(?=-----BEGIN)/);

test('the directory is 0700, and each authority is one file of mode 0600 with certificate and key', async (t) => {
  const { dir } = await openTestAuthority(t);
  const mode = (file: string) => (statSync(file).mode & 0o777).toString(8);
  assert.equal(mode(dir), '700');
  for (const name of readdirSync(dir)) assert.equal(mode(path.join(dir, name)), '600', name);
  for (const file of Object.values(filesOf(dir))) {
    assert.deepEqual(
      blocks(file).map((block) => block.slice(0, block.indexOf('\n'))),
      ['-----BEGIN CERTIFICATE-----', '-----BEGIN PRIVATE KEY-----'],
    );
  }
});

test('a restart loads the same authorities', async (t) => {
  const authority = await openTestAuthority(t);
  const before = authority.ca.authorities();
  const again = await authority.restart();
  assert.deepEqual(again.authorities(), before);
  assert.deepEqual(again.bundle(), authority.ca.bundle());
});

test('half-written files are removed', async (t) => {
  const authority = await openTestAuthority(t);
  const half = path.join(authority.dir, 'root-00.pem.new');
  writeFileSync(half, '-----BEGIN CERT');
  await authority.restart();
  assert.ok(!readdirSync(authority.dir).includes('root-00.pem.new'));
});

test('a key that does not match its certificate stops the start, with the file and the remedy', async (t) => {
  const { one, files, otherFiles } = await openTwo(t);
  writeFileSync(files.root, blocks(files.root)[0]! + blocks(otherFiles.root)[1]!);
  const message = await refusal(one);
  assert.ok(
    message.startsWith(`${files.root} contains a private key that does not match its certificate; restore the file`),
  );
});

test('a private key beside the right public key stops the start too', async (t) => {
  const { one, files, otherFiles } = await openTwo(t);
  const scalarOf = (file: string) =>
    createPrivateKey(blocks(file)[1]!).export({ format: 'der', type: 'pkcs8' }).subarray(36, 68);
  const damaged = createPrivateKey(blocks(files.root)[1]!).export({ format: 'der', type: 'pkcs8' });
  scalarOf(otherFiles.root).copy(damaged, 36);
  writeFileSync(files.root, blocks(files.root)[0]! + pem('PRIVATE KEY', damaged));
  assert.match(await refusal(one), /contains a private key that does not match its certificate; restore the file/);
});

test('an intermediate of another root stops the start; once its file is removed, a new one is created', async (t) => {
  const { one, files, otherFiles } = await openTwo(t);
  const stray = path.join(one.dir, path.basename(otherFiles.intermediate));
  rmSync(files.intermediate);
  writeFileSync(stray, readFileSync(otherFiles.intermediate));
  const message = await refusal(one);
  assert.ok(message.startsWith(`${stray} is not signed by a root in the same directory; remove the file`), message);
  rmSync(stray);
  const bundle = one.ca.bundle();
  assert.deepEqual((await one.restart()).bundle(), bundle);
});

test('authorities of another trust domain stop the start', async (t) => {
  const authority = await openTestAuthority(t);
  const message = await refusal(authority, { trustDomain: parseTrustDomain('other.example') });
  assert.match(
    message,
    /an authority of URI:spiffe:\/\/ilinux\.io, not of spiffe:\/\/other\.example; give --trust-domain ilinux\.io, or another data directory \(--data-dir\)/,
  );
});

test('files with other contents stop the start', async (t) => {
  const authority = await openTestAuthority(t);
  const { root, intermediate } = filesOf(authority.dir);
  const whole = readFileSync(root, 'utf8');
  const leaf = await authority.ca.issue(request());
  const cases: [string, RegExp][] = [
    ['', /does not contain exactly one private key; /],
    [whole + whole, /does not contain exactly one private key; /],
    [blocks(intermediate)[0]! + whole, /does not contain exactly one certificate; /],
    [blocks(root)[0]!, /does not contain exactly one private key; /],
    [whole.replace('MII', 'AAA'), /contains a certificate that cannot be read; /],
    [whole.replace('KEY-----\nMI', 'KEY-----\nAA'), /contains a private key that cannot be read; /],
    [blocks(intermediate).join(''), /is not self-signed; /],
    [
      leaf.certificateChain.split(/(?<=END CERTIFICATE-----\n)/)[0]! + leaf.privateKey,
      /contains a certificate that is not a CA certificate; /,
    ],
  ];
  for (const [text, expected] of cases) {
    writeFileSync(root, text);
    assert.match(await refusal(authority), expected);
  }
  writeFileSync(root, whole);
  renameSync(root, path.join(authority.dir, 'root-00.pem'));
  assert.match(await refusal(authority), /root-00\.pem contains the authority of root-[0-9a-f]{40}\.pem; /);
});

test('a message about a file never contains its key', async (t) => {
  const { one, files, otherFiles } = await openTwo(t);
  const key = blocks(otherFiles.root)[1]!;
  writeFileSync(files.root, blocks(files.root)[0]! + key);
  const error = await one.restart().catch((e: unknown) => e as Error);
  assert.ok(error instanceof Error && !`${error.stack}${error.cause}`.includes(key.split('\n')[1]!));
});

test('a damaged state.json stops the start, with the remedy', async (t) => {
  const authority = await openTestAuthority(t);
  for (const text of [
    '',
    '{}',
    '{"sequenceNumber":-1,"rootIds":[],"slots":{}}',
    '{"sequenceNumber":1,"slots":{}}',
    '{"sequenceNumber":1,"rootIds":[],"slots":{"a":null}}',
    '{"sequenceNumber":1,"rootIds":[],"slots":{"a":{"state":"trusted","since":1}}}',
    '{"sequenceNumber":1,"rootIds":[],"slots":{"a":{"state":"active"}}}',
  ]) {
    writeFileSync(path.join(authority.dir, 'state.json'), text);
    assert.match(await refusal(authority), /state\.json is damaged; remove it/);
  }
});

test('without states, as an earlier version left them or as the remedy says, every root is trusted', async (t) => {
  const authority = await openTestAuthority(t);
  const { clock, ca } = authority;
  clock.set(clock.now() - YEAR);
  await ca.issue(request());
  const [trusted] = [ca.bundle()];
  assert.equal(trusted.x509Authorities.length, 2);
  const state = path.join(authority.dir, 'state.json');
  const { sequenceNumber, rootIds } = JSON.parse(readFileSync(state, 'utf8'));
  rmSync(state);
  const old = path.join(authority.dir, 'bundle.json');
  writeFileSync(old, JSON.stringify({ sequenceNumber, rootIds }));
  assert.deepEqual((await authority.restart()).bundle(), trusted);
  assert.equal(existsSync(old), false);
  rmSync(state);
  const again = (await authority.restart()).bundle();
  const now = clock.now() / 1000;
  assert.deepEqual(again, { ...trusted, sequenceNumber: now, documentNumber: now });
});

test('an intermediate below others is read with them, and its chain is given out without the root', async (t) => {
  const { dir, clock, restart } = await openTestAuthority(t);
  const { root, intermediate } = filesOf(dir);
  const making = { trustDomain: TRUST_DOMAIN, subject: [], now: clock.now() };
  const top = await readRoot(root);
  const upper = await makeIntermediate(making, top, DAY);
  const lower = await makeIntermediate(making, upper, DAY);
  const stranger = await makeIntermediate(making, await makeRoot(making, 10 * YEAR), DAY);
  rmSync(intermediate);
  const file = path.join(dir, `intermediate-${lower.id}.pem`);
  const key = await new KeyCodec().write(lower.privateKey!);
  writeFileSync(file, authorityFile({ ...lower, above: [stranger.certificate] }, key));
  await assert.rejects(restart(), /contains a certificate that the next one did not sign; /);
  writeFileSync(file, authorityFile({ ...lower, above: [upper.certificate] }, key));
  const { certificateChain } = await (await restart()).issue(request());
  const [leaf, ...chain] = certificateChain
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .map((one) => new X509Certificate(one));
  assert.deepEqual(
    chain.map(({ fingerprint256 }) => fingerprint256),
    [lower, upper].map(({ certificate }) => certificate.fingerprint256),
  );
  assert.ok(leaf!.verify(lower.publicKey));
});

test('a directory that cannot be created is an error of the authority', async (t) => {
  const authority = await openTestAuthority(t);
  const file = path.join(authority.dir, 'state.json', 'ca');
  await assert.rejects(openTestAuthority(t, { dir: file }), { code: 'ERR_CA' });
});

test('the bundle of a restored snapshot has a number that no later one had', async (t) => {
  const { ca, dir, clock, restart } = await openTestAuthority(t, { rootPublishTime: 0 });
  const snapshot = path.join(dir, '..', 'snapshot');
  cpSync(dir, snapshot, { recursive: true });
  await ca.rotate('root');
  clock.advance(1000);
  await ca.rotate('root');
  const { sequenceNumber } = ca.bundle();
  await ca.close();
  rmSync(dir, { recursive: true });
  cpSync(snapshot, dir, { recursive: true });
  clock.advance(60_000);
  const again = await restart();
  await again.rotate('root');
  assert.ok(again.bundle().sequenceNumber > sequenceNumber);
});
