import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { RevocationProxy } from '../../src/revocation/index.ts';
import { startAdmin } from '../admin/support.ts';
import { sidekey } from './support.ts';

const HOUR = 3_600_000;

async function start(t: TestContext) {
  const running = await startAdmin(t);
  const { store, clock } = running;
  const env = { SIDEKEY_ADMIN_SOCKET: running.socketPath };
  const run = (...args: string[]) => sidekey(args, { env });
  const issue = (serial: string, entryId = 'entry-a', name = 'a') =>
    store.issuances.recordIssuances([
      {
        ...{ kind: 'x509', serial, entryId, authorityId: 'ab', spiffeId: `spiffe://ilinux.io/${name}` },
        ...{ notBefore: clock.now(), notAfter: clock.now() + HOUR, issuedAt: clock.now() },
      },
    ]);
  const create = async (id: string, name: string) => {
    const flags = ['--entry-id', id, '--spiffe-id', `spiffe://ilinux.io/${name}`, '--selector', 'unix:uid:4242'];
    assert.equal((await run('entry', 'create', ...flags)).status, 0);
  };
  return { ...running, run, issue, create };
}

const REFUSES: RevocationProxy = {
  ...{ pid: 11, uid: 7, node: 'web-1', name: 'ROOTCA', state: 'refusing', rejection: undefined },
  since: Date.UTC(2026, 5, 1),
};
const WAITS: RevocationProxy = { ...REFUSES, pid: 12, node: 'web-2', state: 'waiting', since: undefined };
const REJECTS: RevocationProxy = { ...WAITS, pid: 13, rejection: 'bad CRL' };
const BEYOND: RevocationProxy = { ...WAITS, pid: 14, node: undefined, state: 'unreachable' };
const INFORMED: RevocationProxy = {
  ...REFUSES,
  pid: 15,
  node: undefined,
  name: 'spiffe://ilinux.io',
  state: 'informed',
};

describe('sidekey revoke', () => {
  test('says what was revoked, which proxies refuse it, and what stays', async (t) => {
    const { run, issue, revoker } = await start(t);
    await issue('0a01');
    await issue('0a02');
    revoker.state.proxies = [REFUSES, INFORMED];
    const one = await run('revoke', '--serial', '0A:01', '--reason', 'key-compromise');
    assert.deepEqual([one.status, one.stderr], [0, '']);
    assert.match(
      one.stdout,
      /^SERIAL +SPIFFE ID +REASON +REVOKED +EXPIRES\n0a01 +spiffe:\/\/ilinux\.io\/a +key-compromise /,
    );
    assert.match(one.stdout, /\n1 certificate revoked\.\n/);
    assert.match(one.stdout, /\nweb-1 +11 +ROOTCA +refusing since 2026-06-01T00:00:00\.000Z\n/);
    assert.match(one.stdout, /\n- +15 .* informed since 2026-06-01T00:00:00\.000Z, over the Workload API\n/);
    assert.match(one.stdout, /libraries of SPIFFE ignore them/);
    assert.match(one.stdout, /open stay open.*max_connection_duration\n/);
    assert.match(one.stdout, /JWT-SVIDs are not revoked/);
    const { options } = revoker.asked[0]!;
    assert.deepEqual([options.waitMs, options.immediately], [5_000, false]);
    const rest = await run('revoke', '--entry', 'entry-a', '--now', '--wait', '1s', '-o', 'wide');
    assert.equal(rest.status, 0, rest.stderr);
    assert.match(rest.stdout, /AUTHORITY\n0a02 .* entry-a +ab\n/);
    assert.match(rest.stdout, /1 certificate was revoked before\./);
    assert.deepEqual([revoker.asked[1]!.options.waitMs, revoker.asked[1]!.options.immediately], [1_000, true]);
    const names = await run('revoke', '--spiffe-id', 'spiffe://ilinux.io/a', '-o', 'name');
    assert.deepEqual([names.status, names.stdout], [0, '']);
  });

  test('exits with status 1 if a proxy does not refuse in time, and says which, why, and what to do', async (t) => {
    const { run, issue, revoker, registry } = await start(t);
    await issue('0a01');
    revoker.state.proxies = [REFUSES, INFORMED, WAITS, REJECTS, BEYOND];
    const { status, stdout, stderr } = await run('revoke', '--serial', '0a01');
    assert.equal(status, 1);
    assert.match(stdout, /web-2 +12 +ROOTCA +not yet: it has not answered\n/);
    assert.match(stdout, /web-2 +13 +ROOTCA +not yet: it rejected them: bad CRL\n/);
    assert.match(stdout, /- +14 +ROOTCA +unreachable: it requests no bundle with the lists\n/);
    assert.match(stdout, /let it request its validation context over SDS/);
    assert.match(stderr, /^sidekey: revoked, but 3 of 5 proxies do not have the lists yet: sidekey revoke list /);
    assert.equal(registry.revocations.size, 1);
    const json = await run('revoke', '--serial', '0a01', '-o', 'json');
    assert.equal(json.status, 1);
    const { already, proxy_counts } = JSON.parse(json.stdout);
    assert.deepEqual([already, proxy_counts], [1, { refusing: 1, informed: 1, waiting: 2, unreachable: 1 }]);
  });

  test('list shows revocations, lists and proxies; undo ends a hold', async (t) => {
    const { run, issue, revoker, registry } = await start(t);
    await issue('0a01');
    await issue('0a02');
    assert.equal((await run('revoke', '--serial', '0a01', '--reason', 'certificate-hold')).status, 0);
    assert.equal((await run('revoke', '--serial', '0a02')).status, 0);
    revoker.state.lists = [{ authorityId: 'cd', role: 'intermediate', entries: 2, thisUpdate: 0, nextUpdate: HOUR }];
    revoker.state.problem = 'no key; see sidekey ca show';
    const list = await run('revoke', 'list');
    assert.equal(list.status, 0, list.stderr);
    assert.match(list.stdout, /\n0a01 .*certificate-hold/);
    assert.match(
      list.stdout,
      /list of the intermediate cd: 2 certificates, of 1970-01-01T00:00:00.000Z, until 1970-01-01T01/,
    );
    assert.match(list.stdout, /No proxy is connected/);
    assert.match(list.stdout, /No certificate can be revoked now: no key/);
    const json = JSON.parse((await run('-o', 'json', 'revocations')).stdout);
    assert.deepEqual([json.total, json.revocations.length, json.why_not], [2, 2, 'no key; see sidekey ca show']);
    const undone = await run('revoke', 'undo', '--serial', '0a01');
    assert.equal(undone.status, 0, undone.stderr);
    assert.match(undone.stdout, /1 certificate restored\./);
    const other = await run('revoke', 'undo', '--serial', '0a02');
    assert.equal(other.status, 1);
    assert.match(other.stderr, /\(ERR_REVOCATION\)/);
    assert.equal(registry.revocations.size, 1);
  });

  test('what makes no sense is refused, and nothing is revoked', async (t) => {
    const { run, issue, revoker } = await start(t);
    await issue('0a01');
    for (const [args, status, says] of [
      [[], 2, /give one of --serial, --spiffe-id and --entry/],
      [['--serial', '0a01', '--entry', 'entry-a'], 2, /give one of/],
      [['--serial', '1234'], 1, /--serial: .*decimal/],
      [['--serial', '0a01', '--reason', 'leaked'], 2, /Allowed choices are unspecified, key-compromise/],
      [['--serial', '0a01', '--wait', '1m'], 2, /--wait: "1m" is not a duration of at most 20s/],
      [['--spiffe-id', 'web'], 1, /--spiffe-id: /],
      [['undo'], 2, /--serial/],
      [['undo', '--serial', '99'], 1, /--serial: .*decimal/],
    ] as const) {
      const ran = await run('revoke', ...args);
      assert.equal(ran.status, status, `${args.join(' ')}: ${ran.stderr}`);
      assert.match(ran.stderr, says);
    }
    assert.deepEqual(revoker.asked, []);
    const unknown = await run('revoke', '--entry', 'entry-x');
    assert.deepEqual([unknown.status, /\(ERR_NOT_FOUND\)/.test(unknown.stderr)], [1, true]);
  });
});

