/** `sidekey migrate spire`: reads SPIRE's side, writes the new files, prints what becomes of what and the next steps. */

import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { printable, readInputFile, SidekeyError, shellQuote, writeFileAtomic } from '../base/index.ts';
import { readHclFile } from '../hcl/index.ts';
import {
  agentSelectors,
  askSpire,
  convertSettings,
  type EntryRow,
  expandEnv,
  foreignBundles,
  type JsonInput,
  ownRoots,
  pickEntries,
  readJsonFile,
  relationships,
  type SpireRelationship,
  settingsOf,
} from '../migrate/index.ts';
import { certificateBlocks, parseSpiffeId, parseTrustDomain, trustDomainOf } from '../spiffe/index.ts';
import { asCalled } from './called-as.ts';
import { UsageError } from './errors.ts';
import type { MigrateOptions } from './migrate-options.ts';
import { isData, printData, printTable } from './output.ts';

/** Maximum size of the PEM files of an upstream, in bytes. */
const MAX_PEM_BYTES = 1024 * 1024;

type Settings = ReturnType<typeof convertSettings>;

/** What the SPIRE server says about itself; undefined: not asked, and no file of it. */
interface SpireState {
  readonly entries: JsonInput | undefined;
  readonly agent: JsonInput | undefined;
  readonly bundle: JsonInput | undefined;
  readonly bundles: JsonInput | undefined;
  readonly federation: JsonInput | undefined;
}

export async function migrateSpire(options: MigrateOptions): Promise<void> {
  const { agent, to, serverConfig, agentConfig } = options;
  if (serverConfig === undefined && agentConfig === undefined)
    throw new UsageError('give --server-config, --agent-config, or both');
  const settings = await readSettings(options);
  const trustDomain = readTrustDomain(settings, agent);
  const socket = options.spireSocket ?? serverSocket(settings);
  const spire = await readState(options, socket);
  const { config, rows } = convertSettings(settings, path.resolve(options.base));
  const selectors = spire.agent === undefined ? undefined : agentSelectors(spire.agent, agent);
  const terms = { trustDomain, agent, agentSelectors: selectors, now: Date.now() };
  const entries = spire.entries === undefined ? undefined : pickEntries(spire.entries, terms);
  const known = spire.bundle === undefined ? [] : ownRoots(spire.bundle, trustDomain);
  const roots = await rootsToCarry(known, config);
  const foreign = spire.bundles === undefined ? [] : foreignBundles(spire.bundles, trustDomain);
  const federation = spire.federation === undefined ? [] : relationships(spire.federation);

  const files = new Map<string, string>();
  const at = (name: string) => path.resolve(to, name);
  const all = new Map([['trustDomain', trustDomain as string], ...config]);
  if (entries !== undefined) {
    all.set('entries', at('entries.json'));
    files.set(at('entries.json'), `${JSON.stringify({ entries: entries.taken }, undefined, 2)}\n`);
  }
  files.set(at('sidekey.yaml'), yamlOf(all));
  if (roots.length > 0) files.set(at('spire-roots.pem'), roots.map(String).join(''));
  for (const { trustDomain: name, document } of foreign)
    files.set(at(`bundles/${name}.json`), `${JSON.stringify(document, undefined, 2)}\n`);
  write(files, options);

  const steps = nextSteps(options, {
    config: at('sidekey.yaml'),
    roots: roots.length > 0 ? at('spire-roots.pem') : undefined,
    hasSameRoot: known.length > 0 && roots.length === 0,
    bundles: foreign.map(({ trustDomain: name }) => [name, at(`bundles/${name}.json`)] as const),
    socket,
    agentSocket: settings.find((one) => one.path === 'agent.socket_path')?.texts?.[0],
  });
  const notes = notesOf(spire, federation, foreign);
  const value = { settings: rows, entries: entries?.rows ?? null, files: [...files.keys()], notes, next_steps: steps };
  if (isData(options.output)) return printData(options.output, value);
  printReport(rows, entries?.rows, notes);
  const written = [...files.keys()].map((file) => `  ${printable(file)}\n`).join('');
  process.stdout.write(`Written:\n${written}\nNext steps:\n`);
  for (const [index, { does, command }] of steps.entries()) {
    const lines = [`${index + 1}. ${does}`, ...command.map((one) => `     ${asCalled(one)}`)];
    process.stdout.write(lines.map((line) => `${printable(line)}\n`).join(''));
  }
}

