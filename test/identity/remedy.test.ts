import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { explain } from '../../src/identity/explanation.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { splitSelector } from '../../src/spiffe/selector.ts';
import { makeJoin, ScriptedPeer } from './support.ts';

const facts = (...texts: readonly string[]) => texts.map((text) => splitSelector(text)!);
const CALLER = facts('unix:uid:0', 'unix:path:/bin/web');
const WEB = parseSpiffeId('spiffe://ilinux.io/web');
const QUERY = { spiffeId: WEB, limit: 10, failed: false, replaced: undefined };
const UPDATE = 'sidekey entry update';
const CREATE = `sidekey entry create --spiffe-id ${WEB}`;
const MAKE = `${CREATE} --selector unix:uid:0 --selector unix:path:/bin/web`;
const DIGEST = `docker:image_config_digest:sha256:${'1f'.repeat(32)}`;
const NAME = 'docker:name:web-1';
const SERVICE = ['docker:compose_project:shop', 'docker:compose_service:web'];

type Join = Awaited<ReturnType<typeof makeJoin>>;

function look({ registry, identities, clock }: Join, caller: readonly string[], contained?: string) {
  return explain(facts(...caller), { ...QUERY, contained }, { registry, identities }, clock.now());
}

test('who lacks something gets an entry of its own: the one that there is stays as it is', async (t) => {
  const join = await makeJoin(t);
  const entry = await join.create('/web', ['unix:uid:0', `unix:sha256:${'a'.repeat(64)}`]);
  const lacking = explain(CALLER, QUERY, join, join.clock.now());
  assert.deepEqual(
    lacking.near.map((miss) => [miss.entry.id, miss.lacks.map(({ has }) => has), miss.fix]),
    [[entry.id, [[]], undefined]],
  );
  assert.deepEqual(lacking.fixes, [MAKE]);
  assert.match(
    lacking.note!,
    new RegExp(`^no command is proposed that changes entry ${entry.id} to the caller.*: ${UPDATE} ${entry.id} `),
  );
});

test('no command changes an entry to a fact of who asks, whatever the two have', async (t) => {
  const values = [
    'unix:uid:1000',
    'unix:uid:1001',
    'unix:user:web',
    'unix:user:wbe',
    'unix:path:/usr/bin/envoy',
    'unix:path:/home/u/envoy',
    'unix:supplementary_gid:27',
    'docker:label:app:web',
    'docker:label:app:wbe',
    'docker:env:ROLE=web',
    'docker:env:ROLE=evil',
    NAME,
    'docker:name:web-2',
    ...SERVICE,
    DIGEST,
  ];
  const some = fc.subarray(values, { minLength: 1 });
  await fc.assert(
    fc.asyncProperty(some, some, fc.boolean(), fc.boolean(), async (caller, entry, contained, expired) => {
      const join = await makeJoin(t);
      const more = { expires_at: expired ? 1 : 0 };
      const { id } = await join.create('/web', entry, more).catch(() => ({ id: undefined }));
      fc.pre(id !== undefined);
      const { fixes, near } = look(join, caller, contained ? 'why' : undefined);
      for (const fix of [...fixes, ...near.flatMap((miss) => miss.fix ?? [])]) {
        if (fix.startsWith(UPDATE)) assert.equal(fix, `${UPDATE} ${id} --expires-at never`);
        else assert.ok(fix.startsWith(`${CREATE} --selector `), fix);
        const isOfContainer = contained || caller.some((one) => one.startsWith('docker:'));
        if (isOfContainer && fix.startsWith(CREATE)) assert.ok(fix.includes(`--selector ${DIGEST}`), fix);
        assert.doesNotMatch(fix, /docker:env|docker:label|--allow-contained/);
      }
    }),
    { numRuns: 60 },
  );
});

test('an entry for a container asks for the digest of its image beside its service or name, or is none', async (t) => {
  const join = await makeJoin(t);
  const label = 'docker:label:app:web';
  const fixesOf = (...caller: string[]) => look(join, caller, 'why').fixes;
  assert.deepEqual(fixesOf('unix:uid:0', label, NAME, DIGEST), [`${CREATE} --selector ${DIGEST} --selector ${NAME}`]);
  const [project, service] = SERVICE;
  assert.deepEqual(fixesOf(NAME, ...SERVICE, DIGEST), [
    `${CREATE} --selector ${DIGEST} --selector ${project} --selector ${service}`,
  ]);
  const registered = `docker:image_digest:sha256:${'2e'.repeat(32)}`;
  assert.deepEqual(fixesOf(NAME, registered), [`${CREATE} --selector ${registered} --selector ${NAME}`]);
  assert.match(look(join, [NAME, DIGEST], 'why').note!, /whoever starts a container chooses its name and labels/);
  for (const caller of [[label], [NAME, label], [DIGEST, label], [DIGEST, 'docker:compose_service:web'], SERVICE]) {
    const { fixes, note } = look(join, ['unix:uid:7', ...caller], 'why');
    assert.deepEqual(fixes, [], caller.join(' '));
    assert.match(note!, /its image digest .*sidekey explain --pid/);
  }
});

