import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { SystemClock } from '../../../src/base/clock.ts';
import { proved } from '../../../src/ca/upstream/proved.ts';
import { tryLeaf } from '../../../src/ca/upstream/trial.ts';
import type { UpstreamAuthority } from '../../../src/ca/upstream/upstream.ts';
import { VaultUpstream } from '../../../src/ca/upstream/vault.ts';
import type { VaultServer } from '../../../src/ca/upstream/vault-client.ts';
import type { VaultAuth } from '../../../src/ca/upstream/vault-session.ts';
import { TestClock } from '../../support/clock.ts';
import { type OpenBao, openBaoForTests, startOpenBao } from '../../support/openbao.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { DAY, HOUR, listeningLog, SECOND, TRUST_DOMAIN, until } from '../support.ts';
import { makeCa, newKey, opensslFault } from './pki.ts';

const found = await openBaoForTests();
const skip = found.skip;

/** With each kind of mount that a test needs. */
let shared: Promise<OpenBao> | undefined;
const bao = () => {
  shared ??= prepare();
  return shared;
};

after(async () => {
  await (await shared)?.stop();
});

const SIGN = 'path "pki/root/sign-intermediate" { capabilities = ["update"] }';

async function prepare(): Promise<OpenBao> {
  assert.ok(found.skip === false);
  const server = await startOpenBao(found.file);
  const { ask } = server;
  const mount = (name: string) =>
    ask('POST', `sys/mounts/${name}`, { type: 'pki', config: { max_lease_ttl: '87600h' } });
  const root = (name: string, more: Record<string, unknown> = {}) =>
    ask('POST', `${name}/root/generate/internal`, {
      common_name: `root of ${name}`,
      key_type: 'ec',
      ttl: '8760h',
      ...more,
    });
  await Promise.all(['pki', 'pki-int', 'pki-bare', 'pki-zero', 'pki-short', 'pki-rsa', 'pki-capped'].map(mount));
  const { data: top } = await root('pki');
  await root('pki-zero', { max_path_length: 0 });
  await root('pki-short', { ttl: '2h' });
  await root('pki-rsa', { key_type: 'rsa' });
  await root('pki-capped');
  await ask('POST', 'sys/mounts/pki-capped/tune', { max_lease_ttl: '3h' });
  for (const name of ['pki-int', 'pki-bare']) {
    const { data } = await ask('POST', `${name}/intermediate/generate/internal`, { common_name: name, key_type: 'ec' });
    const { data: signed } = await ask('POST', 'pki/root/sign-intermediate', {
      csr: data.csr!,
      common_name: name,
      ttl: '4000h',
    });
    const withRoot = name === 'pki-int' ? `\n${top.certificate}` : '';
    await ask('POST', `${name}/intermediate/set-signed`, { certificate: `${signed.certificate}${withRoot}` });
  }
  await ask('POST', 'sys/policies/acl/sidekey', { policy: SIGN });
  await ask('POST', 'sys/auth/approle', { type: 'approle' });
  return server;
}

interface Opened {
  readonly upstream: UpstreamAuthority;
  readonly lines: ReturnType<typeof listeningLog>['lines'];
  readonly text: () => string;
}

interface Options {
  readonly auth?: VaultAuth;
  readonly mount?: string;
  readonly server?: Partial<VaultServer>;
  readonly bundleFile?: string;
  readonly clock?: TestClock;
  readonly timeout?: number;
}

function secret(t: TestContext, content: string, mode = 0o600): string {
  const file = path.join(tempDir(t), 'secret');
  writeFileSync(file, `${content}\n`, { mode });
  chmodSync(file, mode);
  return file;
}

