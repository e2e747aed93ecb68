/**
 * The rooms of src/ and who may import whom; docs/architecture.md has the reasons. Also: other rooms import only a room's
 * face, `<room>/index.ts`, and no file may be part of an import cycle, types included. Tests may import any file.
 */

import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The catalog of attestors, which loads an attestor only to run it. */
const CATALOG = ['attest/catalog.ts', 'attest/selector-kinds.ts', 'attest/placeholders.ts', 'types:attest'];

/**
 * What a room may import, besides itself and LEAVES. A file stands for the names that it exports, although they are imported
 * from the face of its room. `types:x` allows only types of x.
 */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  spiffe: [],
  telemetry: [],
  config: ['ca/name.ts', 'ca/published-hints.ts', 'ca/upstream/settings.ts', ...CATALOG],
  registry: [...CATALOG],
  'entries-file': ['registry'],
  ca: [],
  jwt: ['types:ca', 'types:registry'],
  oidc: ['types:ca', 'https'],
  https: [],
  federation: ['types:ca', 'ca/own-svid.ts', 'registry', 'https'],
  attest: [],
  wire: ['types:attest', 'gen/google/rpc/status.ts'],
  identity: ['registry', 'ca', ...CATALOG],
  delivery: [
    'identity',
    'types:registry',
    'types:ca',
    'types:attest',
    'wire/types.ts',
    'gen/google/rpc/error_details.ts',
  ],
  sds: ['delivery', 'identity', 'types:registry', 'types:ca', 'types:attest', 'wire/types.ts', 'gen'],
  'workload-api': [
    'delivery',
    'identity',
    'jwt',
    'types:registry',
    'types:ca',
    'types:attest',
    'wire/decode.ts',
    'wire/types.ts',
    'gen',
  ],
  agents: ['attest/socket-reading.ts', 'ca', 'jwt', 'registry', 'wire', 'gen'],
  uplink: ['ca', 'registry', 'gen'],
  remote: ['ca', 'jwt', 'types:registry', 'types:delivery', 'types:uplink', 'gen'],
  standard: ['wire/decode.ts', 'wire/types.ts', 'gen'],
  revocation: ['types:registry', 'types:ca', 'types:identity', 'types:delivery'],
  admin: [
    'registry',
    'entries-file',
    'ca',
    'identity',
    'types:https',
    'types:delivery',
    'types:agents',
    'delivery/stream-report.ts',
    'types:revocation',
    'federation/status.ts',
    'types:federation',
    ...CATALOG,
  ],
  client: ['gen'],
  // In the browser: of the server it knows only what the OpenAPI document says.
  page: ['gen/admin-api.ts'],
  backup: [],
  metrics: [
    'types:agents',
    'types:registry',
    'registry/federated-bundle.ts',
    'types:ca',
    'types:attest',
    'types:identity',
    'types:delivery',
    'types:jwt',
    'federation/status.ts',
    'types:federation',
  ],
  envoy: [],
  hcl: [],
  lock: [],
  'svid-files': ['gen/workload.ts', 'attest/pinned-process.ts', 'lock'],
  migrate: ['hcl', 'registry'],
  doctor: [
    'envoy',
    'types:admin',
    'attest/docker/engine-trust.ts',
    'attest/missing-programs.ts',
    'attest/proc/cgroup.ts',
    'attest/proc/stat.ts',
    'attest/proc/status.ts',
    'attest/proc-view.ts',
    'attest/reach.ts',
    ...CATALOG,
  ],
  cli: [
    'config',
    'envoy',
    'hcl',
    'migrate',
    'doctor',
    'types:admin',
    'client',
    'entries-file',
    'registry/entry-fields.ts',
    'registry/entry-warnings.ts',
    'attest/missing-programs.ts',
    'attest/socket-listener.ts',
    ...CATALOG,
    'gen',
    'hcl',
    'svid-files',
    'backup',
    'server/agent-run.ts',
    'server/check.ts',
    'server/hardening.ts',
    'server/restore.ts',
    'server/server.ts',
    'server/supervisor.ts',
  ],
  server: [
    'config',
    'lock',
    'registry',
    'backup',
    'entries-file',
    'ca',
    'jwt',
    'oidc',
    'federation',
    'https',
    'attest',
    'wire',
    'identity',
    'delivery',
    'sds',
    'workload-api',
    'standard',
    'revocation',
    'agents',
    'uplink',
    'remote',
    'admin',
    'doctor',
    'metrics',
  ],
};

/** Any room may import these; they import nothing but each other's leaves. */
const LEAVES: readonly string[] = ['base', 'spiffe', 'telemetry', 'limits', 'audit'];
const LEAF_RULES: Readonly<Record<string, readonly string[]>> = {
  base: [],
  spiffe: [],
  telemetry: ['base'],
  limits: ['base', 'telemetry'],
  audit: ['base', 'telemetry'],
};

/** The only files of a room that may use one of its rights. */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  'cli -> server': ['cli/serve.ts', 'cli/backup-run.ts', 'cli/restore-backup.ts'],
  'cli -> backup': ['cli/backup-secrets.ts', 'cli/make-backup.ts', 'cli/restore-backup.ts'],
};

export interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
  /** Undefined: everything, as with `import()`. */
  readonly names?: readonly ImportedName[];
}

export interface ImportedName {
  readonly name: string;
  readonly typeOnly: boolean;
}

