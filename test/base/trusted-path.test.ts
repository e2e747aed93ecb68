import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Loose, type PathEntry, type PathView, walkPath, walkToMade } from '../../src/base/trusted-path.ts';
import type { Observer } from '../../src/base/user-ids.ts';

const DIRECTORY = 0o040000;
const FILE = 0o100000;
const LINK = 0o120000;
const US = 990;
const THEM = 1000;
const UNMAPPED = 65_534;

interface Node extends PathEntry {
  readonly target?: string;
}

const dir = (uid: number, mode = 0o755): Node => ({ uid, mode: DIRECTORY | mode });
const file = (uid: number, mode = 0o600): Node => ({ uid, mode: FILE | mode });
const link = (target: string, uid = 0): Node => ({ uid, mode: LINK | 0o777, target });

function viewOf(tree: Readonly<Record<string, Node>>): PathView {
  return {
    lstat: (place) => tree[place],
    readlink: (place) => tree[place]!.target!,
  };
}

const me: Observer = { uid: US, unmapped: undefined };
const inNamespace: Observer = { uid: US, unmapped: UNMAPPED };
const short = ({ place, kind }: Loose) => `${kind} ${place}`;

const BASE = {
  '/': dir(0),
  '/run': dir(0),
  '/run/sidekey': dir(US),
  '/run/sidekey/a': file(US),
  '/tmp': dir(0, 0o1777),
  '/home': dir(0),
  '/home/them': dir(THEM, 0o750),
  '/home/them/run': dir(0),
  '/home/them/run/a': file(0),
  '/home/us': dir(US, 0o775),
  '/home/us/a': file(US),
};

const HOST = {
  '/': dir(UNMAPPED),
  '/home': dir(UNMAPPED),
  '/home/us': dir(US),
  '/home/us/a': file(US),
  '/home/us/theirs': dir(UNMAPPED),
  '/home/us/theirs/a': file(US),
  '/tmp': dir(UNMAPPED, 0o1777),
  '/tmp/us': dir(US),
  '/tmp/us/a': file(US),
  '/tmp/them': dir(UNMAPPED),
  '/tmp/them/a': file(US),
  '/srv': dir(UNMAPPED, 0o775),
  '/srv/a': file(US),
};

