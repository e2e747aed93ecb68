import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { issue } from '../agents/certificates.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type SpireServer, startSpireServer, whyNoSpireServer } from './spire-server.ts';
import { open, request, until } from './support.ts';

const skip = whyNoSpireServer() ?? false;
const WEB = 'spiffe://ilinux.io/web';

const entry = async (server: SpireServer, id: string, parent: string, ...more: string[]) => {
  const told = await server.ask(
    'entry',
    'create',
    '-spiffeID',
    id,
    '-parentID',
    parent,
    '-selector',
    'unix:uid:1',
    ...more,
  );
  return /Entry ID\s*: (\S+)/.exec(told)?.[1] ?? assert.fail(told);
};

test('an agent of Sidekey joins a SPIRE server with a token, and mirrors what that says', { skip }, async (t) => {
  const server = await startSpireServer(t);
  const bundle = await server.ask('bundle', 'show');
  const token = /Token: (\S+)/.exec(await server.ask('token', 'generate'))![1]!;
  const agent = `spiffe://ilinux.io/spire/agent/join_token/${token}`;
  const { uplink, mirror, dataDir } = await open(t, { ports: [server.port], bundle, token });
  assert.partialDeepStrictEqual(uplink.status, { state: 'connected', kind: 'spire', agentId: agent });
  const web = await entry(server, WEB, agent, '-dns', 'web.example', '-x509SVIDTTL', '600', '-hint', 'h');
  await until('the entry', () => mirror.byId.has(web), 60_000);
  assert.partialDeepStrictEqual(mirror.byId.get(web), {
    ...{
      spiffeId: WEB,
      dnsNames: ['web.example'],
      x509SvidTtl: 600,
      hint: 'h',
      selectors: [{ type: 'unix', value: 'uid:1' }],
    },
  });
  const [made] = await uplink.newSvids([await request(web)]);
  assert.ok('certificates' in made!, JSON.stringify(made));
  assert.match(new X509Certificate(made.certificates[0]!).subjectAltName!, /URI:spiffe:\/\/ilinux\.io\/web/);
  const [none] = await uplink.newSvids([await request('00000000-0000-4000-8000-000000000000')]);
  assert.ok('fault' in none!);
  assert.ok((await uplink.newJwtSvid(web, ['a'])).token.length > 100);
  await server.ask('entry', 'update', '-entryID', web, '-spiffeID', WEB, '-parentID', agent, '-selector', 'unix:uid:2');
  await until('the change', () => mirror.byId.get(web)?.selectors[0]?.value === 'uid:2', 60_000);
  assert.match(await server.ask('agent', 'list'), new RegExp(token));

  await server.stop();
  await until('it to be away', () => uplink.status.state === 'away', 60_000);
  assert.ok(mirror.byId.has(web));
  await server.start();
  await until('it to be back', () => uplink.status.state === 'connected', 60_000);
  await server.ask('entry', 'delete', '-entryID', web);
  await until('the entry to be gone', () => mirror.byId.size === 0, 60_000);
  await uplink.close();
  const again = await open(t, { ports: [server.port], dataDir });
  assert.partialDeepStrictEqual(again.uplink.status, { state: 'connected', kind: 'spire', agentId: agent });
  await server.ask('agent', 'evict', '-spiffeID', agent);
  assert.match((await again.fatal).message, /sidekey agent token/);
});

test('more than 500 entries of a SPIRE server come in pages', { skip }, async (t) => {
  const server = await startSpireServer(t);
  const token = /Token: (\S+)/.exec(await server.ask('token', 'generate'))![1]!;
  const parent = `spiffe://ilinux.io/spire/agent/join_token/${token}`;
  const entries = Array.from({ length: 1_203 }, (_, at) => {
    return {
      selectors: [{ type: 'unix', value: `uid:${at}` }],
      spiffe_id: `spiffe://ilinux.io/n${at}`,
      parent_id: parent,
    };
  });
  const file = path.join(tempDir(t), 'entries.json');
  writeFileSync(file, JSON.stringify({ entries }));
  await server.ask('entry', 'create', '-data', file);
  const { mirror } = await open(t, { ports: [server.port], bundle: await server.ask('bundle', 'show'), token });
  await until('all entries', () => mirror.byId.size === 1_203, 60_000);
  const one = await entry(server, WEB, parent);
  await until('one more', () => mirror.byId.has(one), 60_000);
  assert.equal(mirror.byId.size, 1_204);
  assert.equal(mirror.calls.at(-1), 'entries 1 0');
});

for (const type of ['rsa', 'P-256', 'P-384'] as const) {
  test(`an agent of Sidekey attests itself at a SPIRE server by a certificate with ${type}`, { skip }, async (t) => {
    const ca = await issue({ name: 'hosts', isCa: true });
    const host = await issue({ issuer: ca, type });
    const server = await startSpireServer(t, ca.pem);
    const dir = tempDir(t);
    const [certificateFile, keyFile] = [path.join(dir, 'cert.pem'), path.join(dir, 'key.pem')];
    writeFileSync(certificateFile, host.pem);
    writeFileSync(keyFile, host.keyPem, { mode: 0o600 });
    const attestation = { type: 'x509pop', certificateFile, keyFile } as const;
    const given = { ports: [server.port], trust: { insecure: true } as const, attestation };
    const { uplink, fatal, log } = await open(t, given);
    assert.equal(uplink.status.kind, 'spire');
    const id = uplink.status.agentId!;
    assert.match(id, /\/spire\/agent\/x509pop\/[0-9a-f]{40}$/);
    // Evicted, it comes back; banned, it ends.
    await server.ask('agent', 'evict', '-spiffeID', id);
    const attested = () => log.filter(({ msg }) => msg === 'the agent is attested').length;
    await until('it to be attested again', () => attested() === 2 && uplink.status.state === 'connected', 60_000);
    await server.ask('agent', 'ban', '-spiffeID', id);
    assert.match((await fatal).message, /denies this agent/);
  });
}

test('an SVID under a tainted root of a SPIRE server is replaced', { skip }, async (t) => {
  const server = await startSpireServer(t);
  const token = /Token: (\S+)/.exec(await server.ask('token', 'generate'))![1]!;
  const { mirror, log } = await open(t, { ports: [server.port], bundle: await server.ask('bundle', 'show'), token });
  const authority = async (action: string, ...more: string[]) => server.ask('localauthority', 'x509', action, ...more);
  const idOf = (text: string) => /Authority ID: (\S+)/.exec(text)?.[1] ?? assert.fail(text);
  const former = idOf(await authority('show'));
  await authority('activate', '-authorityID', idOf(await authority('prepare')));
  await authority('taint', '-authorityID', former);
  await until('the taint', () => mirror.authority?.tainted.includes(former) === true, 60_000);
  await until('its new SVID', () => log.some(({ msg }) => msg === 'the agent renewed its SVID'), 60_000);
});
