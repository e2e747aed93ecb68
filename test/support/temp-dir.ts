/** Directories of a test's own. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

/** An empty directory (0700), removed when the test ends. */
export function tempDir(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'sidekey-test-'));
  // A server that is ending may still write into it.
  t.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}