function open(t: TestContext, base: VaultServer, auth: VaultAuth, options: Options = {}): Opened {
  const clock = options.clock ?? new SystemClock();
  const { log, lines } = listeningLog();
  const { mount = 'pki', bundleFile, timeout = 20_000 } = options;
  const source = VaultUpstream.open({ server: { ...base, ...options.server }, auth, mount, bundleFile, clock, log });
  const upstream = proved(source, {
    trustDomain: TRUST_DOMAIN,
    subject: [{ type: 'O', value: 'SPIFFE' }],
    clock,
    timeout,
  });
  t.after(() => upstream.close());
  return { upstream, lines, text: () => JSON.stringify(lines()) + upstream.problem() };
}

async function withRoot(t: TestContext, options: Options = {}): Promise<Opened> {
  const { server, rootToken } = await bao();
  return open(t, server, { method: 'token', tokenFile: secret(t, rootToken) }, options);
}

const mint = ({ upstream }: Opened, life = DAY, leastLife?: number) =>
  upstream.mint({ privateKey: newKey(), life, ...(leastLife === undefined ? {} : { leastLife }) });

async function reasonOf(opened: Opened): Promise<string> {
  const error = await mint(opened).then(
    () => assert.fail('it was signed'),
    (thrown: Error & { code: string }) => thrown,
  );
  assert.equal(error.code, 'ERR_UPSTREAM');
  return error.message.slice(error.message.indexOf('): ') + 3);
}

/** A token with these policies, in a file. */
async function tokenFile(t: TestContext, body: Record<string, unknown> = {}): Promise<{ file: string; token: string }> {
  const { ask } = await bao();
  const { auth } = await ask('POST', 'auth/token/create', { policies: ['sidekey'], ...body });
  return { file: secret(t, auth.client_token!), token: auth.client_token! };
}

async function appRole(
  t: TestContext,
  name: string,
  role: Record<string, unknown> = {},
): Promise<VaultAuth & { method: 'approle' }> {
  const { ask } = await bao();
  await ask('POST', `auth/approle/role/${name}`, { token_policies: 'sidekey', ...role });
  const { data: id } = await ask('GET', `auth/approle/role/${name}/role-id`);
  const { data: made } = await ask('POST', `auth/approle/role/${name}/secret-id`, {});
  return {
    method: 'approle',
    mount: 'approle',
    roleIdFile: secret(t, id.role_id!),
    secretIdFile: secret(t, made.secret_id!),
  };
}