const TABLE: readonly {
  readonly what: string;
  readonly place: string;
  readonly tree?: Readonly<Record<string, Node>>;
  readonly as?: Observer;
  readonly loose: readonly string[];
  readonly path?: string;
}[] = [
  { what: 'directories of root and the observer', place: '/run/sidekey/a', loose: [] },
  { what: "a directory of root below another user's", place: '/home/them/run/a', loose: ['foreign /home/them'] },
  { what: 'a home that is writable for a private group', place: '/home/us/a', loose: ['writable /home/us'] },
  {
    what: 'a sticky directory of root with one of the observer in it',
    tree: { ...BASE, '/tmp/us': dir(US), '/tmp/us/a': file(US) },
    place: '/tmp/us/a',
    loose: [],
  },
  {
    what: "a sticky directory of root with another user's in it",
    tree: { ...BASE, '/tmp/x': dir(THEM), '/tmp/x/a': file(US) },
    place: '/tmp/x/a',
    loose: ['foreign /tmp/x'],
  },
  {
    what: "another user's file in a sticky directory",
    tree: { ...BASE, '/tmp/a': file(THEM) },
    place: '/tmp/a',
    loose: ['foreign /tmp/a'],
  },
  {
    what: "the observer's file in a sticky directory",
    tree: { ...BASE, '/tmp/a': file(US) },
    place: '/tmp/a',
    loose: [],
  },
  {
    what: "another user's sticky directory",
    tree: { ...BASE, '/s': dir(THEM, 0o1777), '/s/a': file(US) },
    place: '/s/a',
    loose: ['foreign /s'],
  },
  {
    what: 'a world-writable directory that is not sticky',
    tree: { ...BASE, '/s': dir(0, 0o777), '/s/us': dir(US), '/s/us/a': file(US) },
    place: '/s/us/a',
    loose: ['writable /s'],
  },
  {
    what: "any user's link in a trusted directory",
    tree: { ...BASE, '/run/l': link('sidekey', THEM) },
    place: '/run/l/a',
    loose: [],
    path: '/run/sidekey/a',
  },
  {
    what: "a link to another user's directory",
    tree: { ...BASE, '/run/l': link('/home/them/run') },
    place: '/run/l/a',
    loose: ['foreign /home/them'],
    path: '/home/them/run/a',
  },
  {
    what: "a link in another user's directory to a trusted one",
    tree: { ...BASE, '/home/them/l': link('/run/sidekey') },
    place: '/home/them/l/a',
    loose: ['foreign /home/them'],
    path: '/run/sidekey/a',
  },
  {
    what: "another user's link in a sticky directory",
    tree: { ...BASE, '/tmp/l': link('/run/sidekey', THEM) },
    place: '/tmp/l/a',
    loose: ['foreign /tmp/l'],
  },
  {
    what: "the observer's link in a sticky directory",
    tree: { ...BASE, '/tmp/l': link('../run/./sidekey', US) },
    place: '/tmp/l/a',
    loose: [],
    path: '/run/sidekey/a',
  },
  {
    what: "a path that goes up from another user's directory",
    place: '/home/them/../../run/sidekey/a',
    loose: ['foreign /home/them'],
    path: '/run/sidekey/a',
  },
  {
    what: 'a / that others can write in',
    tree: { ...BASE, '/': dir(0, 0o777) },
    place: '/run/sidekey/a',
    loose: ['writable /'],
  },
  {
    what: 'several loose directories',
    tree: { ...BASE, '/home/them': dir(THEM, 0o777) },
    place: '/home/them/run/a',
    loose: ['foreign /home/them'],
  },
  {
    what: 'uid 65534 when every user is mapped',
    tree: HOST,
    place: '/home/us/a',
    loose: ['foreign /', 'foreign /home'],
  },
  {
    what: 'unmapped owners from / down to a directory of the observer',
    tree: HOST,
    as: inNamespace,
    place: '/home/us/a',
    loose: [],
  },
  {
    what: 'an unmapped /tmp with a directory of the observer in it',
    tree: HOST,
    as: inNamespace,
    place: '/tmp/us/a',
    loose: [],
  },
  {
    what: 'an unmapped directory in /tmp',
    tree: HOST,
    as: inNamespace,
    place: '/tmp/them/a',
    loose: ['unmapped /tmp/them'],
  },
  {
    what: 'an unmapped directory below one of the observer',
    tree: HOST,
    as: inNamespace,
    place: '/home/us/theirs/a',
    loose: ['unmapped /home/us/theirs'],
  },
  {
    what: 'an unmapped directory that a group can write in',
    tree: HOST,
    as: inNamespace,
    place: '/srv/a',
    loose: ['writable /srv'],
  },
  {
    what: 'an unmapped directory below a / with a known owner',
    tree: { ...HOST, '/': dir(0) },
    as: inNamespace,
    place: '/home/us/a',
    loose: ['unmapped /home'],
  },
  {
    what: 'an unmapped observer',
    tree: HOST,
    as: { uid: undefined, unmapped: UNMAPPED },
    place: '/tmp/them/a',
    loose: ['unmapped /tmp/them'],
  },
];

for (const { what, place, tree = BASE, as = me, loose, path } of TABLE) {
  test(`${what}: ${loose.length === 0 ? 'trusted' : 'loose'}`, () => {
    const walk = walkPath(place, as, viewOf(tree));
    assert.deepEqual(walk.loose.map(short), loose);
    if (path !== undefined) assert.equal(walk.path, path);
  });
}

test('unmapped owners are assumed to be root in an unbroken run from /, and listed', () => {
  const assumed = (place: string) => walkPath(place, inNamespace, viewOf(HOST)).assumed.map(({ place }) => place);
  assert.deepEqual(assumed('/home/us/theirs/a'), ['/', '/home']);
  assert.deepEqual(assumed('/tmp/us/a'), ['/', '/tmp']);
});

test('a file that servers create anew may not be in a shared directory, or in one of an unmapped owner', () => {
  const loose = (place: string, as = me, tree: Readonly<Record<string, Node>> = BASE) =>
    walkToMade(place, as, viewOf(tree)).loose.map(short);
  assert.deepEqual(loose('/run/sidekey/new'), []);
  assert.deepEqual(loose('/tmp/new'), ['shared /tmp']);
  assert.deepEqual(loose('/home/them/new'), ['foreign /home/them']);
  assert.deepEqual(loose('/home/new', inNamespace, HOST), ['unmapped /home']);
  assert.deepEqual(loose('/tmp/us/new', inNamespace, HOST), []);
});

