import assert from 'node:assert/strict';
import type { KeyObject, X509Certificate } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type DiskFiles, DiskUpstream } from '../../../src/ca/upstream/disk.ts';
import { proved } from '../../../src/ca/upstream/proved.ts';
import { tryLeaf } from '../../../src/ca/upstream/trial.ts';
import type { Minted, UpstreamAuthority } from '../../../src/ca/upstream/upstream.ts';
import { NOBODY } from '../../support/child.ts';
import { TestClock } from '../../support/clock.ts';
import { x509 } from '../../support/peculiar.ts';
import { run } from '../../support/run.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { DAY, HOUR, listeningLog, SECOND, TRUST_DOMAIN, until } from '../support.ts';
import { type Ca, type CaOptions, type KeyType, makeCa, NOW, newKey, opensslFault } from './pki.ts';

interface Files extends Required<DiskFiles> {
  readonly folder: string;
}

type KeyForm = 'pkcs8' | 'sec1' | 'pkcs1';

function keyPem(key: KeyObject, form: KeyForm = 'pkcs8'): string {
  return key.export({ format: 'pem', type: form as 'pkcs8' }) as string;
}

function put(file: string, text: string, mode = 0o600): void {
  writeFileSync(`${file}.draft`, text, { mode });
  renameSync(`${file}.draft`, file);
}

const pems = (...cas: readonly Ca[]) => cas.map(({ certificate }) => certificate.toString()).join('');

function place(t: TestContext): Files {
  const folder = tempDir(t);
  const [certFile, keyFile, bundleFile] = ['ca.crt', 'ca.key', 'roots.crt'].map((name) => path.join(folder, name));
  return { folder, certFile: certFile!, keyFile: keyFile!, bundleFile: bundleFile! };
}

/** An issuer under a root, in files. */
async function writePki(files: Files, issuer: CaOptions = {}, root: CaOptions = {}): Promise<{ root: Ca; issuer: Ca }> {
  const top = await makeCa(root);
  const below = await makeCa({ name: 'issuer', ...issuer }, top);
  put(files.certFile, pems(below));
  put(files.keyFile, keyPem(below.privateKey));
  put(files.bundleFile!, pems(top));
  return { root: top, issuer: below };
}

interface Opened {
  readonly upstream: UpstreamAuthority;
  readonly disk: DiskUpstream;
  readonly clock: TestClock;
  readonly lines: ReturnType<typeof listeningLog>['lines'];
  mint(life?: number): Promise<Minted>;
}

async function open(t: TestContext, files: DiskFiles): Promise<Opened> {
  const clock = new TestClock(NOW);
  const { log, lines } = listeningLog();
  const disk = await DiskUpstream.open(files, { trustDomain: TRUST_DOMAIN, clock, log });
  const upstream = proved(disk, {
    trustDomain: TRUST_DOMAIN,
    subject: [{ type: 'O', value: 'SPIFFE' }],
    clock,
    timeout: 60_000,
  });
  t.after(() => upstream.close());
  const mint = (life = DAY) => upstream.mint({ privateKey: newKey(), life });
  return { upstream, disk, clock, lines, mint };
}

const prints = (certificates: readonly X509Certificate[]) => certificates.map(({ fingerprint256 }) => fingerprint256);

for (const [type, form] of [
  ['P-256', 'pkcs8'],
  ['P-256', 'sec1'],
  ['P-384', 'sec1'],
  ['P-521', 'pkcs8'],
  ['RSA', 'pkcs8'],
  ['RSA', 'pkcs1'],
] as const satisfies [KeyType, KeyForm][]) {
  test(`signs with a key of type ${type} as ${form}, which openssl's strict verification takes`, async (t) => {
    const files = place(t);
    const { root, issuer } = await writePki(files, { key: type });
    put(files.keyFile, keyPem(issuer.privateKey, form));
    const { upstream } = await open(t, files);
    assert.equal(upstream.problem(), undefined);
    const privateKey = newKey('P-384');
    const { chain, roots, notBefore, notAfter } = await upstream.mint({ privateKey, life: DAY });
    assert.deepEqual(prints(chain.slice(1)), prints([issuer.certificate]));
    assert.deepEqual(prints(roots), prints([root.certificate]));
    assert.equal(notAfter, NOW + DAY);
    const read = new x509.X509Certificate(chain[0]!.raw);
    const constraints = read.getExtension(x509.BasicConstraintsExtension)!;
    assert.deepEqual([constraints.ca, constraints.pathLength], [true, 0]);
    assert.match(chain[0]!.subject, /^O=SPIFFE\nserialNumber=\d+$/);
    assert.equal(chain[0]!.subjectAltName, 'URI:spiffe://ilinux.io');
    const leaf = await tryLeaf(chain[0]!, { trustDomain: TRUST_DOMAIN, privateKey, notBefore, notAfter });
    assert.equal(await opensslFault(t, leaf, chain, roots), undefined);
  });
}

