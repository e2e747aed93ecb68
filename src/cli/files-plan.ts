/** Reads the flags of `sidekey fetch --write`. */

import path from 'node:path';
import { DURATION_RULE, groupId, type Problem, parseDuration, SidekeyError, userOf } from '../base/index.ts';
import { hostPort } from '../config/index.ts';
import {
  type Argv,
  type FileOwner,
  type FilesPlan,
  filesOf,
  type HealthPlan,
  MODE_RULE,
  modeProblem,
  nameProblem,
  readSignal,
  repeatedName,
  splitWords,
} from '../svid-files/index.ts';
import type { FilesFlags } from './files-flags.ts';

/** @throws ERR_CONFIG */
export function planOf(flags: FilesFlags & { readonly write: string }): FilesPlan {
  const certMode = readMode('--cert-mode', flags.certMode);
  const jwtMode = readMode('--jwt-mode', flags.jwtMode);
  const file = (flag: string, name: string, mode: number) => {
    refuse(nameProblem(flag, name));
    return { name, mode };
  };
  const plan: FilesPlan = {
    directory: path.resolve(flags.write),
    owner: flags.owner === undefined ? undefined : readOwner('--owner', flags.owner),
    allowShared: false,
    choice: { spiffeId: flags.spiffeId, hint: flags.hint },
    x509: {
      certificate: file('--cert-file', flags.certFile, certMode),
      key: file('--key-file', flags.keyFile, readMode('--key-mode', flags.keyMode)),
      bundle: file('--bundle-file', flags.bundleFile, certMode),
      intermediatesInBundle: flags.intermediatesInBundle === true,
      federated: flags.includeFederated === true,
      omitExpired: true,
    },
    jwts: (flags.jwt ?? []).map((text) => {
      const { audiences, name } = readJwt(text);
      return { audiences, file: file('--jwt', name, jwtMode) };
    }),
    jwtBundle: flags.jwks === undefined ? undefined : { file: file('--jwks', flags.jwks, certMode), form: 'jwks' },
  };
  const repeated = repeatedName(filesOf(plan));
  if (repeated !== undefined) {
    throw fault('--write', `two files have the name ${JSON.stringify(repeated)}`, 'give each file a name of its own');
  }
  return plan;
}

function fault(flag: string, problem: string, rule: string): SidekeyError {
  return SidekeyError.badInput([{ path: flag, problem, rule }], 'ERR_CONFIG');
}

function refuse(problem: Problem | undefined): void {
  if (problem !== undefined) throw SidekeyError.badInput([problem], 'ERR_CONFIG');
}

function readMode(flag: string, text: string): number {
  if (!/^0?[0-7]{1,4}$/.test(text)) throw fault(flag, `${JSON.stringify(text)} is not octal`, MODE_RULE);
  const mode = Number.parseInt(text, 8);
  refuse(modeProblem(flag, mode));
  return mode;
}

/** `db,cache=db.jwt`. An audience may have an equals sign, the name of a file may not. */
function readJwt(text: string): { readonly audiences: readonly string[]; readonly name: string } {
  const at = Math.max(text.lastIndexOf('='), 0);
  const audiences = text
    .slice(0, at)
    .split(',')
    .map((one) => one.trim());
  if (audiences.includes('')) {
    throw fault(
      '--jwt',
      `${JSON.stringify(text)} has no audience`,
      'give AUDIENCE[,AUDIENCE…]=NAME, such as db=db.jwt',
    );
  }
  return { audiences, name: text.slice(at + 1) };
}

/** `postgres`, `postgres:ssl-cert` or numbers. @throws ERR_CONFIG */
export function readOwner(flag: string, text: string): FileOwner {
  const rule = 'give USER or USER:GROUP, by names or numbers of this host';
  const [user = '', group, ...rest] = text.split(':');
  const found = rest.length === 0 ? userOf(user) : undefined;
  if (found === undefined) throw fault(flag, `there is no user ${JSON.stringify(user)}`, rule);
  const gid = group === undefined ? found.gid : groupId(group);
  if (gid !== undefined) return { uid: found.uid, gid };
  const problem =
    group === undefined ? `uid ${found.uid} has no group in /etc/passwd` : `there is no group ${JSON.stringify(group)}`;
  throw fault(flag, problem, rule);
}

const MAX_SECONDS = 86_400;

/** In milliseconds. @throws ERR_CONFIG */
export function readDuration(flag: string, text: string): number {
  const seconds = parseDuration(text);
  if (seconds !== undefined && seconds > 0 && seconds <= MAX_SECONDS) return seconds * 1_000;
  throw fault(flag, `${JSON.stringify(text)} is not a duration of 1 s to 1 day`, DURATION_RULE);
}

/** What follows a change of the files. */
export interface Follow {
  readonly command: { readonly argv: Argv; readonly limitMs: number } | undefined;
  readonly signal: { readonly name: NodeJS.Signals; readonly pidFile: string } | undefined;
}

/** @throws ERR_CONFIG */
export function followOf({ onUpdate, onUpdateTimeout, signal, pidFile }: FilesFlags): Follow {
  const limitMs = readDuration('--on-update-timeout', onUpdateTimeout);
  const argv =
    onUpdate === undefined
      ? undefined
      : reading('--on-update', 'give a program and its arguments', () => argvOf(splitWords(onUpdate)));
  return {
    command: argv === undefined ? undefined : { argv, limitMs },
    signal:
      signal === undefined
        ? undefined
        : {
            name: reading('--signal', 'give a name such as SIGHUP', () => readSignal(signal)),
            pidFile: path.resolve(pidFile!),
          },
  };
}

/** @throws Error if there is no word */
function argvOf([program, ...args]: readonly string[]): Argv {
  if (program === undefined || program === '') throw new Error('it is empty');
  return [program, ...args];
}

function reading<T>(flag: string, rule: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    throw fault(flag, (thrown as Error).message, rule);
  }
}

/** @throws ERR_CONFIG */
export function healthOf({ health }: FilesFlags): HealthPlan | undefined {
  if (health === undefined) return undefined;
  try {
    return { ...hostPort.read([health], ''), livenessPath: '/live', readinessPath: '/ready' };
  } catch (thrown) {
    const [{ problem, rule }] = (thrown as SidekeyError).problems as [Problem];
    throw fault('--health', problem, rule);
  }
}