async function readSettings({ serverConfig, agentConfig, expandEnv: expands }: MigrateOptions) {
  const both = await Promise.all(
    [serverConfig, agentConfig].map(async (file) => {
      if (file === undefined) return [];
      const change = expands === true ? (text: string) => expandEnv(text, process.env, file) : undefined;
      return settingsOf(await readHclFile(file, change), file);
    }),
  );
  return both.flat();
}

/** @throws ERR_CONFIG; UsageError if the agent is none of this trust domain */
function readTrustDomain(settings: Awaited<ReturnType<typeof readSettings>>, agent: string) {
  const setting = settings.find((one) => /^(?:server|agent)\.trust_domain$/.test(one.path));
  const [name] = setting?.texts ?? [];
  if (setting === undefined || name === undefined)
    throw new UsageError('the files have no trust_domain: give server.conf or agent.conf of SPIRE');
  const place = `${setting.file}:${setting.line} ${setting.path}`;
  try {
    const trustDomain = parseTrustDomain(name);
    const id = parseSpiffeId(agent);
    if (trustDomainOf(id) === trustDomain) return trustDomain;
  } catch (thrown) {
    const problem = `${thrown instanceof Error ? thrown.message : thrown}`;
    const rule =
      'the trust domain and --agent are SPIFFE names, such as example.org and spiffe://example.org/spire/agent/…';
    throw SidekeyError.badInput([{ path: place, problem, rule }], 'ERR_CONFIG');
  }
  throw new UsageError(`--agent: ${agent} is not of the trust domain ${name} of ${place}`);
}

function serverSocket(settings: Awaited<ReturnType<typeof readSettings>>): string | undefined {
  return settings.find((one) => one.path === 'server.socket_path')?.texts?.[0];
}

async function readState(options: MigrateOptions, socket: string | undefined): Promise<SpireState> {
  const { spireServer: program, agent } = options;
  const read = async (file: string | undefined, words: readonly string[]) => {
    if (file !== undefined) return readJsonFile(file);
    return program === undefined ? undefined : askSpire(program, words, socket);
  };
  // One after the other: each is a process that loads the server.
  const entries = await read(options.spireEntries, ['entry', 'show']);
  const shown = await read(options.spireAgent, ['agent', 'show', '-spiffeID', agent]);
  const bundle = await read(options.spireBundle, ['bundle', 'show']);
  const bundles = await read(options.spireBundles, ['bundle', 'list']);
  const federation = await read(options.spireFederation, ['federation', 'list']);
  return { entries, agent: shown, bundle, bundles, federation };
}

/** Without those of a shared upstream on disk, which Sidekey's bundle has anyway. */
async function rootsToCarry(roots: readonly X509Certificate[], config: Settings['config']) {
  if (config.get('upstream') !== 'disk') return roots;
  const file = config.get('upstreamBundleFile') ?? config.get('upstreamCertFile')!;
  let text: string;
  try {
    text = (await readInputFile(file, MAX_PEM_BYTES)).toString('utf8');
  } catch {
    return roots;
  }
  const shared = certificateBlocks(text).map((block) => {
    return new X509Certificate(block).fingerprint256;
  });
  return roots.filter(({ fingerprint256 }) => !shared.includes(fingerprint256));
}

function yamlOf(config: ReadonlyMap<string, string>): string {
  const lines = [...config].map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
  return `# Made by sidekey migrate spire. sidekey serve --check --config FILE checks it.\n${lines.join('')}`;
}

/** Writes all files or, if one is there already, none. */
function write(files: ReadonlyMap<string, string>, { to, force }: MigrateOptions): void {
  const there = [...files.keys()].filter((file) => existsSync(file));
  if (there.length > 0 && force !== true) {
    const rule = 'give another --to, or --force to replace them';
    throw new UsageError(`--to: ${there.join(', ')} ${there.length === 1 ? 'exists' : 'exist'} already: ${rule}`);
  }
  for (const directory of new Set([to, ...[...files.keys()].map((file) => path.dirname(file))]))
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const [file, text] of files) writeFileAtomic(file, text);
}

interface Found {
  readonly config: string;
  readonly roots: string | undefined;
  readonly hasSameRoot: boolean;
  readonly bundles: readonly (readonly [trustDomain: string, file: string])[];
  readonly socket: string | undefined;
  readonly agentSocket: string | undefined;
}

