import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_ITEM_BYTES, MAX_ITEMS, MAX_MEMBERS, parseAnswer, TooLargeError } from '../../src/attest/docker/answer.ts';
import { affectedBy, CHANGES, eventsPath } from '../../src/attest/docker/events.ts';
import { readImage, readInspection } from '../../src/attest/docker/inspection.ts';
import { ambiguousLabels, dockerSelectors } from '../../src/attest/docker/selectors.ts';
import { formatSelector } from '../../src/spiffe/selector.ts';
import { containerJson, IMAGE_ID } from '../support/stand-in-engine.ts';

const ID = 'ab'.repeat(32);
const FAILED = 'ERR_ATTESTATION_FAILED';

test('an answer gives what entries can ask for', () => {
  assert.deepEqual(readInspection(containerJson(ID), ID), {
    id: ID,
    name: 'web-1',
    imageName: 'envoy:v1',
    imageId: IMAGE_ID,
    labels: new Map([['app', 'web']]),
    env: ['MODE=test'],
    networks: ['front'],
    hasOwnNetworks: false,
    pid: process.pid,
    startedAt: new Date(performance.timeOrigin).toISOString(),
  });
});

test('lists and maps that Go left out are empty', () => {
  const bare = containerJson(ID, { Config: { Image: 'x', Labels: null, Env: null }, NetworkSettings: {} });
  const { labels, env, networks } = readInspection(bare, ID);
  assert.deepEqual([labels.size, env, networks], [0, [], []]);
});

test('a member of another type, or a missing one, fails and is named, and no value is shown', () => {
  const secret = 'hunter2';
  const bad: readonly [Record<string, unknown>, RegExp][] = [
    [{ Id: 'cd'.repeat(32) }, /Id belongs to another/],
    [{ Id: 7 }, /: Id/],
    [{ Name: null }, /: Name/],
    [{ State: undefined }, /: State/],
    [{ State: { Running: 'true', Pid: 1 } }, /State\.Running/],
    [{ State: { Running: true, Pid: '1' } }, /State\.Pid/],
    [{ State: { Running: true, Pid: 0 } }, /State\.Pid/],
    [{ State: { Running: true, Pid: 1.5 } }, /State\.Pid/],
    [{ State: { Running: false, Pid: 1 } }, /not running/],
    [{ State: { Running: true, Pid: 1 } }, /State\.StartedAt/],
    [{ State: { Running: true, Pid: 1, StartedAt: '2026-11-29' } }, /State\.StartedAt is not a valid time/],
    [{ State: { Running: true, Pid: 1, StartedAt: '2026-13-29T00:00:00Z' } }, /State\.StartedAt is not a valid time/],
    [{ Image: secret }, /: Image/],
    [{ Config: [] }, /: Config/],
    [{ Config: { Image: 'x', Labels: [] } }, /Config\.Labels/],
    [{ Config: { Image: 'x', Labels: { a: 1 } } }, /Config\.Labels/],
    [{ Config: { Image: 'x', Env: { PASSWORD: secret } } }, /Config\.Env/],
    [{ Config: { Image: 'x', Env: [`PASSWORD=${secret}`, 1] } }, /Config\.Env/],
    [{ Config: { Labels: {} } }, /Config\.Image/],
    [{ NetworkSettings: null }, /: NetworkSettings/],
    [{ NetworkSettings: { Networks: ['front'] } }, /NetworkSettings\.Networks/],
  ];
  for (const [more, message] of bad) {
    assert.throws(
      () => readInspection(containerJson(ID, more), ID),
      (error: Error & { code: string }) => {
        assert.equal(error.code, FAILED);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      },
    );
  }
});

test('whatever JSON comes, it is read or fails as an attestation does', () => {
  const members = ['Id', 'Name', 'State', 'Image', 'Config', 'NetworkSettings'];
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(...members), (value, member) => {
      for (const answer of [value, containerJson(ID, { [member]: value })]) {
        try {
          assert.equal(readInspection(answer, ID).id, ID);
        } catch (error) {
          assert.equal((error as { code?: string }).code, FAILED, String(error));
        }
      }
    }),
  );
});

test("an image's digests are those of its names in registries", () => {
  const digest = `sha256:${'9e'.repeat(32)}`;
  assert.deepEqual(readImage({ RepoDigests: [`envoyproxy/envoy@${digest}`] }).digests, [digest]);
  assert.deepEqual(readImage({ RepoDigests: null }), { digests: [], labels: new Map() });
  assert.throws(() => readImage({ RepoDigests: ['envoyproxy/envoy:v1'] }), { code: FAILED });
  assert.throws(() => readImage([]), { code: FAILED });
});

