/**
 * `serve --check`: checks everything that a start checks, and reports what it would change. Changes nothing on disk.
 */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { createAccounts } from '../attest/index.ts';
import { FILE_SOURCE, octal, SidekeyError, SystemClock } from '../base/index.ts';
import type { ServeConfig } from '../config/index.ts';
import { copyDatabase, type Entry, type Registry } from '../registry/index.ts';
import { createLog, type Log, textLine } from '../telemetry/index.ts';
import { openAttestors } from './attestors.ts';
import { checkAuthorities, checkUpstream, meaningOf, type UpstreamCheck } from './check-authorities.ts';
import { type DataDirState, inspectDataDir } from './data-dir.ts';
import { warnOfDeclared } from './declared-entries.ts';
import { entryWarnings } from './entry-warnings.ts';
import { checkEndpointId } from './federation.ts';
import { isRestoreOpen } from './finish-restore.ts';
import { lookAtHost, otherListenersOf } from './host.ts';
import { entryRulesOf, type Inputs, readInputs } from './inputs.ts';
import { Parts } from './parts.ts';
import { PrivateFolder } from './private-folder.ts';
import { checkSocket } from './socket-file.ts';
import { authoritiesIn, openStoredEntries } from './stored-entries.ts';
import { warnOfInputs, warnOfTtl } from './warnings.ts';

export interface StartCheck {
  /** Whether a server uses the data directory, so that a start would be a restart. */
  readonly isServed: boolean;
  /** What a start would do, for display. */
  readonly lines: readonly string[];
  /** What is wrong although a start would succeed. */
  readonly warnings: readonly SidekeyError[];
  /** Why a start would fail; empty if it would succeed. */
  readonly faults: readonly SidekeyError[];
}

export async function checkStart(config: ServeConfig): Promise<StartCheck> {
  const lines: string[] = [];
  const warnings: SidekeyError[] = [];
  const faults: SidekeyError[] = [];
  const log = createLog('warn', { write: (line) => lines.push(textLine(line, false).replace(/^\S+ /, '').trimEnd()) });
  const attempt = async <T>(look: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await look();
    } catch (thrown) {
      faults.push(SidekeyError.from(thrown));
      return undefined;
    }
  };
  const parts = new Parts(log);
  let isServed = false;
  try {
    const upstream = await attempt(() => checkUpstream(config, parts));
    if (upstream?.fault !== undefined) warnings.push(upstream.fault);
    const host = await attempt(() => lookAtHost(config, otherListenersOf(config), log));
    const inputs = await attempt(() => readInputs(config, entryRulesOf(config)));
    warnOfInputs(config, log);
    warnOfTtl(config, log);
    const state = await attempt(() => inspectDataDir(config.dataDir));
    isServed = state?.isServed === true;
    if (state !== undefined) lines.push(...dataDirLines(state));
    if (state !== undefined && inputs !== undefined) {
      const directory = authoritiesIn(state.path);
      const authorities = await attempt(() => checkAuthorities(config, directory, inputs.passphrases, upstream));
      lines.push(...(authorities?.lines ?? []));
      if (upstream !== undefined) lines.push(...upstreamLines(upstream, authorities?.signsUntil));
    }
    for (const one of socketsOf(config)) await attempt(() => checkSocket(one, isServed));
    const registry = state && (await attempt(() => registryAsStored({ config, state, parts, log, lines })));
    if (registry !== undefined && host !== undefined) {
      const clock = new SystemClock();
      const facts = {
        clock,
        log,
        accounts: createAccounts(),
        unmapped: host.unmapped,
        asked: registry,
        onChange: () => {},
      };
      const attestors = await attempt(() => openAttestors(config, facts, parts));
      const { declared } = inputs ?? {};
      if (declared !== undefined && attestors !== undefined) {
        await warnOfDeclared(declared, entryWarnings({ config, attestors, registry, clock }), registry, log);
      }
    }
    if (registry !== undefined) {
      await attempt(() => checkEndpointId(config, registry));
      lines.push(...((await attempt(() => entryLines(inputs, registry))) ?? []));
      if (upstream !== undefined) lines.push(...revocationLines(registry.revocations.size));
    }
  } finally {
    await parts.close();
  }
  return { isServed, lines, warnings, faults };
}

