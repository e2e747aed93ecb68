/** The options of client commands that name the server, and the client made from them. */

import { X509Certificate } from 'node:crypto';
import { existsSync, lstatSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { readTrustedFile, shellQuote } from '../base/index.ts';
import type { AdminClient } from '../client/index.ts';
import {
  adminSocketIn,
  defaultAgentDataDir,
  defaultDataDir,
  formerAdminSocket,
  SYSTEM_SOCKET,
} from '../config/index.ts';
import { asCalled } from './called-as.ts';
import { UsageError } from './errors.ts';
import { addOutputOption, type OutputFormat } from './output.ts';
import { socketPath } from './pipe.ts';

export interface ClientOptions {
  readonly adminSocket?: string;
  readonly adminUrl?: string;
  readonly tokenFile?: string;
  readonly adminCaFile?: string;
  readonly output: OutputFormat;
}

/** No flag, variable or default names a server. */
export class NoTargetError extends UsageError {}

export function addClientOptions(command: Command, formats?: readonly OutputFormat[]): Command {
  command
    .option(
      '--admin-socket <path>',
      'the admin socket of the server or agent (env: SIDEKEY_ADMIN_SOCKET; default: admin.sock in its data directory, SIDEKEY_DATA_DIR or the default of sidekey serve, else of sidekey agent run)',
    )
    .option(
      '--admin-url <url>',
      'ask the server over TCP instead, such as http://127.0.0.1:8443 (env: SIDEKEY_ADMIN_URL)',
    )
    .option('--token-file <file>', 'file with the bearer token for --admin-url (env: SIDEKEY_TOKEN_FILE)')
    .option(
      '--admin-ca-file <file>',
      'PEM file with the CA of the TLS certificate of --admin-url (env: SIDEKEY_ADMIN_CA_FILE; default: the public CAs that Node includes)',
    );
  return addOutputOption(command, formats);
}

/** The path of the admin socket; undefined if a URL is given. A flag overrides a variable. @throws UsageError */
export function socketOf({ adminSocket, adminUrl }: ClientOptions): string | undefined {
  if (adminSocket !== undefined && adminUrl !== undefined) {
    throw new UsageError('give --admin-socket or --admin-url, not both');
  }
  const isUrlSet = adminSocket === undefined && Boolean(process.env.SIDEKEY_ADMIN_URL);
  if (adminUrl !== undefined || isUrlSet) return undefined;
  if (adminSocket !== undefined) return socketPath('--admin-socket', adminSocket);
  const { SIDEKEY_ADMIN_SOCKET } = process.env;
  return SIDEKEY_ADMIN_SOCKET ? socketPath('SIDEKEY_ADMIN_SOCKET', SIDEKEY_ADMIN_SOCKET) : defaultAdminSocket();
}

/** @throws NoTargetError */
function defaultAdminSocket(): string {
  // Absolute, like the path of `serve` in the same shell.
  const given = process.env.SIDEKEY_DATA_DIR ? path.resolve(process.env.SIDEKEY_DATA_DIR) : undefined;
  const dataDir = given ?? defaultDataDir(surroundings());
  if (dataDir !== undefined)
    return given === undefined ? ofServerOrAgent(adminSocketIn(dataDir)) : adminSocketIn(dataDir);
  throw new NoTargetError('HOME and XDG_STATE_HOME are not set, so the data directory is unknown: give --admin-socket');
}

/** The agent's default, if this host has an agent and no server. @param server the server's default */
function ofServerOrAgent(server: string): string {
  const agent = adminSocketIn(defaultAgentDataDir(surroundings())!);
  return !isSocket(server) && isSocket(agent) ? agent : server;
}

function surroundings() {
  return { env: process.env, uid: process.geteuid!() };
}

/**
 * The admin socket of a server of an earlier version, if there is one. Undefined if a socket was named or one exists at
 * the present default path.
 */
export function formerSocketOf(options: ClientOptions): string | undefined {
  const named = options.adminSocket ?? process.env.SIDEKEY_ADMIN_SOCKET;
  const former = named ? undefined : formerAdminSocket(surroundings());
  if (former === undefined || socketOf(options) === undefined) return undefined;
  return isSocket(former) && !isSocket(defaultAdminSocket()) ? former : undefined;
}

function isSocket(file: string): boolean {
  try {
    return lstatSync(file).isSocket();
  } catch {
    return false;
  }
}

/** A URL overrides the default socket. @throws UsageError */
export async function openClient(options: ClientOptions): Promise<AdminClient> {
  const { connectAdmin } = await import('../client/index.ts');
  const { adminUrl, tokenFile } = options;
  const socketPath = socketOf(options);
  if (socketPath !== undefined) {
    if (tokenFile !== undefined) throw new UsageError('--token-file goes with --admin-url');
    if (options.adminCaFile !== undefined) throw new UsageError('--admin-ca-file goes with --admin-url');
    return connectAdmin({ socketPath, hint: () => missingHint(options) });
  }
  const url = adminUrl ?? process.env.SIDEKEY_ADMIN_URL!;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    const where = adminUrl === undefined ? 'SIDEKEY_ADMIN_URL' : '--admin-url';
    throw new UsageError(`${where}: ${JSON.stringify(url)} is not an http or https URL`);
  }
  const file = tokenFile ?? (process.env.SIDEKEY_TOKEN_FILE || undefined);
  const where = tokenFile === undefined ? 'SIDEKEY_TOKEN_FILE' : '--token-file';
  return connectAdmin({
    url,
    token: file === undefined ? undefined : await readToken(file, where),
    ca: await readCa(options.adminCaFile),
  });
}

