/** The next steps that are shown to a user who starts the server on a terminal. */

import { shellQuote } from '../base/index.ts';
import { adminSocketIn, defaultDataDir, type ServeConfig } from '../config/index.ts';
import { trustDomainId } from '../spiffe/index.ts';
import { aimed } from './target.ts';

/** @param entries the number of entries */
export function nextSteps(config: ServeConfig, entries: number): string {
  const { adminSocket, trustDomain, socket, entries: file } = config;
  const options = { output: 'table', ...(isDefault(adminSocket) ? {} : { adminSocket }) } as const;
  const id = shellQuote(`${trustDomainId(trustDomain)}/web`);
  const create = `sidekey entry create --spiffe-id ${id} --selector unix:uid:${process.geteuid!()}`;
  const fetch = `sidekey fetch --socket ${shellQuote(socket)}`;
  const steps: readonly (readonly [command: string, does: string])[] = [
    ...(entries === 0 ? [[create, 'gives an identity to the processes of this user'] as const] : []),
    [fetch, 'shows the identities that a process gets'],
    ['sidekey proxies', 'shows what each Envoy asked for and received'],
    ['sidekey doctor', 'looks for faults'],
    ...(file === undefined ? [] : [[`kill -HUP ${process.pid}`, 'reloads the entries file after a change'] as const]),
  ];
  const lines = steps.map(([command, does]) => `  ${aimed(command, options)}\n      ${does}\n`);
  return `\nThe pipe is ${socket}. In another terminal:\n${lines.join('')}\n`;
}

/** Whether client commands use this socket without a flag. */
function isDefault(adminSocket: string): boolean {
  const dataDir = defaultDataDir({ env: process.env, uid: process.geteuid!() });
  return dataDir !== undefined && adminSocketIn(dataDir) === adminSocket;
}
