/**
 * The rooms of src/ and who may import whom; docs/architecture.md has the reasons. Also: no file may be part of an
 * import cycle, types included.
 */

import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The catalog of attestors, which loads an attestor only to run it. */
const CATALOG = ['attest/catalog.ts', 'attest/selector-kinds.ts', 'types:attest'];

/** What a room may import, besides itself and LEAVES. `types:x` allows only `import type` from x. */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  spiffe: [],
  telemetry: [],
  config: ['ca/name.ts', 'ca/upstream/settings.ts', ...CATALOG],
  registry: [...CATALOG],
  'entries-file': ['registry'],
  ca: [],
  attest: [],
  wire: ['types:attest', 'gen/google/rpc/status.ts'],
  identity: ['registry', 'ca', ...CATALOG],
  sds: ['identity', 'types:registry', 'types:ca', 'types:attest', 'wire/types.ts', 'gen'],
  standard: ['wire/types.ts', 'gen'],
  admin: ['registry', 'entries-file', 'ca', 'identity', 'sds', ...CATALOG],
  client: [],
  envoy: [],
  doctor: [
    'envoy',
    'types:admin',
    'attest/docker/engine-trust.ts',
    'attest/proc/cgroup.ts',
    'attest/proc/stat.ts',
    'attest/proc/status.ts',
    'attest/reach.ts',
    ...CATALOG,
  ],
  cli: [
    'config',
    'envoy',
    'doctor',
    'types:admin',
    'client',
    'entries-file',
    'registry/entry-fields.ts',
    'registry/entry-warnings.ts',
    'attest/socket-listener.ts',
    ...CATALOG,
    'gen',
    'server/check.ts',
    'server/hardening.ts',
    'server/server.ts',
  ],
  server: ['config', 'registry', 'entries-file', 'ca', 'attest', 'wire', 'identity', 'sds', 'standard', 'admin'],
};

/** Any room may import these; they import nothing but each other's leaves. */
const LEAVES: readonly string[] = ['base', 'spiffe', 'telemetry', 'limits'];
const LEAF_RULES: Readonly<Record<string, readonly string[]>> = {
  base: [],
  spiffe: [],
  telemetry: ['base'],
  limits: ['base', 'telemetry'],
};

/** Files of a room that alone may use one of its rights. */
const ONLY: Readonly<Record<string, string>> = { 'cli -> server': 'cli/serve.ts' };

export interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

/** Every import between files of `src`, as paths from it. */
export function readImports(src: string): Import[] {
  const imports: Import[] = [];
  for (const file of globSync('**/*.ts', { cwd: src }).sort()) {
    if (file.startsWith('gen/')) continue;
    const text = readFileSync(path.join(src, file), 'utf8');
    const add = (specifier: string, typeOnly: boolean) => {
      const to = path.normalize(path.join(path.dirname(file), specifier));
      if (to.endsWith('.ts')) imports.push({ from: file, to, typeOnly });
    };
    for (const match of text.matchAll(/^(?:import|export)\s+(type\s)?[^;'"]*?['"](\.[^'"]+)['"]/gm)) {
      add(match[2]!, match[1] !== undefined);
    }
    for (const match of text.matchAll(/\bimport\(\s*['"](\.[^'"]+)['"]/g)) add(match[1]!, false);
  }
  return imports;
}

export function roomOf(file: string): string {
  return file.split('/')[0]!;
}

/** One line for each import that breaks a rule, and for each cycle. */
export function violations(imports: readonly Import[]): string[] {
  return [...imports.filter((i) => !allowed(i)).map(explain), ...cycles(imports)];
}

function allowed({ from, to, typeOnly }: Import): boolean {
  const room = roomOf(from);
  const target = roomOf(to);
  if (room === target) return true;
  const leafRules = LEAF_RULES[room];
  if (leafRules !== undefined) return leafRules.includes(target);
  if (LEAVES.includes(target)) return true;
  const rights = ROOMS[room];
  if (rights === undefined) return false;
  const only = ONLY[`${room} -> ${target}`];
  if (only !== undefined && from !== only) return false;
  return rights.includes(target) || rights.includes(to) || (typeOnly && rights.includes(`types:${target}`));
}

function explain({ from, to, typeOnly }: Import): string {
  const room = roomOf(from);
  const rights = [...(LEAF_RULES[room] ?? [...(ROOMS[room] ?? []), ...LEAVES])].join(', ') || 'nothing';
  return `src/${from} imports ${typeOnly ? 'types of ' : ''}src/${to}, but ${room} may import only: ${rights}`;
}

function cycles(imports: readonly Import[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of imports) next.set(from, [...(next.get(from) ?? []), to]);
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, trail: readonly string[]): void => {
    if (trail.includes(file)) {
      found.push(`import cycle: ${[...trail.slice(trail.indexOf(file)), file].join(' -> ')}`);
      return;
    }
    if (done.has(file)) return;
    for (const to of next.get(file) ?? []) visit(to, [...trail, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
  return found;
}

/** The import graph between rooms as a Mermaid diagram: a dotted arrow is types alone; the leaves are left out. */
export function draw(imports: readonly Import[]): string {
  const arrows = new Map<string, boolean>();
  for (const { from, to, typeOnly } of imports) {
    const [room, target] = [roomOf(from), roomOf(to)];
    if (room === target || LEAVES.includes(target) || LEAVES.includes(room)) continue;
    const key = `${room.replace('.ts', '')} ${target.replace('.ts', '')}`;
    arrows.set(key, (arrows.get(key) ?? true) && typeOnly);
  }
  const lines = [...arrows].sort().map(([key, typeOnly]) => `  ${key.replace(' ', typeOnly ? ' -.-> ' : ' --> ')}`);
  return ['graph TD', ...lines].join('\n');
}
