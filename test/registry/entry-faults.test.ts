import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EntryFaultsParts, entryFaults } from '../../src/registry/entry-faults.ts';
import { parseEntryInput } from '../../src/registry/entry-input.ts';
import { openRegistry } from '../../src/registry/index.ts';
import { open, SILENT, TRUST_DOMAIN } from './support.ts';

const DAY_MS = 86_400_000;
const HOST = (name: string) => `spiffe://${TRUST_DOMAIN}/host/${name}`;

const entry = (id: string, name: string, parent: string, ...selectors: readonly string[]) =>
  parseEntryInput(
    { id, spiffe_id: `spiffe://${TRUST_DOMAIN}/${name}`, parent_id: parent, selectors },
    { trustDomain: TRUST_DOMAIN, allowWeakSelectors: false, hasAgents: true },
  );

const INPUTS = [
  entry('alias', 'host/a', `spiffe://${TRUST_DOMAIN}/spire/server`, 'x509pop:subject:cn:a'),
  entry('on-a', 'web', HOST('a'), 'docker:label:app:web'),
  entry('on-b', 'web', HOST('b'), 'docker:label:app:web'),
  entry('here', 'web', '', 'docker:label:app:web'),
  entry('on-b-more', 'web', HOST('b'), 'docker:label:app:web', 'unix:uid:1'),
];

test('where agents attach, a fault of an entry is one of the host that it is for', async (t) => {
  const { store, clock } = await open(t);
  const registry = await openRegistry({ store, trustDomain: TRUST_DOMAIN, clock, log: SILENT, hasAgents: true });
  t.after(() => registry.close());
  const made = await registry.create(INPUTS, 'api');
  const faultsOf = (parts: Partial<EntryFaultsParts>) => {
    const rest = { whyNever: () => undefined, meant: () => undefined, issued: new Set<string>(), now: clock.now() };
    const found = [...entryFaults({ registry, ...rest, ...parts })].filter((fault) => fault !== undefined);
    return found.map((fault) => [fault.kind, fault.entry.id]);
  };
  assert.equal(made.length, INPUTS.length);
  assert.deepEqual(faultsOf({}), [['shadowed', 'on-b-more']]);
  const whyNever = ({ type }: { readonly type: string }) =>
    type === 'unix' ? undefined : 'no such attestor runs here';
  assert.deepEqual(faultsOf({ whyNever }), [
    ['unproducible', 'here'],
    ['shadowed', 'on-b-more'],
  ]);
  const later = faultsOf({ now: clock.now() + DAY_MS }).sort();
  assert.deepEqual(later, [
    ['never-issued', 'here'],
    ['never-issued', 'on-a'],
    ['never-issued', 'on-b'],
    ['shadowed', 'on-b-more'],
  ]);
});