describe('a real OpenBao', { skip }, () => {
  for (const [mount, length] of [
    ['pki', 1],
    ['pki-int', 2],
    ['pki-rsa', 1],
  ] as const) {
    test(`signs under ${mount}, which openssl's strict verification takes`, async (t) => {
      const opened = await withRoot(t, { mount });
      const privateKey = newKey();
      const { chain, roots, notBefore, notAfter, warnings } = await opened.upstream.mint({ privateKey, life: DAY });
      assert.equal(chain.length, length);
      assert.equal(roots.length, 1);
      // The path length of zero was asked for.
      assert.deepEqual(
        warnings.filter((text) => /path length/i.test(text)),
        [],
      );
      assert.ok(Math.abs(notAfter - Date.now() - DAY) < 10 * SECOND);
      assert.match(chain[0]!.subject, /^O=SPIFFE\nserialNumber=\d+$/);
      assert.equal(chain[0]!.subjectAltName, 'URI:spiffe://ilinux.io');
      const leaf = await tryLeaf(chain[0]!, { trustDomain: TRUST_DOMAIN, privateKey, notBefore, notAfter });
      assert.equal(await opensslFault(t, leaf, chain, roots, Date.now()), undefined);
    });
  }

  test('signs for an RSA key, and for P-384', async (t) => {
    const { upstream } = await withRoot(t);
    for (const type of ['RSA', 'P-384'] as const) {
      assert.equal((await upstream.mint({ privateKey: newKey(type), life: DAY })).chain.length, 1);
    }
  });

  test('ends the chain at an intermediate where the mount lacks its root: refused, or ended by a bundle file', async (t) => {
    assert.match(
      await reasonOf(await withRoot(t, { mount: 'pki-bare' })),
      /the chain ends at "CN=pki-bare", which is not self-signed, and its issuer "CN=root of pki" is missing.*--upstream-bundle-file/,
    );
    const { ask } = await bao();
    const { data } = await ask('GET', 'pki/cert/ca');
    const bundleFile = path.join(tempDir(t), 'roots');
    writeFileSync(bundleFile, data.certificate!);
    const opened = await withRoot(t, { mount: 'pki-bare', bundleFile });
    const { chain, roots } = await mint(opened);
    assert.equal(chain.length, 2);
    assert.equal(roots[0]!.fingerprint256, new X509Certificate(data.certificate!).fingerprint256);
  });

  test('refuses under an issuer with path length 0', async (t) => {
    assert.match(await reasonOf(await withRoot(t, { mount: 'pki-zero' })), /status 400: .*path length/);
  });

  test('caps the life at the maximum of the mount, with a warning', async (t) => {
    const { notAfter, warnings } = await mint(await withRoot(t, { mount: 'pki-capped' }));
    assert.ok(Math.abs(notAfter - Date.now() - 3 * HOUR) < 10 * SECOND);
    assert.match(warnings.join(), /TTL .*greater than|longer than permitted|max/i);
  });

  test('lets the child outlive its issuer: the end is the minimum', async (t) => {
    const { notAfter, chain } = await mint(await withRoot(t, { mount: 'pki-short' }), DAY, HOUR);
    assert.ok(notAfter < Date.now() + 2 * HOUR + SECOND);
    assert.ok(chain[0]!.validToDate.getTime() >= notAfter);
    const refused = mint(await withRoot(t, { mount: 'pki-short' }), DAY, 3 * HOUR);
    await assert.rejects(refused, /its remaining lifetime is too short: a certificate above it ends/);
  });

  test('has no PKI engine at that path', async (t) => {
    const reason = await reasonOf(await withRoot(t, { mount: 'nothing' }));
    assert.match(reason, /status 40[34].*(--vault-mount|policy of the token)/);
  });

  describe('with a token', () => {
    test('that may sign and do nothing else', async (t) => {
      const { file } = await tokenFile(t, { no_default_policy: false });
      const { server } = await bao();
      assert.equal((await mint(open(t, server, { method: 'token', tokenFile: file }))).chain.length, 1);
    });

    test('without the right to sign: the policy that it needs is named, and the token never', async (t) => {
      const { file, token } = await tokenFile(t, { policies: ['default'] });
      const { server } = await bao();
      const opened = open(t, server, { method: 'token', tokenFile: file });
      const reason = await reasonOf(opened);
      assert.match(
        reason,
        /status 403: permission denied; the policy of the token needs: path "pki\/root\/sign-intermediate" \{ capabilities = \["update"\] \}/,
      );
      assert.ok(!(reason + opened.text()).includes(token));
    });

    test('that is wrong', async (t) => {
      const { server } = await bao();
      const opened = open(t, server, { method: 'token', tokenFile: secret(t, 's.notoneofyours') });
      const reason = await reasonOf(opened);
      assert.match(reason, /the token in \/.*secret is not accepted: it answered with status 403/);
      await until(() => opened.upstream.problem() !== undefined);
      assert.ok(!(reason + opened.text()).includes('s.notoneofyours'));
    });

    test('that is revoked, and replaced in its file', async (t) => {
      const { server, ask } = await bao();
      const { file, token } = await tokenFile(t);
      const opened = open(t, server, { method: 'token', tokenFile: file });
      await mint(opened);
      await ask('POST', 'auth/token/revoke', { token });
      assert.match(await reasonOf(opened), /is not accepted/);
      const { token: next } = await tokenFile(t);
      writeFileSync(file, next);
      assert.equal((await mint(opened)).chain.length, 1);
    });

    test('that has to be renewed: it is, before its lease ends', async (t) => {
      const { server, ask } = await bao();
      const { file, token } = await tokenFile(t, { period: '1h' });
      const clock = new TestClock(Date.now());
      const opened = open(t, server, { method: 'token', tokenFile: file }, { clock });
      await mint(opened);
      const ttl = async () => Number((await ask('POST', 'auth/token/lookup', { token })).data.last_renewal_time ?? 0);
      assert.equal(await ttl(), 0);
      clock.advance(31 * 60 * SECOND);
      const giveUp = Date.now() + 10_000;
      while ((await ttl()) === 0) assert.ok(Date.now() < giveUp, 'it was not renewed');
    });

    test('that cannot be renewed ends with a reason', async (t) => {
      const { server, ask } = await bao();
      const { file, token } = await tokenFile(t, { ttl: '1h' });
      const clock = new TestClock(Date.now());
      const opened = open(t, server, { method: 'token', tokenFile: file }, { clock });
      await mint(opened);
      await ask('POST', 'auth/token/revoke', { token });
      clock.advance(31 * 60 * SECOND);
      await until(() => opened.upstream.problem() !== undefined);
      assert.match(opened.upstream.problem()!, /the token could not be renewed: it answered with status 403/);
      await until(() => {
        clock.advance(10 * SECOND);
        return /is not accepted/.test(opened.upstream.problem()!);
      });
      const { token: next } = await tokenFile(t);
      writeFileSync(file, next);
      await until(() => {
        clock.advance(10 * SECOND);
        return opened.upstream.problem() === undefined;
      });
    });

    for (const [is, content, mode, reason] of [
      ['others may read', 'x', 0o644, /is open to others/],
      ['is empty', '', 0o600, /secret is empty/],
      ['has two lines', 'one\ntwo', 0o600, /more than one line/],
    ] as const) {
      test(`whose file ${is}`, async (t) => {
        const { server } = await bao();
        const opened = open(t, server, { method: 'token', tokenFile: secret(t, content, mode) });
        assert.match(await reasonOf(opened), reason);
      });
    }
  });

  describe('with an AppRole', () => {
    test('gives a token, which is ended when Sidekey stops', async (t) => {
      const { server, ask } = await bao();
      const auth = await appRole(t, 'ends');
      const accessors = async () =>
        (await ask('GET', 'auth/token/accessors?list=true')).data.keys as unknown as string[];
      const before = await accessors();
      const opened = open(t, server, auth);
      await mint(opened);
      assert.equal((await accessors()).filter((one) => !before.includes(one)).length, 1);
      await opened.upstream.close();
      assert.equal((await accessors()).filter((one) => !before.includes(one)).length, 0);
    });

    test('whose token was revoked: logs in anew', async (t) => {
      const { server, ask } = await bao();
      const opened = open(t, server, await appRole(t, 'revoked'));
      await mint(opened);
      await ask('POST', 'sys/leases/revoke-prefix/auth/approle/login', {});
      assert.equal((await mint(opened)).chain.length, 1);
    });

    test('whose lease has ended: logs in anew', async (t) => {
      const { server } = await bao();
      const clock = new TestClock(Date.now());
      const opened = open(t, server, await appRole(t, 'short', { token_ttl: '60s', token_max_ttl: '60s' }), { clock });
      await mint(opened);
      clock.set(clock.now() + 90 * SECOND);
      assert.equal((await mint(opened)).chain.length, 1);
    });

    test('with a wrong secret, which is never shown', async (t) => {
      const { server } = await bao();
      const auth = await appRole(t, 'wrong');
      const opened = open(t, server, { ...auth, secretIdFile: secret(t, 'not-the-secret') });
      const reason = await reasonOf(opened);
      assert.match(reason, /the AppRole login \(auth\/approle\/login\) failed: it answered with status 400: invalid/);
      assert.ok(!(reason + opened.text()).includes('not-the-secret'));
      const { lines } = opened;
      await until(() => lines().length > 0);
      assert.equal(lines()[0]!.level, 'error');
    });

    test('that is not mounted', async (t) => {
      const { server } = await bao();
      const auth = await appRole(t, 'elsewhere');
      assert.match(await reasonOf(open(t, server, { ...auth, mount: 'other' })), /auth\/other\/login.*status 40/);
    });
  });

  test('in a namespace', async (t) => {
    const { ask, server, rootToken } = await bao();
    await ask('POST', 'sys/namespaces/team', {});
    await ask('POST', 'team/sys/mounts/pki', { type: 'pki' });
    await ask('POST', 'team/pki/root/generate/internal', { common_name: 'root of team', key_type: 'ec' });
    const opened = open(
      t,
      server,
      { method: 'token', tokenFile: secret(t, rootToken) },
      { server: { namespace: 'team' } },
    );
    const { roots } = await mint(opened);
    assert.equal(roots[0]!.subject, 'CN=root of team');
  });

  test('whose TLS certificate is of an unknown CA', async (t) => {
    const reason = await reasonOf(await withRoot(t, { server: { caFile: undefined } }));
    assert.match(reason, /its TLS certificate is not trusted \(\w+\): give the CA that signed it \(--vault-ca-file\)/);
  });

  test('whose TLS certificate is of another CA than the configured one', async (t) => {
    const caFile = path.join(tempDir(t), 'ca');
    writeFileSync(
      caFile,
      (await makeCa({ notBefore: Date.now() - DAY, notAfter: Date.now() + DAY })).certificate.toString(),
    );
    assert.match(await reasonOf(await withRoot(t, { server: { caFile } })), /is not trusted/);
  });

  test('whose TLS certificate has another name', async (t) => {
    const { server } = await bao();
    const address = server.address.replace('127.0.0.1', '127.0.0.2');
    assert.match(await reasonOf(await withRoot(t, { server: { address } })), /another name|cannot be reached/);
  });

  test('that is asked in clear text', async (t) => {
    const { server } = await bao();
    const address = server.address.replace('https:', 'http:');
    assert.match(await reasonOf(await withRoot(t, { server: { address } })), /status 400/);
  });

  test('that is sealed', async (t) => {
    assert.ok(found.skip === false);
    const own = await startOpenBao(found.file);
    t.after(own.stop);
    await own.ask('POST', 'sys/mounts/pki', { type: 'pki' });
    await own.ask('POST', 'pki/root/generate/internal', { common_name: 'root', key_type: 'ec' });
    const opened = open(t, own.server, { method: 'token', tokenFile: secret(t, own.rootToken) });
    await mint(opened);
    await own.ask('POST', 'sys/seal', {});
    assert.match(await reasonOf(opened), /it is sealed \(503\): unseal it/);
  });

  test('that is down', async (t) => {
    const opened = await withRoot(t, { server: { address: 'https://127.0.0.1:1' } });
    assert.match(await reasonOf(opened), /it cannot be reached: .*ECONNREFUSED/);
  });
});