/** The certificates of the CA file, PEM; undefined: none is named. @throws UsageError */
async function readCa(flag: string | undefined): Promise<string | undefined> {
  const file = flag ?? (process.env.SIDEKEY_ADMIN_CA_FILE || undefined);
  if (file === undefined) return undefined;
  const where = flag === undefined ? 'SIDEKEY_ADMIN_CA_FILE' : '--admin-ca-file';
  try {
    // Whoever can write it decides which server gets the token.
    const text = await readTrustedFile(file, { closed: false, remedy: CA_REMEDY, maxBytes: 1024 * 1024 });
    new X509Certificate(text);
    return text;
  } catch (thrown) {
    throw new UsageError(`${where}: ${file}: ${(thrown as Error).message}; ${CA_RULE}`);
  }
}

const CA_RULE = 'it must contain certificates as PEM';
const CA_REMEDY = 'copy the certificates to a file that only you can write';

/** The client, but what is asked about a host is asked of this agent; undefined: of the server. */
export function askingAgent(client: AdminClient, agent: string | undefined): AdminClient {
  if (agent === undefined) return client;
  const path = { id: agent };
  return {
    ...client,
    listProxies: (request) => client.listAgentProxies({ ...request, path }),
    explain: (request) => client.explainOnAgent({ ...request, path }),
  };
}

/** The pipe of a server that seems to be root's, if this user has named no server and is not root. */
export function pipeOfRoot({ adminSocket }: ClientOptions): string | undefined {
  const { SIDEKEY_ADMIN_SOCKET, SIDEKEY_DATA_DIR } = process.env;
  const isNamed = adminSocket !== undefined || Boolean(SIDEKEY_ADMIN_SOCKET) || Boolean(SIDEKEY_DATA_DIR);
  return !isNamed && process.geteuid!() !== 0 && existsSync(SYSTEM_SOCKET) ? SYSTEM_SOCKET : undefined;
}

/** The remedy for a missing socket; undefined if the general message says more. */
function missingHint(options: ClientOptions): string | undefined {
  const former = formerSocketOf(options);
  if (former !== undefined) {
    return `this socket does not exist, but there is one at ${former}, the default place of earlier versions: restart that server with this version, or ask it with --admin-socket ${shellQuote(former)}`;
  }
  if (options.adminSocket !== undefined || process.env.SIDEKEY_ADMIN_SOCKET) return undefined;
  const roots = pipeOfRoot(options);
  if (roots !== undefined) {
    return `this socket does not exist, but ${roots} does, so a server of root seems to run here: run this command as root (sudo)`;
  }
  return "this socket does not exist: start sidekey serve, or set SIDEKEY_DATA_DIR to the server's data directory, or give its --admin-socket";
}

/** A command as this user calls it, with the flags that name the server, so that it asks the same server from any shell. */
export function aimed(command: string, { adminSocket, adminUrl, tokenFile }: ClientOptions): string {
  if (!/^sidekey (?!serve |envoy |fetch |completion |restore )/.test(command)) return asCalled(command);
  const flags = { '--admin-socket': adminSocket, '--admin-url': adminUrl, '--token-file': tokenFile };
  const given = Object.entries(flags).flatMap(([flag, value]) =>
    value === undefined ? [] : [flag, shellQuote(value)],
  );
  return asCalled([command, ...given].join(' '));
}

async function readToken(file: string, where: string): Promise<string> {
  let token: string;
  try {
    const remedy = 'keep the token in a file that belongs to you and that no other user can write';
    token = (await readTrustedFile(file, { closed: false, remedy })).trim();
  } catch (thrown) {
    throw new UsageError(`${where}: ${(thrown as Error).message}`);
  }
  if (!/^[\x21-\x7e]+$/.test(token)) throw new UsageError(`${where}: ${file} does not contain a token`);
  return token;
}
