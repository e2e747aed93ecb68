import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { affectedBy, eventsPath } from '../../src/attest/docker/events.ts';
import { readImageDigests, readInspection } from '../../src/attest/docker/inspection.ts';
import { dockerSelectors } from '../../src/attest/docker/selectors.ts';
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
    [{ Id: 'cd'.repeat(32) }, /Id is that of another/],
    [{ Id: 7 }, /: Id/],
    [{ Name: null }, /: Name/],
    [{ State: undefined }, /: State/],
    [{ State: { Running: 'true', Pid: 1 } }, /State\.Running/],
    [{ State: { Running: true, Pid: '1' } }, /State\.Pid/],
    [{ State: { Running: true, Pid: 0 } }, /State\.Pid/],
    [{ State: { Running: true, Pid: 1.5 } }, /State\.Pid/],
    [{ State: { Running: false, Pid: 1 } }, /not running/],
    [{ State: { Running: true, Pid: 1 } }, /State\.StartedAt/],
    [{ State: { Running: true, Pid: 1, StartedAt: '2026-11-29' } }, /State\.StartedAt is no instant/],
    [{ State: { Running: true, Pid: 1, StartedAt: '2026-13-29T00:00:00Z' } }, /State\.StartedAt is no instant/],
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
  assert.deepEqual(readImageDigests({ RepoDigests: [`envoyproxy/envoy@${digest}`] }), [digest]);
  assert.deepEqual(readImageDigests({ RepoDigests: null }), []);
  assert.throws(() => readImageDigests({ RepoDigests: ['envoyproxy/envoy:v1'] }), { code: FAILED });
  assert.throws(() => readImageDigests([]), { code: FAILED });
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
  imageDigests: [`sha256:${'9e'.repeat(32)}`],
};

test("the selectors are SPIRE's four and Sidekey's six", () => {
  assert.deepEqual(dockerSelectors(CONTAINER, () => true).map(formatSelector), [
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

test('kinds that nobody asks for are left out', () => {
  const found = dockerSelectors(CONTAINER, (kind) => kind === 'docker:name');
  assert.deepEqual(found, [{ type: 'docker', value: 'name:web-1' }]);
});

test('a container that compose did not make has no compose selectors', () => {
  const plain = { ...CONTAINER, labels: new Map([['com.docker.compose.service', '']]) };
  const kinds = ['docker:compose_project', 'docker:compose_service'];
  assert.deepEqual(
    dockerSelectors(plain, (kind) => kinds.includes(kind)),
    [],
  );
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
  const url = new URL(eventsPath(1_800_000_000_999), 'http://engine');
  assert.equal(url.searchParams.get('since'), '1799999995');
  assert.deepEqual(JSON.parse(url.searchParams.get('filters')!), { type: ['container', 'image', 'network'] });
});
