/** The admin API: one application behind two doors, the Unix socket and, when asked for, TCP. */

import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Caller } from './access.ts';
import { type AppOptions, createApp } from './app.ts';
import { createDoor } from './door.ts';
import { createEventReaders, type EventSources } from './events.ts';

export interface AdminOptions extends Omit<AppOptions, 'callerOf' | 'eventReaders'>, Pick<EventSources, 'onIssued'> {
  readonly ledger: AppOptions['ledger'] & EventSources['ledger'];
  /** The kernel's word on who opened a connection to the Unix socket (SO_PEERCRED). */
  readonly peerUid: (socket: Socket) => number;
}

export interface Admin {
  /** To listen on the Unix socket: its owner and root get in. */
  readonly unix: Server;
  /** To listen on TCP: a known Host and the token are needed. */
  readonly tcp: Server;
  /** Stops listening, lets running requests end for a second, then cuts what is left. */
  close(): Promise<void>;
}

/** Builds the application; its servers listen where the caller says. */
export async function createAdmin(options: AdminOptions): Promise<Admin> {
  const callers = new WeakMap<IncomingMessage, Caller>();
  const eventReaders = createEventReaders(options);
  const app = createApp({ ...options, eventReaders, callerOf: (request) => callers.get(request) });
  await app.ready();

  const handle = (request: IncomingMessage, response: ServerResponse, caller: Caller) => {
    callers.set(request, caller);
    app.routing(request, response);
  };
  const unix = createDoor((socket) => ({ via: 'unix', uid: options.peerUid(socket) }), handle, options.clock);
  const tcp = createDoor(() => ({ via: 'tcp' }), handle, options.clock);
  return {
    unix: unix.server,
    tcp: tcp.server,
    close: async () => {
      eventReaders.close();
      await Promise.all([unix.close(), tcp.close()]);
      await app.close();
    },
  };
}
