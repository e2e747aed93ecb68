/** Which server the client commands ask: the options that say so, and the client made of them. */

import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { AdminClient } from '../admin/client.ts';
import { defaultSocket } from '../config/defaults.ts';
import { UsageError } from './errors.ts';
import { addOutputOption, type OutputFormat } from './output.ts';

export interface ClientOptions {
  readonly adminSocket?: string;
  readonly adminUrl?: string;
  readonly tokenFile?: string;
  readonly output: OutputFormat;
}

export function addClientOptions(command: Command): Command {
  command
    .option(
      '--admin-socket <path>',
      "the server's admin socket (default: the server's default, or SIDEKEY_ADMIN_SOCKET)",
    )
    .option('--admin-url <url>', 'ask over TCP instead, as in http://127.0.0.1:8443')
    .option('--token-file <file>', 'the file with the bearer token for --admin-url');
  return addOutputOption(command);
}

/** @throws UsageError for a URL or token file that can't be used */
export async function openClient({ adminSocket, adminUrl, tokenFile }: ClientOptions): Promise<AdminClient> {
  const { connectAdmin } = await import('../admin/client.ts');
  if (adminUrl === undefined) {
    if (tokenFile !== undefined) throw new UsageError('--token-file goes with --admin-url');
    const surroundings = { env: process.env, uid: process.geteuid!() };
    const socketPath = adminSocket ?? (process.env.SIDEKEY_ADMIN_SOCKET || defaultSocket('admin.sock', surroundings));
    if (socketPath === undefined) throw new UsageError('give --admin-socket: there is no XDG_RUNTIME_DIR to look in');
    return connectAdmin({ socketPath });
  }
  if (adminSocket !== undefined) throw new UsageError('give --admin-socket or --admin-url, not both');
  if (!URL.canParse(adminUrl) || !/^https?:$/.test(new URL(adminUrl).protocol)) {
    throw new UsageError(`--admin-url: ${JSON.stringify(adminUrl)} is not an http or https URL`);
  }
  return connectAdmin({ url: adminUrl, token: tokenFile === undefined ? undefined : await readToken(tokenFile) });
}

async function readToken(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((thrown: Error) => {
    throw new UsageError(`--token-file: ${thrown.message}`);
  });
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError(`--token-file: ${file} holds no token`);
  return token;
}