describe('sidekey entry delete --revoke', () => {
  test('deletes entries and revokes their certificates, wherever the flag stands', async (t) => {
    const { run, issue, create, registry, revoker } = await start(t);
    for (const at of ['a', 'b', 'c', 'd']) await create(`entry-${at}`, at);
    for (const at of ['a', 'b', 'c', 'd']) await issue(`0${at}`, `entry-${at}`, at);
    const first = await run('entry', 'delete', '--revoke', 'entry-a', 'entry-b');
    assert.equal(first.status, 0, first.stderr);
    assert.match(first.stdout, /^deleted entry-a\ndeleted entry-b\n\nSERIAL .*\n0a .*unspecified.*\n0b /);
    assert.match(first.stdout, /2 certificates revoked\./);
    const second = await run('entry', 'delete', 'entry-c', '--revoke=superseded', '-o', 'json');
    const { deleted, revoked } = JSON.parse(second.stdout);
    assert.deepEqual([deleted, revoked.length, revoked[0].reason], ['entry-c', 1, 'superseded']);
    revoker.state.proxies = [WAITS];
    const third = await run('entry', 'delete', 'entry-d', '--revoke', '--wait', '0');
    assert.equal(third.status, 1);
    assert.match(third.stderr, /deleted and revoked, but 1 of 1 proxies does not have the lists yet/);
    assert.deepEqual([registry.size, registry.revocations.size], [0, 4]);
  });

  test('changes nothing if a reason or an id is mistyped', async (t) => {
    const { run, issue, create, registry } = await start(t);
    await create('entry-a', 'a');
    await issue('0a', 'entry-a');
    for (const args of [['--revoke=leaked', 'entry-a'], ['entry-a', 'entry-x', '--revoke'], ['--revoke']]) {
      const { status, stderr } = await run('entry', 'delete', ...args);
      assert.notEqual(status, 0, stderr);
    }
    assert.deepEqual([registry.size, registry.revocations.size], [1, 0]);
    assert.equal((await run('entry', 'delete', 'entry-a')).stdout, 'deleted entry-a\n');
    assert.equal(registry.revocations.size, 0);
  });
});
