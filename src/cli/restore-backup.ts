/** Decrypts a backup and restores or checks it, and says what is lost. */

import { createReadStream } from 'node:fs';
import { AGE_INTRO, decrypt } from '../backup/index.ts';
import { describeLoose, SidekeyError, SystemClock, whoCanChange } from '../base/index.ts';
import { defaultDataDir } from '../config/index.ts';
import { type BackupReport, checkBackup, type RestoreReport, restoreBackup } from '../server/index.ts';
import type { RestoreFlags } from './backup-flags.ts';
import { passphraseIn, readDecryption } from './backup-secrets.ts';
import { asCalled } from './called-as.ts';
import { UsageError } from './errors.ts';
import { isData, printFields, printTable, printView } from './output.ts';

/** @throws UsageError; SidekeyError, after which nothing has changed */
export async function restore(file: string, flags: RestoreFlags): Promise<void> {
  if (flags.check === true && (flags.replace === true || flags.dataDir !== undefined)) {
    throw new UsageError('--check restores nothing: give it without --data-dir and --replace');
  }
  const dataDir = flags.dataDir ?? (process.env.SIDEKEY_DATA_DIR || undefined) ?? defaultDataDir(surroundings());
  if (dataDir === undefined) throw new UsageError('HOME and XDG_STATE_HOME are not set: give --data-dir');
  const passphrases = readPassphrases(flags);
  const reading = {
    archive: await openArchive(file, flags),
    trustDomain: flags.trustDomain ?? (process.env.SIDEKEY_TRUST_DOMAIN || undefined),
    passphrases,
    taint: flags.taint ?? [],
    clock: new SystemClock(),
  };
  if (flags.check === true) return print(await checkBackup(reading), flags);
  await print(await restoreBackup({ ...reading, dataDir, replace: flags.replace === true }), flags);
}

function surroundings() {
  return { env: process.env, uid: process.geteuid!() };
}

function readPassphrases({ keyPassphraseFile, oldKeyPassphraseFile }: RestoreFlags) {
  const read = (flag: string, given: string | undefined, variable: string) => {
    const file = given ?? (process.env[variable] || undefined);
    return file === undefined ? undefined : passphraseIn(given === undefined ? variable : flag, file);
  };
  return {
    passphrase: read('--key-passphrase-file', keyPassphraseFile, 'SIDEKEY_KEY_PASSPHRASE_FILE'),
    oldPassphrase: read('--old-key-passphrase-file', oldKeyPassphraseFile, 'SIDEKEY_OLD_KEY_PASSPHRASE_FILE'),
  };
}

const ARMOR = Buffer.from('-----BEGIN AGE');

/** The archive in clear. @throws UsageError; ERR_BACKUP if it cannot be decrypted */
async function openArchive(file: string, flags: RestoreFlags): Promise<AsyncIterable<Uint8Array>> {
  const how = await readDecryption(flags);
  const source = await peeked(file === '-' ? process.stdin : openFile(file));
  const isEncrypted = source.head.subarray(0, AGE_INTRO.length).equals(AGE_INTRO);
  if (source.head.subarray(0, ARMOR.length).equals(ARMOR)) {
    throw new UsageError(`${file} is armored text: decrypt it with age -d, and give the result as - with --plain`);
  }
  if (how === undefined) {
    if (isEncrypted)
      throw new UsageError(`${file} is encrypted: give --identity-file or --passphrase-file, not --plain`);
    return source.bytes;
  }
  if (!isEncrypted) {
    // Anybody can make a backup in clear; somebody may have put it in the place of an encrypted one.
    throw new UsageError(`${file} is not encrypted: if it is the backup that you mean, give --plain`);
  }
  return decrypted(source.bytes, how);
}

async function* decrypted(bytes: AsyncIterable<Uint8Array>, how: Parameters<typeof decrypt>[1]) {
  const clear = await decrypt(bytes, how).catch((thrown: Error) => Promise.reject(undecrypted(thrown)));
  try {
    yield* clear;
  } catch (thrown) {
    throw undecrypted(thrown as Error);
  }
}

function undecrypted(thrown: Error): SidekeyError {
  const isWrong = /no identity matched/.test(thrown.message);
  const why = isWrong ? 'it is encrypted to others, or with another passphrase' : `it is damaged: ${thrown.message}`;
  return new SidekeyError('ERR_BACKUP', `the backup cannot be decrypted: ${why}`, { cause: thrown });
}

