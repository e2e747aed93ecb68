/** Which server the client commands ask: the options that say so, and the client made of them. */

import type { Command } from 'commander';
import type { AdminClient } from '../admin/client.ts';
import { shellQuote } from '../base/shell.ts';
import { defaultSocket } from '../config/defaults.ts';
import { UsageError } from './errors.ts';
import { addOutputOption, type OutputFormat } from './output.ts';

export interface ClientOptions {
  readonly adminSocket?: string;
  readonly adminUrl?: string;
  readonly tokenFile?: string;
  readonly output: OutputFormat;
}

/** No flag, no variable and no default says which server is asked. */
export class NoTargetError extends UsageError {}

export function addClientOptions(command: Command): Command {
  command
    .option(
      '--admin-socket <path>',
      "the server's admin socket (default: the server's default, or SIDEKEY_ADMIN_SOCKET)",
    )
    .option('--admin-url <url>', 'ask over TCP instead, as in http://127.0.0.1:8443 (env: SIDEKEY_ADMIN_URL)')
    .option('--token-file <file>', 'the file with the bearer token for that (env: SIDEKEY_TOKEN_FILE)');
  return addOutputOption(command);
}

/** The admin socket that is asked; undefined where a URL is. A flag beats a variable. @throws UsageError */
export function socketOf({ adminSocket, adminUrl }: ClientOptions): string | undefined {
  if (adminSocket !== undefined && adminUrl !== undefined) {
    throw new UsageError('give --admin-socket or --admin-url, not both');
  }
  const isUrlSet = adminSocket === undefined && Boolean(process.env.SIDEKEY_ADMIN_URL);
  if (adminUrl !== undefined || isUrlSet) return undefined;
  const surroundings = { env: process.env, uid: process.geteuid!() };
  const socket = adminSocket ?? (process.env.SIDEKEY_ADMIN_SOCKET || defaultSocket('admin.sock', surroundings));
  if (socket === undefined) throw new NoTargetError('give --admin-socket: there is no XDG_RUNTIME_DIR to look in');
  return socket;
}

/** A URL beats the socket that `serve` has in the same shells. @throws UsageError */
export async function openClient(options: ClientOptions): Promise<AdminClient> {
  const { connectAdmin } = await import('../admin/client.ts');
  const { adminUrl, tokenFile } = options;
  const socketPath = socketOf(options);
  if (socketPath !== undefined) {
    if (tokenFile !== undefined) throw new UsageError('--token-file goes with --admin-url');
    return connectAdmin({ socketPath });
  }
  const url = adminUrl ?? process.env.SIDEKEY_ADMIN_URL!;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    const where = adminUrl === undefined ? 'SIDEKEY_ADMIN_URL' : '--admin-url';
    throw new UsageError(`${where}: ${JSON.stringify(url)} is not an http or https URL`);
  }
  const file = tokenFile ?? (process.env.SIDEKEY_TOKEN_FILE || undefined);
  const where = tokenFile === undefined ? 'SIDEKEY_TOKEN_FILE' : '--token-file';
  return connectAdmin({ url, token: file === undefined ? undefined : await readToken(file, where) });
}

/** A command that was given, with the flags that say which server is asked: it goes to that one from any shell. */
export function aimed(command: string, { adminSocket, adminUrl, tokenFile }: ClientOptions): string {
  if (!/^sidekey (?!serve |envoy )/.test(command)) return command;
  const flags = { '--admin-socket': adminSocket, '--admin-url': adminUrl, '--token-file': tokenFile };
  const given = Object.entries(flags).flatMap(([flag, value]) =>
    value === undefined ? [] : [flag, shellQuote(value)],
  );
  return [command, ...given].join(' ');
}

async function readToken(file: string, where: string): Promise<string> {
  const { readTrustedFile } = await import('../base/trusted-file.ts');
  let token: string;
  try {
    const remedy = 'keep the token in a file of your own that nobody else can write';
    token = readTrustedFile(file, { closed: false, remedy }).trim();
  } catch (thrown) {
    throw new UsageError(`${where}: ${(thrown as Error).message}`);
  }
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError(`${where}: ${file} holds no token`);
  return token;
}
