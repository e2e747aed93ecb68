/** Checks the TCP address of the admin API: beyond loopback, TLS or something else must protect it. */

import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isLoopback, SidekeyError } from '../base/index.ts';

export interface TcpListen {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Whether addresses beyond loopback are allowed: with TLS, or where something else protects the connection. */
  readonly beyondLoopback: boolean;
}

/** The address of the host. @throws ERR_CONFIG if listening there is not allowed; ERR_SOCKET if the host has no address */
export async function listenAddress(listen: TcpListen): Promise<string> {
  const { host, beyondLoopback } = listen;
  const { address } = await lookup(host).catch((thrown: unknown) => Promise.reject(failure(listen, thrown)));
  if (beyondLoopback || isLoopback(address)) return address;
  throw SidekeyError.badInput(
    [
      {
        path: '--admin-listen',
        problem: `${host} is not a loopback address, and the admin API uses clear text there`,
        rule: 'give --admin-tls-cert and --admin-tls-key, or listen on 127.0.0.1, or give --admin-insecure-listen if something else protects the connection',
      },
    ],
    'ERR_CONFIG',
  );
}

/** Listens on `host:port`. @throws what {@link listenAddress} does; ERR_SOCKET when it can't listen */
export async function listenOnTcp(server: Server, listen: TcpListen): Promise<AddressInfo> {
  // The name is resolved only once, so that the checked address is the one that is used.
  server.listen({ host: await listenAddress(listen), port: listen.port });
  await once(server, 'listening').catch((thrown: unknown) => Promise.reject(failure(listen, thrown)));
  return server.address() as AddressInfo;
}

function failure({ host, port }: TcpListen, thrown: unknown): SidekeyError {
  return new SidekeyError('ERR_SOCKET', `--admin-listen ${host}:${port}: ${(thrown as Error).message}`, {
    cause: thrown,
  });
}