test('takes what openssl writes: EC PARAMETERS before the key, text before a certificate', async (t) => {
  const files = place(t);
  const folder = files.folder;
  const ok = async (...words: string[]) => {
    const { status, stderr } = await run(['openssl', ...words]);
    assert.equal(status, 0, stderr);
  };
  await ok('ecparam', '-name', 'prime256v1', '-genkey', '-out', files.keyFile);
  chmodSync(files.keyFile, 0o600);
  const config = path.join(folder, 'cnf');
  writeFileSync(
    config,
    '[req]\ndistinguished_name=n\n[n]\n[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n',
  );
  await ok(
    ...['req', '-new', '-x509', '-key', files.keyFile, '-subj', '/CN=mine', '-days', '30', '-text'],
    ...['-config', config, '-extensions', 'ca', '-out', files.certFile],
  );
  const clock = new TestClock(Date.now() + SECOND);
  const { log } = listeningLog();
  const alone = { ...files, bundleFile: undefined };
  const disk = await DiskUpstream.open(alone, { trustDomain: TRUST_DOMAIN, clock, log });
  t.after(() => disk.close());
  assert.equal(disk.problem(), undefined);
  const upstream = proved(disk, { trustDomain: TRUST_DOMAIN, subject: [], clock, timeout: 60_000 });
  const { chain, roots } = await upstream.mint({ privateKey: newKey(), life: DAY });
  assert.deepEqual([chain.length, roots.length], [1, 1]);
});

test('intermediates and the root may be in the certificate file, in any order', async (t) => {
  const files = place(t);
  const root = await makeCa();
  const upper = await makeCa({ name: 'upper' }, root);
  const issuer = await makeCa({ name: 'issuer' }, upper);
  put(files.certFile, pems(root, issuer, upper));
  put(files.keyFile, keyPem(issuer.privateKey));
  const { disk, mint } = await open(t, { ...files, bundleFile: undefined });
  assert.deepEqual(prints((await mint()).chain.slice(1)), prints([issuer.certificate, upper.certificate]));
  assert.deepEqual(prints(await disk.trusted()), prints([root.certificate]));
});

test('the intermediate ends with its issuer', async (t) => {
  const files = place(t);
  await writePki(files, { notAfter: NOW + 2 * HOUR });
  const { mint, clock } = await open(t, files);
  const { notAfter, chain } = await mint(10 * HOUR);
  assert.equal(notAfter, NOW + 2 * HOUR);
  assert.equal(chain[0]!.validToDate.getTime(), NOW + 2 * HOUR);
  clock.advance(1.5 * HOUR);
  assert.equal((await mint(2 * HOUR)).notAfter, NOW + 2 * HOUR);
  await assert.rejects(mint(10 * HOUR), /its remaining lifetime is too short/);
});

test('two Sidekeys with the same files are one trust domain', async (t) => {
  const files = place(t);
  await writePki(files);
  const both = await Promise.all([open(t, files), open(t, files)]);
  const [one, two] = await Promise.all(
    both.map(async ({ upstream }) => {
      const privateKey = newKey();
      return { privateKey, minted: await upstream.mint({ privateKey, life: DAY }) };
    }),
  );
  assert.deepEqual(prints(one!.minted.roots), prints(two!.minted.roots));
  const { chain, notBefore, notAfter } = one!.minted;
  const leaf = await tryLeaf(chain[0]!, {
    trustDomain: TRUST_DOMAIN,
    privateKey: one!.privateKey,
    notBefore,
    notAfter,
  });
  assert.equal(await opensslFault(t, leaf, chain, two!.minted.roots), undefined);
});