/** @throws UsageError if others can change the file: they could put their own keys into it */
function openFile(file: string): AsyncIterable<Uint8Array> {
  let loose: ReturnType<typeof whoCanChange>;
  try {
    loose = whoCanChange(file);
  } catch (thrown) {
    throw new UsageError(`${file}: ${(thrown as Error).message}`);
  }
  if (loose.length > 0) {
    throw new UsageError(
      `${describeLoose(loose[0]!)}: a backup decides which keys are trusted; copy it into a folder that only you can write, if you know where it comes from`,
    );
  }
  return createReadStream(file);
}

/** The first bytes, and the whole. @throws UsageError if it cannot be read */
async function peeked(source: AsyncIterable<Uint8Array>) {
  const iterator = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  try {
    while (head.length < 64) {
      const { done, value } = await iterator.next();
      if (done === true) break;
      head = Buffer.concat([head, value]);
    }
  } catch (thrown) {
    throw new UsageError((thrown as Error).message);
  }
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield head;
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  };
  return { head, bytes: bytes() };
}

function print(report: BackupReport | RestoreReport, { output, check }: RestoreFlags): Promise<void> {
  const { manifest, entries, authorities, sequenceNumber, knownTaints } = report;
  const madeAt = new Date(manifest.createdAt).toISOString();
  const dataDir = 'dataDir' in report ? report.dataDir : undefined;
  const aside = 'aside' in report ? report.aside : undefined;
  const done = printView(output, {
    value: {
      trust_domain: manifest.trustDomain,
      made_at: madeAt,
      made_by: manifest.sidekey,
      entries,
      sequence_number: sequenceNumber.after,
      authorities: authorities.map(({ id, role, state, notAfter }) => ({
        id,
        role,
        state,
        not_after: new Date(notAfter).toISOString(),
      })),
      known_taints: knownTaints,
      ...(check === true ? {} : { data_dir: dataDir, kept_aside: aside ?? null }),
    },
    names: [manifest.trustDomain],
    table: () => {
      printFields([
        ['trust domain', manifest.trustDomain],
        ['made at', madeAt],
        ['made by', `Sidekey ${manifest.sidekey}`],
        ['entries', String(entries)],
        ['bundle sequence', `${sequenceNumber.before} in the backup; ${sequenceNumber.after} from now on`],
        ...(dataDir === undefined ? [] : ([['restored to', dataDir]] as const)),
        ...(aside === undefined
          ? []
          : ([['before', `${aside} (with keys: remove it when you do not need it)`]] as const)),
      ]);
      process.stdout.write('\n');
      const rows = authorities.map(({ role, state, notAfter, id }) => [
        role,
        state,
        new Date(notAfter).toISOString(),
        id,
      ]);
      printTable(['ROLE', 'STATE', 'EXPIRES', 'ID'], rows);
    },
  });
  if (dataDir !== undefined && !isData(output)) process.stdout.write('\n');
  if (dataDir !== undefined) warn(report, madeAt);
  return done;
}

/** On stderr, so that it is also seen when stdout is data. */
function warn({ authorities, knownTaints, manifest }: BackupReport, madeAt: string): void {
  const trusted = authorities.filter(({ state }) => state !== 'tainted' && state !== 'carried');
  const carried = authorities.filter(({ state }) => state === 'carried');
  const lines = [
    `Everything after ${madeAt} is lost: changes of entries, bundles and aliases; revocations, so that a certificate that was revoked since then is accepted again until it ends; deletions of tokens, so that a token that was deleted since then is valid again; and the record of SVIDs that were issued since then.`,
    ...knownTaints.map(
      (id) => `${id} was tainted after the backup, as the replaced directory says, and stays tainted.`,
    ),
    ...(trusted.length === 0
      ? []
      : [
          `DANGER: if one of these authorities was tainted after ${madeAt}, its key is in other hands, and this server would sign with it and tell peers to trust it again. Before the server starts, restore once more, with --replace and --taint ID for each of them:`,
          ...trusted.map(({ role, id }) => `  ${role} ${id}`),
        ]),
    ...carried.map(({ id, notAfter }) => {
      const end = new Date(notAfter).toISOString();
      const command = asCalled(`sidekey ca drop ${id}`);
      return `${id} is a root of another server; what it signs is accepted until ${end}. If it was dropped after the backup, drop it again when the server runs: ${command}`;
    }),
    `Then start the server: ${asCalled(`sidekey serve --trust-domain ${manifest.trustDomain}`)} …`,
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
}
