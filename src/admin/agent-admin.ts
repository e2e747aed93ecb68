/** The admin API of an agent, on its Unix socket, and its answers to questions of the server. */

import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { SidekeyError } from '../base/index.ts';
import type { AdminCaller } from './access.ts';
import type { AdminOptions } from './admin.ts';
import type { AgentAppOptions } from './agent-app.ts';
import { createDoor } from './door.ts';
import { endWithProblem } from './problem.ts';

export interface AgentAdminOptions extends Omit<AgentAppOptions, 'callerOf' | 'admit'> {
  readonly unixCaller: AdminOptions['unixCaller'];
  readonly maxConnections: number;
}

export interface AgentAdmin {
  /** For the Unix socket; accepts its owner and root. */
  readonly unix: Server;
  /** Answers a GET that the server asks on behalf of one of its admins. @param path such as `/v1/proxies?limit=100` */
  answer(path: string): Promise<{ readonly status: number; readonly body: Uint8Array }>;
  close(): Promise<void>;
}

/** What the server may ask. */
const ASKED = /^\/(v1\/proxies|v1\/explain|v1\/decisions(\/[\w-]{1,64})?|readyz)(\?[\x21-\x7e]{0,8192})?$/;

export function createAgentAdmin(options: AgentAdminOptions): AgentAdmin {
  const callers = new WeakMap<IncomingMessage, AdminCaller>();
  let app: Promise<FastifyInstance> | undefined;
  // The application is loaded when it is first needed, since loading it takes longer than the start.
  const load = async () => {
    const { createAgentApp } = await import('./agent-app.ts');
    const admit = ({ socket }: IncomingMessage) => unix.admit(socket);
    const made = createAgentApp({
      ...options,
      callerOf: (request) => callers.get(request) ?? ASKING.get(request),
      admit,
    });
    await made.ready();
    return made;
  };
  const appNow = () => {
    app ??= load().catch((thrown: unknown) => {
      app = undefined;
      throw thrown;
    });
    return app;
  };
  const unix = createDoor({
    ...options,
    name: 'its Unix socket',
    callerOf: (socket: Socket) => ({ via: 'unix', ...options.unixCaller(socket) }),
    handle: async (request, response, caller) => {
      callers.set(request, caller);
      try {
        (await appNow()).routing(request, response);
      } catch (thrown) {
        options.log.error({ err: thrown }, 'admin request failed');
        endWithProblem(response, SidekeyError.from(thrown));
      }
    },
  });
  return {
    unix: unix.server,
    answer: async (path) => {
      if (!ASKED.test(path)) return { status: 404, body: Buffer.from('{}') };
      const { statusCode: status, rawPayload: body } = await (await appNow()).inject({ method: 'GET', url: path });
      return { status, body };
    },
    close: async () => {
      await unix.close();
      await (await app?.catch(() => undefined))?.close();
    },
  };
}

/** Requests of the server come from no socket: they are made in this process, and count as its owner's. */
const ASKING = {
  get: (_request: IncomingMessage): AdminCaller => ({
    via: 'unix',
    uid: process.geteuid!(),
    pid: process.pid,
    contained: undefined,
  }),
};