describe('a server that is none', () => {
  async function server(t: TestContext, listener: RequestListener): Promise<VaultServer> {
    const http = createServer(listener).listen(0, '127.0.0.1');
    await new Promise((resolve) => http.once('listening', resolve));
    t.after(() => {
      http.closeAllConnections();
      http.close();
    });
    const { port } = http.address() as AddressInfo;
    return { address: `http://127.0.0.1:${port}`, namespace: undefined, caFile: undefined };
  }

  const lookup = '{"data":{"ttl":0,"renewable":false}}';
  const CASES: readonly { is: string; answer: RequestListener; reason: RegExp }[] = [
    {
      is: 'redirects',
      answer: (_, res) => res.writeHead(307, { Location: 'https://elsewhere.example/v1/x' }).end(),
      reason: /it redirects to https:\/\/elsewhere\.example\/v1\/x: give the address of the active server/,
    },
    {
      is: 'answers with HTML',
      answer: (_, res) => res.end('<html>hello</html>'),
      reason: /something that is not JSON: is this the address of a Vault or OpenBao/,
    },
    {
      is: 'answers with 10 MiB',
      answer: (_, res) => res.end('x'.repeat(10 * 1024 * 1024)),
      reason: /its answer has more than 1048576 bytes/,
    },
    {
      is: 'answers with nothing',
      answer: (_, res) => res.end(),
      reason: /the answer is refused: it has no certificate/,
    },
    {
      is: 'answers with JSON of another shape',
      answer: (_, res) => res.end('{"data":{"certificate":7,"ca_chain":"x"}}'),
      reason: /it has no certificate/,
    },
    { is: 'never answers', answer: () => undefined, reason: /no answer within 0\.5 s/ },
    {
      is: 'answers without an end',
      answer: (_, res) => void res.writeHead(200).write('{'),
      reason: /no answer within 0\.5 s/,
    },
    { is: 'hangs up', answer: (req) => req.socket.destroy(), reason: /it cannot be reached: socket hang up/ },
    {
      is: 'is a standby',
      answer: (_, res) => res.writeHead(473).end('{"errors":["standby"]}'),
      reason: /it is a standby server \(473\): standby/,
    },
    {
      is: 'fails with a text for terminals',
      answer: (_, res) => res.writeHead(500).end(JSON.stringify({ errors: [`\u001b[31m${'x'.repeat(9_000)}`] })),
      reason: /status 500: \\u001b\[31mx{495}$/,
    },
  ];
  for (const { is, answer, reason } of CASES) {
    test(`but ${is}`, async (t) => {
      const base = await server(t, (req, res) =>
        req.url!.includes('lookup-self') ? res.end(lookup) : answer(req, res),
      );
      const opened = open(t, base, { method: 'token', tokenFile: secret(t, 'x') }, { timeout: 500 });
      assert.match(await reasonOf(opened), reason);
    });
  }

  test('the token goes in its header, and the CSR with all that OpenBao needs to keep its names', async (t) => {
    let seen: { headers: Record<string, unknown>; body: Record<string, unknown>; url: string } | undefined;
    const base = await server(t, async (req, res) => {
      const chunks: Buffer[] = [];
      for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk);
      if (req.url!.includes('lookup-self')) {
        res.end(lookup);
        return;
      }
      seen = { headers: req.headers, body: JSON.parse(Buffer.concat(chunks).toString()), url: req.url! };
      res.end('{}');
    });
    const withPath = { ...base, address: `${base.address}/behind/a/proxy/`, namespace: 'team/a' };
    await reasonOf(open(t, withPath, { method: 'token', tokenFile: secret(t, 'hvs.secret') }, { mount: 'pki/inner' }));
    assert.equal(seen!.url, '/behind/a/proxy/v1/pki/inner/root/sign-intermediate');
    assert.equal(seen!.headers['x-vault-token'], 'hvs.secret');
    assert.equal(seen!.headers['x-vault-namespace'], 'team/a');
    const { csr, ...rest } = seen!.body;
    assert.match(csr as string, /^-----BEGIN CERTIFICATE REQUEST-----/);
    assert.deepEqual(rest, { use_csr_values: true, max_path_length: 0, ttl: '86400s', format: 'pem' });
  });

  test('http does not leave this host', async (t) => {
    const base = { address: 'http://192.0.2.1:8200', namespace: undefined, caFile: undefined };
    const opened = open(t, base, { method: 'token', tokenFile: secret(t, 'x') });
    assert.match(
      await reasonOf(opened),
      /192\.0\.2\.1 is 192\.0\.2\.1, not a loopback address, and http has no encryption/,
    );
  });
});
