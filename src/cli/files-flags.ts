/** The flags of `sidekey fetch --write`: which files, whose, and what follows a change. */

import { type Command, Option } from 'commander';
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from '../telemetry/index.ts';
import { UsageError } from './errors.ts';

export interface FilesFlags {
  readonly write?: string;
  readonly watch?: boolean;
  readonly wait?: string;
  readonly spiffeId?: string;
  readonly hint?: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly bundleFile: string;
  readonly jwt?: readonly string[];
  readonly jwks?: string;
  readonly includeFederated?: boolean;
  readonly intermediatesInBundle?: boolean;
  readonly owner?: string;
  readonly certMode: string;
  readonly keyMode: string;
  readonly jwtMode: string;
  readonly onUpdate?: string;
  readonly onUpdateTimeout: string;
  readonly signal?: string;
  readonly pidFile?: string;
  readonly health?: string;
}

export interface LogFlags {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

export interface HelperFlags extends LogFlags {
  readonly config: string;
  readonly daemonMode?: boolean | string;
  readonly socket?: string;
  readonly owner?: string;
  readonly wait: string;
}

/** For commands that go on. */
export function addLogOptions(command: Command): Command {
  return command
    .addOption(new Option('--log-level <level>', 'what is logged').choices(LOG_LEVELS).default('info'))
    .addOption(new Option('--log-format <format>', 'the form of the log').choices(LOG_FORMATS).default('json'));
}

const list = (one: string, all: readonly string[] = []) => [...all, one];

/** Without `--spiffe-id` and `--write`, which the command has for itself. */
export function addFilesOptions(command: Command): Command {
  return command
    .option('--watch', 'with --write: go on and keep the files up to date')
    .option('--wait <duration>', 'with --write: wait so long for an identity; without it the first refusal is final')
    .option('--hint <hint>', 'with --write: the identity that has this hint')
    .option('--cert-file <name>', 'the name of the certificate file', 'svid.pem')
    .option('--key-file <name>', 'the name of the key file', 'key.pem')
    .option('--bundle-file <name>', 'the name of the bundle file', 'bundle.pem')
    .option('--jwt <audiences=name>', 'also a file with a JWT-SVID for these audiences, as in db,cache=db.jwt', list)
    .option('--jwks <name>', 'also a file with the keys that verify JWT-SVIDs')
    .option('--include-federated', 'add the authorities of federated trust domains to the bundle file')
    .option('--intermediates-in-bundle', 'write intermediates to the bundle file, not behind the certificate')
    .option('--owner <user[:group]>', 'whose files they are (default: those of this user)')
    .option('--cert-mode <mode>', 'the mode of certificate, bundle and JWKS', '0644')
    .option('--key-mode <mode>', 'the mode of the key', '0600')
    .option('--jwt-mode <mode>', 'the mode of JWT-SVIDs', '0600')
    .option('--on-update <command>', 'run this command when files have changed; no shell runs it')
    .option('--on-update-timeout <duration>', 'how long the command may take', '30s')
    .option('--signal <name>', 'with --watch and --pid-file: the signal that is sent when files have changed')
    .option('--pid-file <file>', 'with --signal: the process that gets it')
    .option('--health <host:port>', 'with --watch: answer /live and /ready over HTTP there');
}

/** Flags that need another one: the flag, and any one of those that it needs. */
const NEEDS: readonly (readonly [keyof FilesFlags, ...(keyof FilesFlags)[]])[] = [
  ['watch', 'write'],
  ['wait', 'write'],
  ['hint', 'write'],
  ['jwt', 'write'],
  ['jwks', 'write'],
  ['includeFederated', 'write'],
  ['intermediatesInBundle', 'write'],
  ['owner', 'write'],
  ['onUpdate', 'write'],
  ['signal', 'watch'],
  ['signal', 'pidFile'],
  ['pidFile', 'signal'],
  ['health', 'watch'],
];

const asFlag = (key: string) => `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** @throws UsageError for a flag that has no effect without another one */
export function checkCombination(flags: FilesFlags): void {
  for (const [flag, other] of NEEDS) {
    if (flags[flag] !== undefined && flags[other!] === undefined) {
      throw new UsageError(`${asFlag(flag)} has no effect without ${asFlag(other!)}`);
    }
  }
  if (flags.watch === true && flags.wait !== undefined) {
    throw new UsageError('--wait is for one write; --watch waits for as long as it takes');
  }
}