/** Every import between files of `src`, as paths from it. */
export function readImports(src: string): Import[] {
  const imports: Import[] = [];
  for (const file of globSync('**/*.{ts,tsx}', { cwd: src }).sort()) {
    if (file.startsWith('gen/')) continue;
    const text = readFileSync(path.join(src, file), 'utf8');
    const add = (specifier: string, typeOnly: boolean, names?: readonly ImportedName[]) => {
      const to = path.normalize(path.join(path.dirname(file), specifier));
      if (/\.tsx?$/.test(to)) imports.push({ from: file, to, typeOnly, ...(names && { names }) });
    };
    for (const [, type, clause, specifier] of text.matchAll(STATEMENT)) {
      const names = namesIn(clause!, type !== undefined);
      add(specifier!, type !== undefined || (names?.every(({ typeOnly }) => typeOnly) ?? false), names);
    }
    for (const match of text.matchAll(/\bimport\(\s*['"](\.[^'"]+)['"]/g)) add(match[1]!, false);
  }
  return imports;
}

const STATEMENT = /^(?:import|export)\s+(type\s)?([^;'"]*?)['"](\.[^'"]+)['"]/gm;

/** The names in `{ a, type B as C } from`; undefined without braces. */
function namesIn(clause: string, typeOnly: boolean): ImportedName[] | undefined {
  const list = /^\s*\{([^}]*)\}/.exec(clause)?.[1];
  return list
    ?.split(',')
    .map((text) => /^\s*(type\s+)?(\w+)/.exec(text))
    .filter((found) => found !== null)
    .map(([, type, name]) => ({ name: name!, typeOnly: typeOnly || type !== undefined }));
}

export function roomOf(file: string): string {
  return file.split('/')[0]!;
}

/** The only file of a room that other rooms import. Generated code has none: each of its files is one of Envoy's. */
function faceOf(room: string): string | undefined {
  return room === 'gen' ? undefined : `${room}/index.ts`;
}

function isFace(file: string): boolean {
  return file === faceOf(roomOf(file));
}

/** One line for each import that breaks a rule, and for each cycle. */
export function violations(imports: readonly Import[]): string[] {
  const behind = filesBehind(imports);
  return [
    ...imports.flatMap((one) => {
      const forbidden = throughFace(one, behind).filter((each) => !allowed(each));
      return forbidden.length > 0 ? forbidden.map(explain) : pastFace(one);
    }),
    ...unusedExports(imports),
    ...sharedNames(imports),
    ...cycles(imports),
  ];
}

/** The files whose names each face exports, by face and name. */
type FilesBehind = ReadonlyMap<string, ReadonlyMap<string, string>>;

function filesBehind(imports: readonly Import[]): FilesBehind {
  const behind = new Map<string, Map<string, string>>();
  for (const { from, to, names = [] } of imports) {
    if (!isFace(from)) continue;
    const known = behind.get(from) ?? new Map<string, string>();
    behind.set(from, known);
    for (const { name } of names) known.set(name, to);
  }
  return behind;
}

/** An import from a face, as imports of the files that declare the names: the rights of a room may be for some files only. */
function throughFace(one: Import, behind: FilesBehind): Import[] {
  const { from, to, names } = one;
  const files = behind.get(to);
  if (files === undefined || roomOf(from) === roomOf(to)) return [one];
  const all = names ?? [...files.keys()].map((name) => ({ name, typeOnly: false }));
  const found = all.map(({ name, typeOnly }) => ({ from, to: files.get(name) ?? to, typeOnly }));
  return found.filter((each, at) => found.findIndex((o) => o.to === each.to && o.typeOnly === each.typeOnly) === at);
}

function pastFace({ from, to }: Import): string[] {
  const face = faceOf(roomOf(to));
  if (roomOf(from) === roomOf(to)) {
    return to === face ? [`src/${from} imports the face of its own room: import the file that declares the name`] : [];
  }
  if (face === undefined || to === face) return [];
  return [`src/${from} imports src/${to}: import from src/${face}, and export the name there`];
}

/** A face exports what other rooms use, and nothing else. */
function unusedExports(imports: readonly Import[]): string[] {
  const used = new Set<string>();
  for (const { from, to, names } of imports) {
    if (roomOf(from) === roomOf(to)) continue;
    if (names === undefined) used.add(to);
    for (const { name } of names ?? []) used.add(`${to} ${name}`);
  }
  return imports
    .filter(({ from }) => isFace(from) && !used.has(from))
    .flatMap(({ from, names = [] }) =>
      names
        .filter(({ name }) => !used.has(`${from} ${name}`))
        .map(({ name }) => `src/${from} exports ${name}, which no other room imports`),
    );
}

/** No two rooms export the same name, so that a name is one thing everywhere. */
function sharedNames(imports: readonly Import[]): string[] {
  const faces = new Map<string, string>();
  return imports
    .filter(({ from }) => isFace(from))
    .flatMap(({ from, names = [] }) =>
      names.flatMap(({ name }) => {
        const other = faces.get(name);
        faces.set(name, from);
        return other === undefined ? [] : [`src/${other} and src/${from} export ${name}: give one another name`];
      }),
    );
}

/** One line for each face of `src` that has more than a comment and exports of names of its room's files. */
export function impureFaces(src: string): string[] {
  return globSync('*/index.ts', { cwd: src })
    .sort()
    .filter((file) => {
      const text = readFileSync(path.join(src, file), 'utf8');
      return !/^\/\*\*.*?\*\/\s*(export\s+(type\s+)?\{[^}]*\}\s+from\s+'\.\/[^']+';\s*)*$/s.test(text);
    })
    .map((file) => `src/${file} has more than a comment and export { … } from './…'`);
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
  if (only !== undefined && !only.includes(from)) return false;
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