describe('new files', () => {
  test('are read within seconds, and told', async (t) => {
    const files = place(t);
    await writePki(files);
    const { upstream, disk, clock, lines } = await open(t, files);
    let told = 0;
    upstream.changed!.add(() => {
      told += 1;
    });
    const { root } = await writePki(files, { key: 'P-384' });
    assert.equal(told, 0);
    clock.advance(5 * SECOND);
    await until(() => told === 1);
    assert.deepEqual(prints(await disk.trusted()), prints([root.certificate]));
    assert.equal(lines().at(-1)!.msg, 'files of the upstream read again');
    // Read again, but nothing is different.
    utimesSync(files.certFile, 1, 1);
    const before = lines().length;
    await disk.trusted();
    assert.equal(lines().length, before + 1);
    assert.equal(told, 1);
  });

  test('are read before a signature, without a wait', async (t) => {
    const files = place(t);
    await writePki(files);
    const { mint } = await open(t, files);
    const { issuer } = await writePki(files);
    assert.equal((await mint()).chain[1]!.fingerprint256, issuer.certificate.fingerprint256);
  });

  test('are noticed when a symbolic link changes, as Kubernetes and certbot renew', async (t) => {
    const files = place(t);
    const at = (name: string): Files => ({
      folder: name,
      certFile: path.join(name, 'ca.crt'),
      keyFile: path.join(name, 'ca.key'),
      bundleFile: path.join(name, 'roots.crt'),
    });
    const [one, two] = ['one', 'two'].map((name) => path.join(files.folder, name));
    for (const folder of [one!, two!]) mkdirSync(folder);
    await writePki(at(one!));
    const { issuer } = await writePki(at(two!));
    const link = path.join(files.folder, '..data');
    symlinkSync(one!, link);
    const { mint } = await open(t, at(link));
    await mint();
    symlinkSync(two!, `${link}.new`);
    renameSync(`${link}.new`, link);
    rmSync(one!, { recursive: true });
    assert.equal((await mint()).chain[1]!.fingerprint256, issuer.certificate.fingerprint256);
  });

  interface Broken {
    readonly is: string;
    breakIt(files: Files, pki: { root: Ca; issuer: Ca }): void | Promise<void>;
    readonly reason: RegExp;
    /** The files themselves do not change, so they are not read again. */
    readonly onlyAtStart?: true;
  }
  const BROKEN: readonly Broken[] = [
    {
      is: 'a truncated certificate',
      breakIt: ({ certFile }, { issuer }) => put(certFile, pems(issuer).slice(0, 300)),
      reason: /ca\.crt has a certificate that is cut off/,
    },
    {
      is: 'an empty certificate file',
      breakIt: ({ certFile }) => put(certFile, ''),
      reason: /ca\.crt has no certificate/,
    },
    { is: 'a missing certificate', breakIt: ({ certFile }) => rmSync(certFile), reason: /ca\.crt: ENOENT/ },
    {
      is: 'a truncated key',
      breakIt: ({ keyFile }, { issuer }) => put(keyFile, keyPem(issuer.privateKey).slice(0, 80)),
      reason: /ca\.key has a private key that cannot be read/,
    },
    { is: 'an empty key file', breakIt: ({ keyFile }) => put(keyFile, ''), reason: /ca\.key has 0 private keys/ },
    {
      is: 'a swapped key',
      breakIt: ({ keyFile }) => put(keyFile, keyPem(newKey())),
      reason: /the key in .*ca\.key does not belong to a certificate in .*ca\.crt/,
    },
    {
      is: 'a key of another type',
      breakIt: ({ keyFile }) => put(keyFile, keyPem(newKey('RSA'))),
      reason: /does not belong to a certificate/,
    },
    {
      is: 'an Ed25519 key',
      breakIt: ({ keyFile }) => put(keyFile, keyPem(newKey('Ed25519'))),
      reason: /ca\.key has a key that is of type ed25519/,
    },
    {
      is: 'an encrypted key',
      breakIt: ({ keyFile }, { issuer }) =>
        put(
          keyFile,
          issuer.privateKey.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' }) as string,
        ),
      reason: /has a key that is encrypted/,
    },
    {
      is: 'an encrypted key in the old form',
      breakIt: ({ keyFile }, { issuer }) =>
        put(
          keyFile,
          issuer.privateKey.export({ format: 'pem', type: 'sec1', cipher: 'aes-256-cbc', passphrase: 'x' }) as string,
        ),
      reason: /has a key that is encrypted/,
    },
    {
      is: 'a key that others may read',
      breakIt: ({ keyFile }) => chmodSync(keyFile, 0o644),
      reason: /ca\.key: it is open to others/,
    },
    {
      is: 'a certificate that others may write',
      breakIt: ({ certFile }) => chmodSync(certFile, 0o666),
      reason: /ca\.crt: it can be written by others/,
    },
    {
      is: 'a folder that others may write',
      breakIt: ({ folder }) => chmodSync(folder, 0o777),
      reason: /can be written by everybody/,
      onlyAtStart: true,
    },
    {
      is: 'a key in the certificate file',
      breakIt: ({ certFile }, { issuer }) => put(certFile, pems(issuer) + keyPem(issuer.privateKey)),
      reason: /ca\.crt has a private key beside/,
    },
    {
      is: 'another root',
      breakIt: async ({ bundleFile }) => put(bundleFile!, pems(await makeCa({ name: 'another' }))),
      reason: /its issuer "CN=root" is missing/,
    },
    {
      is: 'an intermediate in the bundle',
      breakIt: ({ bundleFile }, { root, issuer }) => put(bundleFile!, pems(root, issuer)),
      reason: /roots\.crt has "CN=issuer", which is not self-signed: a bundle file may contain only roots/,
    },
    {
      is: 'an empty bundle',
      breakIt: ({ bundleFile }) => put(bundleFile!, '\n'),
      reason: /roots\.crt has no certificate/,
    },
    {
      is: 'an issuer with path length 0',
      breakIt: async (files) => void (await writePki(files, { pathLength: 0 })),
      reason: /"CN=issuer" has path length 0: it allows no CA under it/,
    },
    {
      is: 'a leaf',
      breakIt: async (files) => void (await writePki(files, { isCa: false })),
      reason: /"CN=issuer" is not a CA certificate/,
    },
    {
      is: 'an expired issuer',
      breakIt: async (files) => void (await writePki(files, { notAfter: NOW - 1 })),
      reason: /the certificate in .*ca\.crt expired/,
    },
    {
      is: 'an expired root',
      breakIt: async (files) => void (await writePki(files, {}, { notAfter: NOW - 1 })),
      reason: /"CN=root" expired/,
    },
    {
      is: 'an issuer of another trust domain',
      breakIt: async (files) => void (await writePki(files, { uris: ['spiffe://other.example'] })),
      reason: /belongs to "spiffe:\/\/other.example"/,
    },
    {
      is: 'no issuer in the file',
      breakIt: async ({ bundleFile }) => put(bundleFile!, 'x'.repeat(2 * 1024 * 1024)),
      reason: /roots\.crt: it has .*; at most 1048576 bytes are read/,
    },
  ];
  for (const { is, breakIt, reason, onlyAtStart } of BROKEN) {
    if (!onlyAtStart)
      test(`that are broken (${is}) change nothing, and the log says why, once`, async (t) => {
        const files = place(t);
        const pki = await writePki(files);
        const { upstream, disk, clock, lines, mint } = await open(t, files);
        await breakIt(files, pki);
        clock.advance(5 * SECOND);
        await until(() => upstream.problem() !== undefined);
        assert.match(upstream.problem()!, reason);
        const error = lines().at(-1)! as { level: string; problem?: string };
        assert.equal(error.level, 'error');
        assert.match(error.problem!, reason);
        assert.equal((await mint()).chain[1]!.fingerprint256, pki.issuer.certificate.fingerprint256);
        const before = lines().length;
        await disk.trusted();
        assert.equal(lines().length, before);
        // Mended.
        chmodSync(files.folder, 0o700);
        const { issuer } = await writePki(files);
        assert.equal((await mint()).chain[1]!.fingerprint256, issuer.certificate.fingerprint256);
        assert.equal(upstream.problem(), undefined);
      });

    test(`that are broken at the start (${is}) sign nothing until they are mended`, async (t) => {
      const files = place(t);
      await breakIt(files, await writePki(files));
      const { upstream, mint } = await open(t, files);
      assert.match(upstream.problem()!, reason);
      await assert.rejects(mint(), (error: Error & { code: string }) => {
        assert.equal(error.code, 'ERR_UPSTREAM');
        assert.match(error.message, new RegExp(`^the upstream authority \\(disk ${files.certFile}\\): `));
        assert.match(error.message, reason);
        return true;
      });
      chmodSync(files.folder, 0o700);
      await writePki(files);
      assert.equal((await mint()).chain.length, 2);
    });
  }

  test('of another user are not read', {
    skip: process.getuid!() !== 0 && 'only root can give files away',
  }, async (t) => {
    const files = place(t);
    await writePki(files);
    chownSync(files.keyFile, NOBODY, NOBODY);
    const { upstream } = await open(t, files);
    assert.match(upstream.problem()!, /ca\.key: it belongs to uid 65534/);
  });
});

test('a file that becomes valid later is taken when it is', async (t) => {
  const files = place(t);
  await writePki(files, { notBefore: NOW + HOUR });
  const { upstream, clock } = await open(t, files);
  assert.match(upstream.problem()!, /not valid before/);
  clock.set(NOW + HOUR + SECOND);
  clock.advance(5 * SECOND);
  await until(() => upstream.problem() === undefined);
});

test('a closed one looks at its files no more', async (t) => {
  const files = place(t);
  await writePki(files);
  const { upstream, clock } = await open(t, files);
  await upstream.close();
  assert.equal(clock.pending, 0);
});