test('a path that cannot be followed is an error', () => {
  const view = viewOf({ ...BASE, '/run/x': link('y'), '/run/y': link('x') });
  assert.throws(() => walkPath('/run/x/a', me, view), { code: 'ELOOP' });
  assert.throws(() => walkPath('/run/sidekey/a/b', me, view), { code: 'ENOTDIR' });
  const { missing, path, entry } = walkPath('/run/b/c', me, view);
  assert.deepEqual([missing, path, entry], [['b', 'c'], '/run', undefined]);
});

/** The reference: whether any other user can change what the path leads to, regardless of which finding reports it. */
function canBeChanged(tree: Readonly<Record<string, Node>>, place: string): boolean {
  const ours = (uid: number) => uid === 0 || uid === US;
  const step = (holder: string, parts: readonly string[], links: number): boolean => {
    const [part, ...rest] = parts;
    if (part === undefined) return false;
    const above = tree[holder || '/']!;
    const at = `${holder}/${part}`;
    const entry = tree[at];
    if (!ours(above.uid)) return true;
    const isOpen = (above.mode & 0o022) !== 0;
    const isSticky = (above.mode & 0o1000) !== 0;
    if (isOpen && !isSticky) return true;
    // Harmless but useless, so it is checked like the others.
    if (part === '..') return step(holder.slice(0, Math.max(0, holder.lastIndexOf('/'))), rest, links);
    if (entry === undefined) return false;
    if (isOpen && !ours(entry.uid)) return true;
    if (entry.target !== undefined) {
      if (links === 0) throw new Error('ELOOP');
      const more = [...entry.target.split('/').filter((one) => one !== ''), ...rest];
      return step(entry.target.startsWith('/') ? '' : holder, more, links - 1);
    }
    if (rest.length > 0 && (entry.mode & 0o170000) !== DIRECTORY) throw new Error('ENOTDIR');
    return step(at, rest, links);
  };
  return step(
    '',
    place.split('/').filter((one) => one !== ''),
    40,
  );
}

const NAMES = ['a', 'b'];
const PLACES = NAMES.flatMap((one) => [`/${one}`, ...NAMES.flatMap((two) => [`/${one}/${two}`, `/${one}/${two}/a`])]);
const uid = fc.constantFrom(0, US, THEM);
const directory = fc.record({
  uid: fc.constantFrom(0, 0, US, US, THEM),
  mode: fc.constantFrom(0o755, 0o755, 0o700, 0o775, 0o777, 0o1777, 0o1770).map((mode) => DIRECTORY | mode),
});
const node: fc.Arbitrary<Node> = fc.oneof(
  { weight: 6, arbitrary: directory },
  { weight: 1, arbitrary: uid.map((one) => file(one)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('..', '../..', '/a', 'a', '/b/b', '../b', '/'), uid)
      .map(([to, one]) => link(to, one)),
  },
);

test('a walk finds a loose entry exactly if another user can change what the path leads to', () => {
  let trusted = 0;
  const trees = fc.record({ '/': directory, ...Object.fromEntries(PLACES.map((place) => [place, node])) });
  fc.assert(
    fc.property(
      trees as fc.Arbitrary<Record<string, Node>>,
      fc.constantFrom(...PLACES, '/a/../b/a', '/b/a/../b'),
      (tree, place) => {
        // The components below a file that is not a directory do not exist.
        const isThere = (at: string): boolean => {
          const above = at.slice(0, at.lastIndexOf('/')) || '/';
          return above === '/' ? true : (tree[above]!.mode & 0o170000) === DIRECTORY && isThere(above);
        };
        const real = Object.fromEntries(Object.entries(tree).filter(([at]) => at === '/' || isThere(at)));
        let expected: boolean;
        try {
          expected = canBeChanged(real, place);
        } catch {
          return;
        }
        const { loose } = walkPathOrNone(real, place) ?? {};
        if (loose === undefined)
          return assert.ok(expected, 'only an earlier loose directory may lead to another end of the walk');
        if (!expected) trusted += 1;
        assert.equal(loose.length > 0, expected, JSON.stringify(loose));
      },
    ),
    { numRuns: 20_000 },
  );
  assert.ok(trusted > 100, `${trusted} of the paths were trusted`);
});

function walkPathOrNone(tree: Readonly<Record<string, Node>>, place: string) {
  try {
    return walkPath(place, me, viewOf(tree));
  } catch {
    return undefined;
  }
}
