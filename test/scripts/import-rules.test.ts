import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { draw, impureFaces, readImports, violations } from '../../scripts/import-rules.ts';
import { ROOT } from '../support/serve.ts';

function copyOfSources(t: TestContext): string {
  const src = mkdtempSync(path.join(tmpdir(), 'sidekey-src-'));
  t.after(() => rmSync(src, { recursive: true, force: true }));
  const generated = path.join(ROOT, 'src/gen');
  cpSync(path.join(ROOT, 'src'), src, { recursive: true, filter: (from) => from !== generated });
  return src;
}

/** The faults of the sources with one more file. */
function planted(t: TestContext, file: string, text: string): string[] {
  const src = copyOfSources(t);
  writeFileSync(path.join(src, file), text);
  return violations(readImports(src));
}

/** The faults of the sources with more text at the end of a room's face. */
function faced(t: TestContext, face: string, text: string): string[] {
  const src = copyOfSources(t);
  appendFileSync(path.join(src, face), text);
  return [...violations(readImports(src)), ...impureFaces(src)];
}

describe('the import rules', () => {
  it('hold in the sources as they are', () => {
    const src = path.join(ROOT, 'src');
    assert.deepEqual([...violations(readImports(src)), ...impureFaces(src)], []);
  });

  it('name a room that imports another that it may not', (t) => {
    const found = planted(t, 'registry/planted.ts', "import { makeRoot } from '../ca/authority.ts';\n");
    assert.equal(found.length, 1);
    assert.match(found[0]!, /^src\/registry\/planted\.ts imports src\/ca\/authority\.ts, but registry may import only/);
  });

  it('find a dynamic import, a re-export and one over several lines', (t) => {
    const text =
      "import {\n  a,\n} from '../sds/names.ts';\nexport { b } from '../admin/admin.ts';\nawait import('../cli/main.ts');\n";
    assert.equal(planted(t, 'ca/planted.ts', text).length, 3);
  });

  it('tell the import of a type from that of a value', (t) => {
    const both = "import { createPipe, type Peer } from '../attest/index.ts';\n";
    assert.deepEqual(planted(t, 'identity/planted.ts', both.replace('createPipe, ', '')), []);
    assert.deepEqual(
      planted(t, 'identity/planted.ts', both).map((line) => line.slice(0, line.indexOf(', but'))),
      ['src/identity/planted.ts imports src/attest/pipe.ts'],
    );
    assert.equal(planted(t, 'identity/planted.ts', "import { openPeer } from '../attest/peer.ts';\n").length, 1);
  });

  it('let only the serve command import the composition', (t) => {
    assert.equal(planted(t, 'cli/planted.ts', "import { startServer } from '../server/index.ts';\n").length, 1);
  });

  it('know no room that is not in the table', (t) => {
    const found = planted(t, 'planted.ts', "import { makeRoot } from './ca/authority.ts';\n");
    assert.equal(found.length, 1);
  });

  it('refuse an import past the face of another room, and say where the name is', (t) => {
    const statements = [
      "import { makeRoot } from '../ca/authority.ts';",
      "import type { CaCertificate } from '../ca/types.ts';",
      "export { issue } from '../ca/issuer.ts';",
      "await import('../ca/leaf.ts');",
    ];
    assert.deepEqual(
      planted(t, 'identity/planted.ts', `${statements.join('\n')}\n`),
      ['authority', 'types', 'issuer', 'leaf'].map(
        (file) =>
          `src/identity/planted.ts imports src/ca/${file}.ts: import from src/ca/index.ts, and export the name there`,
      ),
    );
  });

  it('let generated code be imported file by file', (t) => {
    assert.deepEqual(planted(t, 'sds/planted.ts', "import { Struct } from '../gen/google/protobuf/struct.ts';\n"), []);
  });

  it('refuse an import of the own face, which would load all of the room', (t) => {
    const [found] = planted(t, 'attest/unix/planted.ts', "import { kindOf } from '../index.ts';\n");
    assert.match(found!, /^src\/attest\/unix\/planted\.ts imports the face of its own room/);
  });

  it('look through import() of a face at everything that it exports', (t) => {
    assert.ok(planted(t, 'registry/planted.ts', "await import('../attest/index.ts');\n").length > 1);
  });

  it('find a name in a face that no other room imports', (t) => {
    assert.deepEqual(faced(t, 'ca/index.ts', "export { makeRoot } from './authority.ts';\n"), [
      'src/ca/index.ts exports makeRoot, which no other room imports',
    ]);
  });

  it('find a name that two rooms export', (t) => {
    const found = faced(t, 'ca/index.ts', "export { nearest } from './planted.ts';\n");
    assert.ok(
      found.includes('src/base/index.ts and src/ca/index.ts export nearest: give one another name'),
      `${found}`,
    );
  });

  it('find anything else in a face', (t) => {
    for (const text of [
      'export const one = 1;\n',
      "import './der.ts';\n",
      "export * from './der.ts';\n",
      "export { nearest } from '../base/index.ts';\n",
    ]) {
      assert.match(faced(t, 'ca/index.ts', text).join('\n'), /^src\/ca\/index\.ts has more than a comment/m);
    }
  });

  it('find a cycle of files', (t) => {
    const found = planted(t, 'spiffe/planted.ts', "import './planted.ts';\n");
    assert.deepEqual(found, ['import cycle: spiffe/planted.ts -> spiffe/planted.ts']);
  });

  it('draw each pair of rooms once, dotted where only types are imported', () => {
    const imports = [
      { from: 'sds/a.ts', to: 'identity/b.ts', typeOnly: true },
      { from: 'sds/a.ts', to: 'identity/c.ts', typeOnly: false },
      { from: 'wire/a.ts', to: 'attest/b.ts', typeOnly: true },
      { from: 'wire/a.ts', to: 'base/b.ts', typeOnly: false },
    ];
    assert.equal(draw(imports), 'graph TD\n  sds --> identity\n  wire -.-> attest');
  });
});