const CONTAINER = {
  ...readInspection(
    containerJson(ID, {
      Config: {
        Image: 'envoy:v1',
        Labels: { app: 'a:b', 'com.docker.compose.project': 'demo', 'com.docker.compose.service': 'web', none: '' },
        Env: ['A=b=c', 'B='],
      },
      NetworkSettings: { Networks: { front: null, back: {} } },
    }),
    ID,
  ),
  main: { pid: 7, startTicks: 1, place: { id: ID, containers: new Map(), inNamespace: true } },
  image: { digests: [`sha256:${'9e'.repeat(32)}`], labels: new Map() },
};

const ALL = { asksFor: () => true, keeps: () => true };

test("the selectors are SPIRE's four and Sidekey's six", () => {
  assert.deepEqual(dockerSelectors(CONTAINER, ALL).map(formatSelector), [
    'docker:label:app:a:b',
    'docker:label:com.docker.compose.project:demo',
    'docker:label:com.docker.compose.service:web',
    'docker:label:none:',
    'docker:env:A=b=c',
    'docker:env:B=',
    'docker:image_id:envoy:v1',
    `docker:image_config_digest:${IMAGE_ID}`,
    `docker:image_digest:sha256:${'9e'.repeat(32)}`,
    'docker:name:web-1',
    `docker:container_id:${ID}`,
    'docker:compose_project:demo',
    'docker:compose_service:web',
    'docker:network:front',
    'docker:network:back',
  ]);
});

test('of the kinds that are asked for, selectors that nobody asks for are left out', () => {
  const found = dockerSelectors(CONTAINER, { ...ALL, keeps: ({ value }) => value === 'network:front' });
  assert.deepEqual(found, [{ type: 'docker', value: 'network:front' }]);
});

test('a label whose key has a colon, or is empty, gives no selector, and is told of as what it would pass for', () => {
  const labels = new Map([
    ['role:admin', 'prod'],
    ['role', 'user'],
    [':', ''],
    ['', 'empty'],
    ['a', ':b'],
  ]);
  const values = dockerSelectors({ ...CONTAINER, labels, env: [], networks: [] }, ALL).map(({ value }) => value);
  assert.deepEqual(
    values.filter((value) => value.startsWith('label:')),
    ['label:role:user', 'label:a::b'],
  );
  assert.deepEqual(ambiguousLabels({ labels }).map(formatSelector), [
    'docker:label:role:admin:prod',
    'docker:label:::',
    'docker:label::empty',
  ]);
});

test('no two labels give the same selector, whatever they are', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', ':'), maxLength: 5 });
  fc.assert(
    fc.property(fc.dictionary(text, text), (labels) => {
      const container = { ...CONTAINER, labels: new Map(Object.entries(labels)) };
      const found = dockerSelectors(container, { ...ALL, asksFor: (kind) => kind === 'docker:label' });
      const keys = found.map(formatSelector);
      assert.equal(new Set(keys).size, keys.length);
      for (const key of keys) {
        // The first colon after the kind is where the label's key ends.
        const [, , name, ...value] = key.split(':');
        assert.equal(labels[name!], value.join(':'));
      }
    }),
  );
});

test('of several variables with one name none gives a selector, nor does one without a name or value', () => {
  const env = ['A=1', 'B=1', 'A=2', 'C', '=x', 'D:E=1', 'B=1', 'F=', 'G=H=I', '', 'D:E\n=1'];
  const found = dockerSelectors({ ...CONTAINER, env }, { ...ALL, asksFor: (kind) => kind === 'docker:env' });
  assert.deepEqual(
    found.map(({ value }) => value),
    ['env:D:E=1', 'env:F=', 'env:G=H=I', 'env:D:E\n=1'],
  );
});

const MANY = MAX_ITEMS + 1;
const LONG = 'hunter2'.repeat(MAX_ITEM_BYTES / 7 + 1);

test('more labels, variables, networks or digests than are read, or longer ones, fail with field, number and rule', () => {
  const named = (count: number, value: unknown = '') =>
    Object.fromEntries(Array.from({ length: count }, (_, at) => [`hunter2-${at}`, value]));
  const config = (more: Record<string, unknown>) => ({ Config: { Image: 'x', ...more } });
  const networks = (Networks: Record<string, unknown>) => ({ NetworkSettings: { Networks } });
  const tooMuch: readonly [Record<string, unknown>, RegExp][] = [
    [config({ Labels: named(MANY) }), /Config\.Labels has 2001 members; the limit is 2000/],
    [config({ Labels: { a: LONG } }), /Config\.Labels has 262\d{3} bytes; the limit is 262144/],
    [config({ Labels: { [LONG]: '' } }), /Config\.Labels has 262\d{3} bytes/],
    [config({ Env: Object.keys(named(MANY)) }), /Config\.Env has 2001 members/],
    [config({ Env: [`A=${LONG}`] }), /Config\.Env has 262\d{3} bytes/],
    [networks(named(MANY, null)), /NetworkSettings\.Networks has 2001 members/],
    [networks({ [LONG]: null }), /NetworkSettings\.Networks has 262\d{3} bytes/],
    [{ Name: LONG }, /Name has 262\d{3} characters/],
    [{ Config: { Image: LONG } }, /Config\.Image has 262\d{3} characters/],
  ];
  for (const [more, message] of tooMuch) {
    assert.throws(
      () => readInspection(containerJson(ID, more), ID),
      (error: Error) => {
        assert.ok(error instanceof TooLargeError, String(error).slice(0, 200));
        assert.match(error.message, message);
        assert.ok(error.message.includes(`container ${ID}`));
        assert.doesNotMatch(error.message, /hunter2/);
        return true;
      },
    );
  }
  assert.throws(() => readImage({ RepoDigests: Object.keys(named(MANY)) }), /RepoDigests has 2001 members/);
  const most = config({ Labels: named(MAX_ITEMS), Env: Object.keys(named(MAX_ITEMS)) });
  assert.equal(readInspection(containerJson(ID, most), ID).labels.size, MAX_ITEMS);
});

