/** Generates src/gen from Envoy's and the project's protos (buf, ts-proto), unless it is already what these inputs give. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { deflateSync } from 'node:zlib';
import { parse } from 'yaml';
import { describeFiles } from './descriptors.ts';

const root = path.dirname(import.meta.dirname);
const bin = path.join(root, 'node_modules/.bin');
const stamp = path.join(root, 'src/gen/.inputs');

function inputsHash(): string {
  const hash = createHash('sha256');
  const protos = globSync('proto/**/*.proto', { cwd: root }).sort();
  const scripts = ['scripts/generate.ts', 'scripts/descriptors.ts'];
  for (const file of ['buf.yaml', 'buf.gen.yaml', 'package-lock.json', ...scripts, ...protos]) {
    hash.update(file).update(readFileSync(path.join(root, file)));
  }
  return hash.digest('hex');
}

/** Runs buf; ends this process if it fails. @returns its stdout */
function buf(...args: readonly string[]): Buffer {
  const { status, stdout } = spawnSync(path.join(bin, 'buf'), args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    // buf finds protoc-gen-ts_proto, and that its Node, by PATH.
    env: { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}` },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) process.exit(status ?? 1);
  return stdout;
}

/** What only agents of other hosts call, not clients of the pipe. */
const FOR_AGENTS = ['proto/spire', 'proto/sidekey'];

/** Writes what server reflection on the pipe tells about the same files and types, without those for agents. */
function writeDescriptors(): void {
  const { inputs } = parse(readFileSync(path.join(root, 'buf.gen.yaml'), 'utf8')) as {
    inputs: [{ paths: string[]; types: string[] }];
  };
  const [{ paths, types }] = inputs;
  const which = [
    ...paths.filter((one) => !FOR_AGENTS.includes(one)).map((one) => `--path=${one}`),
    ...types.filter((one) => !/^(spire|sidekey)\./.test(one)).map((one) => `--type=${one}`),
  ];
  const set = buf('build', '--as-file-descriptor-set', '--exclude-source-info', '--output=-#format=binpb', ...which);
  const described = deflateSync(JSON.stringify(describeFiles(set)), { level: 9 }).toString('base64');
  const comment = '/** Deflated JSON in base64: an array of FileDescription, see src/standard/descriptors.ts. */';
  writeFileSync(path.join(root, 'src/gen/descriptors.ts'), `${comment}\nexport const DESCRIPTORS = '${described}';\n`);
}

const wanted = inputsHash();
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  process.stdout.write(buf('generate'));
  writeDescriptors();
  writeFileSync(stamp, wanted);
}

// Imported late: the routes import what buf has just generated.
const { generateClient } = await import('./generate-client.ts');
await generateClient();