function nextSteps({ spireServer }: MigrateOptions, found: Found): { does: string; command: string[] }[] {
  const config = shellQuote(found.config);
  const socket = found.socket === undefined ? '' : ` --spire-socket ${shellQuote(found.socket)}`;
  const spire = `${shellQuote(spireServer ?? 'spire-server')} bundle show`;
  const server = found.socket === undefined ? spire : `${spire} -socketPath ${shellQuote(found.socket)}`;
  const pipe = `from ${found.agentSocket ?? "the agent's socket"} to /run/sidekey/agent.sock (socket)`;
  const isApart = found.roots !== undefined || !found.hasSameRoot;
  const carry = found.roots === undefined ? [] : [`sidekey ca carry ${shellQuote(found.roots)} --for 14d`];
  return [
    {
      does: 'Check the settings, and start Sidekey beside SPIRE:',
      command: [`sidekey serve --check --config ${config}`, `sidekey serve --config ${config}`],
    },
    ...(isApart
      ? [
          {
            does: 'Let workloads of Sidekey accept those of SPIRE for the time of the move. SPIRE replaces its CA, so let a timer repeat the last command each hour:',
            command: [...carry, `${server} | sidekey ca carry - --for 14d`],
          },
          {
            does: 'Let workloads of SPIRE accept those of Sidekey; again after each new root of Sidekey:',
            command: [`sidekey migrate give-root${socket}`],
          },
        ]
      : [{ does: 'Both sign under the same root, so workloads of both accept each other.', command: [] }]),
    ...found.bundles.map(([name, file]) => ({
      does: `Trust the workloads of ${name} as before:`,
      command: [`sidekey bundle set ${name} --file ${shellQuote(file)}`],
    })),
    {
      does: 'Wait until every proxy of SPIRE has the new bundle: an agent asks every 5 seconds, and other hosts need it too.',
      command: [],
    },
    {
      does: `Move one Envoy after the other: change the path of its SDS cluster ${pipe} and restart it, hot or cold. Then look:`,
      command: ['sidekey proxies', 'sidekey doctor'],
    },
    {
      does: isApart
        ? "When the last one has moved, on all hosts: end the timer, take SPIRE's roots out of the bundle, and stop SPIRE."
        : 'When the last one has moved, on all hosts: stop SPIRE.',
      command: isApart ? ['sidekey ca show', 'sidekey ca drop ID'] : [],
    },
  ];
}

function notesOf(
  spire: SpireState,
  federation: readonly SpireRelationship[],
  foreign: readonly { trustDomain: string }[],
) {
  const notes: string[] = [];
  if (spire.entries === undefined) notes.push('No entries: give --spire-server or --spire-entries.');
  if (spire.bundle === undefined) notes.push('No roots of SPIRE: give --spire-server or --spire-bundle.');
  if (spire.entries !== undefined && spire.agent === undefined)
    notes.push(
      'The selectors of the agent are not known: give --spire-agent, else entries under node aliases are left out.',
    );
  for (const { trustDomain, url, profile } of federation) {
    const has = foreign.some((one) => one.trustDomain === trustDomain);
    const what = has ? 'its present bundle is written' : 'its bundle is not known: give --spire-bundles';
    notes.push(
      `Federation with ${trustDomain} (${url}, ${profile}): ${what}; sidekey federation create lets it be fetched again.`,
    );
  }
  const jwt = spire.bundle?.value.jwt_authorities;
  if (Array.isArray(jwt) && jwt.length > 0) {
    const keys = jwt.length === 1 ? '1 JWT key is' : `${jwt.length} JWT keys are`;
    notes.push(
      `SPIRE's ${keys} not carried: Sidekey refuses tokens of SPIRE, and SPIRE those of Sidekey. Move programs that validate tokens together with those that fetch them.`,
    );
  }
  notes.push(
    'Entries without a container selector are not given to callers in containers: set allow_contained in such an entry, or allowContained for all.',
  );
  return notes;
}

function printReport(rows: Settings['rows'], entries: readonly EntryRow[] | undefined, notes: readonly string[]): void {
  printTable(
    ['WHERE', 'SETTING', 'VALUE', 'BECOMES', 'WHY'],
    rows.map((row) => [
      `${path.basename(row.file)}:${row.line}`,
      row.setting,
      row.value,
      row.becomes === '' ? '-' : row.becomes,
      row.why,
    ]),
  );
  if (entries !== undefined) {
    const taken = entries.filter(({ reason }) => reason === '');
    process.stdout.write(`\n${taken.length} of ${entries.length} entries are taken.\n`);
    const left = entries.filter(({ reason }) => reason !== '');
    if (left.length > 0) process.stdout.write('Not taken:\n');
    if (left.length > 0)
      printTable(
        ['ID', 'SPIFFE ID', 'PARENT', 'WHY'],
        left.map((row) => [row.id, row.spiffeId, row.parent, row.reason]),
      );
  }
  process.stdout.write(`\n${notes.map((note) => `${printable(note)}\n`).join('')}\n`);
}