test('a command is printed only as it is: none has a value that a terminal would not show', async (t) => {
  const join = await makeJoin(t);
  for (const odd of [
    '/bin/\u0007web',
    '/bin/web\n',
    '/bin/\u202ebew',
    '/bin/we\u200bb',
    '/bin/\u009bweb',
    '/bin/\ud800',
  ]) {
    const { fixes, note } = look(join, ['unix:uid:7', `unix:path:${odd}`]);
    assert.deepEqual(fixes, [], JSON.stringify(odd));
    assert.match(note!, /not printed, .*sidekey explain --output json shows all values/);
  }
  const service = ['docker:compose_project:shop', 'docker:compose_service:web\r--selector unix:uid:0'];
  assert.deepEqual(look(join, [DIGEST, ...service], 'why').fixes, []);
  // What the shell would take is quoted, and is shown.
  assert.deepEqual(look(join, ['unix:uid:7', "unix:path:/bin/a b'c$(id)"]).fixes, [
    `${CREATE} --selector unix:uid:7 --selector 'unix:path:/bin/a b'\\''c$(id)'`,
  ]);
  await join.create('/web', ['unix:uid:8'], { hint: 'a\u200bb' });
  assert.deepEqual(look(join, ['unix:uid:7']).fixes, [], 'nor a hint that it would take over');
});

test('the new entry gives what the other one gives, but for whom; an expired one goes on where it was theirs', async (t) => {
  const join = await makeJoin(t);
  const more = {
    x509_svid_ttl: 60,
    x509_svid_key_type: 'rsa-2048',
    dns_names: ['web.local'],
    federates_with: ['b.example'],
    hint: 'a b',
  };
  const { id } = await join.create('/web', ['unix:uid:1', 'unix:path:/bin/web'], { ...more, expires_at: 4e9 });
  const given = `--x509-svid-ttl 60s --x509-svid-key-type rsa-2048 --dns web.local --federates-with b.example --hint 'a b'`;
  const copy = `${MAKE} ${given} --expires-at 2096-10-02T07:06:40.000Z`;
  const other = () => look(join, ['unix:uid:0', 'unix:path:/bin/web']);
  const alone = other();
  assert.deepEqual([alone.fixes, alone.near[0]!.note], [[copy], undefined]);

  const peer = new ScriptedPeer('unix:uid:1', 'unix:path:/bin/web');
  await join.identities.caller(peer).reattest();
  const shared = other();
  assert.deepEqual(shared.fixes, [copy]);
  assert.match(shared.near[0]!.note!, /^a connected caller has the identity through this entry$/);

  join.clock.set(4e12);
  assert.deepEqual(
    other().fixes,
    [`${MAKE} ${given}`],
    'nobody has it any more, and it still is not the one that asks',
  );
  assert.deepEqual(look(join, ['unix:uid:1', 'unix:path:/bin/web']).fixes, [`${UPDATE} ${id} --expires-at never`]);

  const past = await makeJoin(t);
  const { id: label } = await past.create('/web', ['docker:compose_service:web'], { expires_at: 1 });
  const labelled = look(past, ['docker:compose_service:web'], 'why');
  assert.deepEqual(labelled.fixes, [`${UPDATE} ${label} --expires-at never`]);
  assert.match(
    labelled.note!,
    /^check first that this is the right container and image digest: whoever starts a container chooses its name and labels/,
  );
});

test('no remedy gives an identity to every process of root, nor to every program of nobody in particular', async (t) => {
  const join = await makeJoin(t);
  await join.create('/web', ['unix:user:daemon']);
  const blind = look(join, [
    'unix:uid:0',
    'unix:gid:0',
    'unix:user:root',
    'unix:group:root',
    'unix:supplementary_gid:0',
  ]);
  assert.deepEqual([blind.fixes, blind.near[0]!.fix], [[], undefined]);
  assert.match(blind.note!, /no known fact distinguishes the caller from other processes of root/);
  const seen = look(join, ['unix:uid:0', 'unix:user:root', 'unix:path:/bin/web']);
  assert.deepEqual(seen.fixes, [MAKE]);
  for (const caller of [['docker:env:TOKEN=[redacted]'], ['unix:path:/bin/web']]) {
    const { fixes, note } = look(join, caller);
    assert.deepEqual(fixes, []);
    assert.match(note!, /sidekey explain --pid/);
  }
  // A user of its own is somebody.
  assert.deepEqual(look(join, ['unix:uid:7', 'unix:user:web']).fixes, [`${CREATE} --selector unix:uid:7`]);
});
