import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { ATTESTORS, attestorOf, runningWith } from '../../src/attest/catalog.ts';
import {
  isChosen,
  isKeptIfAsked,
  isOfContainer,
  isOfRoot,
  isSecret,
  isWeak,
  LAZY_KINDS,
  NAMED_KINDS,
  redactSelector,
  sourceOf,
} from '../../src/attest/selector-kinds.ts';
import { type Selector, splitSelector } from '../../src/spiffe/selector.ts';
import { ROOT } from '../support/serve.ts';

const selector = (text: string): Selector => splitSelector(text)!;

/** What each of these selectors is, by the catalog. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  'unix:uid:0': ['of root'],
  'unix:uid:00': [],
  'unix:uid:1000': [],
  'unix:user:root': ['of root'],
  'unix:supplementary_gid:0': ['of root', 'kept if asked'],
  'unix:supplementary_group:adm': ['kept if asked'],
  'unix:path:/bin/sh': ['weak', 'chosen'],
  'unix:sha256:ab': ['weak'],
  'docker:env:A=b': ['chosen', 'secret', 'kept if asked', 'of a container'],
  'docker:label:a:b': ['chosen', 'kept if asked', 'of a container'],
  'docker:image_config_digest:sha256:ab': ['kept if asked', 'of a container'],
  'docker:toString:a': ['of a container'],
  'systemd:id:web.service': [],
  'k8s:ns:default': [],
  'constructor:name:x': [],
};

const CHECKS: readonly (readonly [string, (selector: Selector) => boolean])[] = [
  ['weak', isWeak],
  ['chosen', isChosen],
  ['of root', isOfRoot],
  ['secret', isSecret],
  ['kept if asked', isKeptIfAsked],
  ['of a container', isOfContainer],
];

test('the catalog says of a selector what its kind is', () => {
  for (const [text, is] of Object.entries(KNOWN)) {
    const found = CHECKS.flatMap(([name, check]) => (check(selector(text)) ? [name] : []));
    assert.deepEqual(found, is, text);
  }
  assert.deepEqual(LAZY_KINDS, ['unix:sha256', 'systemd:id']);
  assert.deepEqual(
    NAMED_KINDS.map(({ prefix, end }) => prefix + end),
    ['docker:label::', 'docker:env:='],
  );
});

test('each kind has a source, and a fact of no kind has an attestor', () => {
  for (const { type, kinds } of ATTESTORS) {
    for (const [kind, { source }] of Object.entries(kinds)) assert.equal(sourceOf(`${type}:${kind}:x`), source);
  }
  assert.equal(sourceOf('k8s:ns:default'), 'an attestor');
  assert.equal(sourceOf('docker'), 'an attestor');
});

test('the example of each attestor is a selector that an entry may have', () => {
  for (const { type, kinds, example } of ATTESTORS) {
    const colon = example.indexOf(':');
    assert.ok(kinds[example.slice(0, colon)]!.fits(example.slice(colon + 1)), `${type}:${example}`);
  }
});

test('no secret is shown, whatever it begins with', () => {
  assert.equal(redactSelector(selector('docker:env:A=b=c')), 'docker:env:A=[redacted]');
  assert.equal(redactSelector(selector('docker:env:=b')), 'docker:env:=[redacted]');
  assert.equal(redactSelector(selector('docker:env:A')), 'docker:env:A');
});

test('docker runs where a socket is given, the others always', () => {
  const types = (dockerSocket: string | undefined) => runningWith({ dockerSocket }).map(({ type }) => type);
  assert.deepEqual(types(undefined), ['unix', 'systemd']);
  assert.deepEqual(types('/d.sock'), ['unix', 'docker', 'systemd']);
  assert.equal(attestorOf('toString'), undefined);
});

test('who reads the catalog loads no attestor', () => {
  const catalog = path.join(ROOT, 'src/attest/selector-kinds.ts');
  const program = `
    const urls = [];
    require('node:module').registerHooks({
      resolve(specifier, context, next) {
        const resolved = next(specifier, context);
        urls.push(resolved.url);
        return resolved;
      },
    });
    import(${JSON.stringify(catalog)}).then(() => console.log(JSON.stringify(urls)));`;
  const urls: string[] = JSON.parse(execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' }));
  assert.ok(urls.some((url) => url.endsWith('/src/attest/systemd/systemd.ts')));
  for (const url of urls) assert.doesNotMatch(url, /attestor\.ts|libc|koffi|node:http/);
});