test('an answer with more members than are read fails before it is parsed, and says where they are', () => {
  const labels = Object.fromEntries(Array.from({ length: 90_000 }, (_, at) => [`hunter2-${at}`, ',"{[']));
  const body = Buffer.from(JSON.stringify(containerJson(ID, { Config: { Image: 'x', Labels: labels } })));
  assert.throws(() => parseAnswer(body, '/containers/x/json'), {
    message: `too much to read from the container engine: the answer to /containers/x/json has more than ${MAX_MEMBERS} members, which is the limit (exceeded in Config.Labels)`,
  });
  const lists = Buffer.from(`[${'[],'.repeat(MAX_MEMBERS)}[]]`);
  assert.throws(() => parseAnswer(lists, 'x'), TooLargeError);
  const texts = { text: ',[{"\\'.repeat(MAX_MEMBERS), rest: ['\\', '"', ''] };
  assert.deepEqual(parseAnswer(Buffer.from(JSON.stringify(texts)), 'x'), texts, 'what is in a text is no member');
});

test('whatever JSON is parsed, or what is none, counting it changes nothing', () => {
  const json = fc.json({ maxDepth: 5 });
  fc.assert(
    fc.property(
      fc.oneof(
        json,
        fc.string(),
        json.map((text) => `]]}${text}`),
      ),
      (text) => {
        const parsed = attempt(() => parseAnswer(Buffer.from(text), 'x'));
        assert.deepEqual(
          parsed,
          attempt(() => JSON.parse(Buffer.from(text).toString('utf8'))),
        );
      },
    ),
  );
});

function attempt(read: () => unknown): unknown {
  try {
    return { value: read() };
  } catch (error) {
    return (error as Error).name;
  }
}

test('kinds that nobody asks for are left out', () => {
  const found = dockerSelectors(CONTAINER, { ...ALL, asksFor: (kind) => kind === 'docker:name' });
  assert.deepEqual(found, [{ type: 'docker', value: 'name:web-1' }]);
});

test('a container that compose did not make has no compose selectors', () => {
  const plain = { ...CONTAINER, labels: new Map([['com.docker.compose.service', '']]) };
  const kinds = ['docker:compose_project', 'docker:compose_service'];
  assert.deepEqual(dockerSelectors(plain, { ...ALL, asksFor: (kind) => kinds.includes(kind) }), []);
});

test('events tell which containers changed; in doubt all', () => {
  const container = (Action: string) => ({ Type: 'container', Action, Actor: { ID, Attributes: {} } });
  for (const action of ['start', 'die', 'died', 'destroy', 'rename', 'update', 'kill', 'something new']) {
    assert.deepEqual(affectedBy(container(action)), { id: ID }, action);
  }
  for (const action of [
    'exec_create: /bin/true',
    'exec_start: x',
    'exec_die',
    'health_status: healthy',
    'top',
    'attach',
  ]) {
    assert.equal(affectedBy(container(action)), 'none', action);
  }
  const network = { Type: 'network', Action: 'connect', Actor: { ID: 'net', Attributes: { container: ID } } };
  assert.deepEqual(affectedBy(network), { id: ID });
  const odd = [
    null,
    7,
    'x',
    [],
    {},
    { Type: 'container' },
    { Type: 'container', Action: 'start', Actor: { ID: 'short' } },
  ];
  const wide = [
    { Type: 'image', Action: 'untag', Actor: { ID: 'sha256:1' } },
    { Type: 'network', Action: 'destroy' },
  ];
  for (const event of [...odd, ...wide]) assert.equal(affectedBy(event), 'all', JSON.stringify(event));
});

test('events are asked for from a little before, so that none falls between', () => {
  const url = new URL(eventsPath(1_800_000_000_999, CHANGES), 'http://engine');
  assert.equal(url.searchParams.get('since'), '1799999995');
  assert.deepEqual(JSON.parse(url.searchParams.get('filters')!), CHANGES);
});
