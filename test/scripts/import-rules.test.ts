import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { draw, readImports, violations } from '../../scripts/import-rules.ts';
import { ROOT } from '../support/serve.ts';

/** A copy of the sources with one more file in it. */
function planted(t: TestContext, file: string, text: string): string[] {
  const src = mkdtempSync(path.join(tmpdir(), 'sidekey-src-'));
  t.after(() => rmSync(src, { recursive: true, force: true }));
  const generated = path.join(ROOT, 'src/gen');
  cpSync(path.join(ROOT, 'src'), src, { recursive: true, filter: (from) => from !== generated });
  writeFileSync(path.join(src, file), text);
  return violations(readImports(src));
}

describe('the import rules', () => {
  it('hold in the sources as they are', () => {
    assert.deepEqual(violations(readImports(path.join(ROOT, 'src'))), []);
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
    assert.deepEqual(planted(t, 'identity/planted.ts', "import type { Peer } from '../attest/types.ts';\n"), []);
    assert.equal(planted(t, 'identity/planted.ts', "import { openPeer } from '../attest/peer.ts';\n").length, 1);
  });

  it('let only the serve command import the composition', (t) => {
    assert.equal(planted(t, 'cli/planted.ts', "import { startServer } from '../server/server.ts';\n").length, 1);
  });

  it('know no room that is not in the table', (t) => {
    const found = planted(t, 'planted.ts', "import { makeRoot } from './ca/authority.ts';\n");
    assert.equal(found.length, 1);
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
