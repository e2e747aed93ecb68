/** Startup warnings. */

import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { formatDuration, observer, octal, walkPath, whoCanChange } from '../base/index.ts';
import { longestKeptJwtTtl, longestKeptSvidTtl } from '../ca/index.ts';
import type { AgentConfig, ServeConfig } from '../config/index.ts';
import { type WithheldParts, withheldEntries } from '../identity/index.ts';
import type { Log } from '../telemetry/index.ts';

/** Warns if SVIDs may not live as long as configured. */
export function warnOfTtl(config: ServeConfig, log: Log): void {
  warnOfJwtTtl(config, log);
  const kept = longestKeptSvidTtl(config.caTtl);
  if (config.x509SvidTtl <= kept) return;
  log.warn(
    {
      x509_svid_ttl: formatDuration(config.x509SvidTtl),
      ca_ttl: formatDuration(config.caTtl),
      always_kept: formatDuration(kept),
    },
    'the configured SVID TTL is more than half of --ca-ttl: SVIDs end with the intermediate that signs them, so some will be shorter',
  );
}

function warnOfJwtTtl({ jwtSvidTtl, jwtKeyTtl }: ServeConfig, log: Log): void {
  const kept = longestKeptJwtTtl(jwtKeyTtl);
  if (jwtSvidTtl <= kept) return;
  log.warn(
    {
      jwt_svid_ttl: formatDuration(jwtSvidTtl),
      jwt_key_ttl: formatDuration(jwtKeyTtl),
      always_kept: formatDuration(kept),
    },
    'the configured JWT-SVID TTL is more than a third of --jwt-key-ttl: JWT-SVIDs end with the key that signs them, so some will be shorter',
  );
}

/** Files, besides the data directory, that decide which caller gets which identity; a folder comes before its files. */
export function inputsOf({ config, entries }: ServeConfig): { setting: string; path: string }[] {
  return given({ '--config': config, '--entries': entries }).flatMap(withFiles);
}

/** The same of an agent. */
export function agentInputsOf({ config, trustBundle }: AgentConfig): { setting: string; path: string }[] {
  return given({ '--config': config, '--trust-bundle': trustBundle });
}

/** Maximum number of files of a folder that are examined. */
const MOST_FILES = 100;

/** The input, and the files in it if it is a folder. */
function withFiles({ setting, path: place }: { setting: string; path: string }): { setting: string; path: string }[] {
  let names: string[] = [];
  try {
    if (statSync(place).isDirectory()) names = readdirSync(place).filter((name) => !name.startsWith('.'));
  } catch {
    // Its reader reports it.
  }
  const files = names.sort().slice(0, MOST_FILES);
  return [place, ...files.map((name) => path.join(place, name))].map((one) => ({ setting, path: one }));
}

/** Files with passphrases of the authorities' keys. */
export function passphraseFilesOf(config: ServeConfig): { setting: string; path: string }[] {
  return given({
    '--key-passphrase-file': config.keyPassphraseFile,
    '--old-key-passphrase-file': config.oldKeyPassphraseFile,
  });
}

function given(files: Readonly<Record<string, string | undefined>>): { setting: string; path: string }[] {
  return Object.entries(files).flatMap(([setting, place]) => (place === undefined ? [] : [{ setting, path: place }]));
}

/**
 * Whether the file has no name any more. A container that mounts a single file keeps it when an editor outside replaces
 * it, and reads the old content for ever.
 */
export function isReplaced(file: string): boolean {
  try {
    const stats = statSync(file);
    return stats.isFile() && stats.nlink === 0;
  } catch {
    return false;
  }
}

function warnOfReplaced(config: ServeConfig, log: Log): void {
  for (const { setting, path: file } of inputsOf(config)) {
    if (!isReplaced(file)) continue;
    log.warn(
      { setting, file },
      'this file was replaced or deleted outside, and this is its old content: mount its folder instead of the file, and create the container anew',
    );
  }
}

/**
 * Warns of files that other users can change. It does not refuse them: a clone's file, owned by its user and mounted
 * into root's container, and a clone made with umask 002 are both common.
 */
export function warnOfInputs(config: ServeConfig, log: Log): void {
  warnOfReplaced(config, log);
  /** Named already: the files of a folder share their directories. */
  const told = new Set<string>();
  for (const { setting, path: file } of inputsOf(config)) {
    let places: ReturnType<typeof whoCanChange>;
    try {
      places = whoCanChange(file);
    } catch (err) {
      log.warn({ setting, file, err }, 'could not check the permissions of this file');
      continue;
    }
    const more = places.filter(({ place }) => !told.has(place));
    if (more.length === 0) continue;
    for (const { place } of more) told.add(place);
    const by = more.map(({ place, uid, mode }) => ({ place, uid, mode: octal(mode) }));
    log.warn(
      { setting, file, by },
      'other users can change this file, and with it decide which caller gets which identity',
    );
  }
}

/** Warns of directories that were assumed to be root's because their owner has no id here. */
export function warnOfAssumed(config: ServeConfig, log: Log): void {
  const me = observer();
  const assumed = new Map(
    [config.dataDir, config.socket, config.adminSocket]
      .flatMap((place) => walkPath(place, me).assumed)
      .map(({ place, uid, mode }) => [place, { place, uid, mode: octal(mode) }]),
  );
  if (assumed.size === 0) return;
  log.warn(
    { directories: [...assumed.values()] },
    'the owner of these directories has no id in this user namespace: assumed to be root of the host, since / has the same owner',
  );
}

/** Maximum number of entries in one line. */
const NAMED_WITHHELD = 5;

/**
 * Warns of entries that callers in containers asked for and did not get, according to decision records and live
 * callers.
 */
export async function warnOfWithheld(parts: WithheldParts, now: number, log: Log): Promise<void> {
  const entries = await withheldEntries(parts, now);
  if (entries.length === 0) return;
  const named = entries.slice(0, NAMED_WITHHELD).map(({ entry }) => ({ id: entry.id, spiffe_id: entry.spiffeId }));
  log.warn(
    { entries: named, more: entries.length - named.length },
    'callers in containers do not get these entries, which have no container selector; sidekey doctor shows details',
  );
}