/** What an upstream means for certificates that are revoked. @see CertificateAuthority.whyNotRevocable */
function* revocationLines(revoked: number): Iterable<string> {
  if (revoked === 0) return;
  const what = revoked === 1 ? '1 revoked certificate would be' : `${revoked} revoked certificates would be`;
  yield `${what} accepted again until ${revoked === 1 ? 'it ends' : 'they end'}: with an upstream there can be no revocation lists`;
}

function* upstreamLines(upstream: UpstreamCheck, signsUntil: number | undefined): Iterable<string> {
  const { description, found } = upstream;
  if (found !== undefined) yield `the upstream (${description}): ${found}`;
  const meaning = meaningOf(upstream, signsUntil);
  if (meaning !== undefined) yield meaning;
}

function socketsOf({ adminSocket, socket, socketMode, socketGroup }: ServeConfig) {
  return [
    { path: adminSocket, mode: 0o600 },
    { path: socket, mode: socketMode, group: socketGroup },
  ];
}

function* dataDirLines({ path: directory, exists, isServed, closes }: DataDirState): Iterable<string> {
  if (isServed) yield `a server uses ${directory}: this check compares with its entries as they are now`;
  if (!exists) yield `the data directory ${directory} would be created`;
  if (closes !== undefined)
    yield `the data directory ${directory} would be closed to others (${octal(closes)} to 0700)`;
  if (exists && isRestoreOpen(directory)) {
    yield `a restore in ${directory} was interrupted, and a start would finish it: this check still sees the former data`;
  }
}

/** The registry from a copy of the database, or an empty one. @throws the errors of a start */
async function registryAsStored({
  config,
  state,
  parts,
  log,
  lines,
}: {
  readonly config: ServeConfig;
  readonly state: DataDirState;
  readonly parts: Parts;
  readonly log: Log;
  readonly lines: string[];
}): Promise<Registry> {
  const { path: dataDir, isServed } = state;
  const folder = new PrivateFolder('sidekey-check-');
  parts.defer(() => folder.remove());
  const copy = path.join(folder.path, 'sidekey.db');
  let original = copy;
  const instead = async (database: string) => {
    original = database;
    if (existsSync(database)) await copyDatabase(database, copy, isServed);
    return copy;
  };
  try {
    const onMigrated = (from: number, to: number) => {
      lines.push(
        `the database would be migrated from schema version ${from} to ${to}, which earlier versions of Sidekey cannot open: make a backup first (sidekey backup)`,
      );
    };
    const clock = new SystemClock();
    const { registry } = await openStoredEntries({ dataDir, config, clock, log, parts, instead, onMigrated });
    return registry;
  } catch (thrown) {
    const { code, message } = SidekeyError.from(thrown, 'ERR_STORE', (thrown as Error).message);
    throw new SidekeyError(code, message.replaceAll(copy, original), { cause: thrown });
  }
}

/** Maximum number of listed entries per kind of change. */
const LISTED = 20;

async function entryLines(inputs: Inputs | undefined, registry: Registry): Promise<string[]> {
  if (inputs?.declared === undefined) return [];
  const { file, inputs: entries } = inputs.declared;
  const { created, changed, deleted, kept } = await registry.replaceSource(FILE_SOURCE, entries, { dryRun: true });
  return [
    `${file}: entries created: ${created.length}, changed: ${changed.length}, deleted: ${deleted.length}, kept: ${kept.length}`,
    ...listed('+', created),
    ...listed('~', changed),
    ...listed('-', deleted),
  ];
}

function* listed(sign: string, entries: readonly Entry[]): Iterable<string> {
  // Generated ids are left out: the start would generate others.
  for (const { id, spiffeId } of entries.slice(0, LISTED))
    yield `  ${sign} ${spiffeId}${sign === '+' ? '' : ` (${id})`}`;
  if (entries.length > LISTED) yield `  ${sign} and ${entries.length - LISTED} more`;
}
