/** Generates src/gen from Envoy's protos (buf, ts-proto), unless it is already what these inputs give. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const bin = path.join(root, 'node_modules/.bin');
const stamp = path.join(root, 'src/gen/.inputs');

function inputsHash(): string {
  const hash = createHash('sha256');
  const protos = globSync('proto/**/*.proto', { cwd: root }).sort();
  for (const file of ['buf.yaml', 'buf.gen.yaml', 'package-lock.json', ...protos]) {
    hash.update(file).update(readFileSync(path.join(root, file)));
  }
  return hash.digest('hex');
}

const wanted = inputsHash();
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  const { status } = spawnSync(path.join(bin, 'buf'), ['generate'], {
    cwd: root,
    stdio: 'inherit',
    // buf finds protoc-gen-ts_proto, and that its Node, by PATH.
    env: { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}` },
  });
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(stamp, wanted);
}
