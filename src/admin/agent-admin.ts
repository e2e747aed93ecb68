/** The admin API of an agent, on its Unix socket, and its answers to questions of the server. */

import { randomBytes } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { ERRORS, SidekeyError } from '../base/index.ts';
import type { AdminCaller } from './access.ts';
import type { AdminOptions } from './admin.ts';
import type { AgentAppOptions } from './agent-app.ts';
import { createDoor } from './door.ts';
import type { EventSources } from './events.ts';
import { endWithProblem, problemDocument } from './problem.ts';

export interface AgentAdminOptions extends Omit<AgentAppOptions, 'callerOf' | 'admit' | 'asking' | 'eventReaders'> {
  readonly ledger: AgentAppOptions['ledger'] & EventSources['ledger'];
  readonly unixCaller: AdminOptions['unixCaller'];
  readonly maxConnections: number;
}

export interface AgentAdmin {
  /** For the Unix socket; accepts its owner and root. */
  readonly unix: Server;
  /**
   * Answers a GET that the server asks on behalf of one of its admins.
   * @param path such as `/v1/proxies?limit=100`
   * @returns JSON; a problem document if the status is 400 or more
   */
  answer(path: string): Promise<Answered>;
  /** Stops listening, gives running requests a second to end, then closes the remaining connections. */
  close(): Promise<void>;
}

interface Answered {
  readonly status: number;
  readonly body: Uint8Array;
}

interface App {
  readonly app: FastifyInstance;
  /** Ends readers of events, which would keep the door open. */
  endEvents(): void;
}

/** What the server may ask: no more than is needed to show the fleet there. */
const ASKED = /^\/(?:v1\/(?:proxies|explain|doctor|decisions(?:\/[\w-]{1,64})?)|readyz)(?:\?[!-~]{0,8192})?$/;
/** Bytes of an answer. */
const MAX_ANSWER = 4 * 1024 * 1024;

export function createAgentAdmin(options: AgentAdminOptions): AgentAdmin {
  const callers = new WeakMap<IncomingMessage, AdminCaller>();
  /** Questions come from no socket. They have the token of a reader, which is made here and known nowhere else. */
  const asking = randomBytes(32).toString('base64url');
  let app: Promise<App> | undefined;
  // The application is loaded when it is first needed, since loading it takes longer than the start.
  const load = async (): Promise<App> => {
    const [{ createAgentApp }, { createAgentEventReaders }] = await Promise.all([
      import('./agent-app.ts'),
      import('./events.ts'),
    ]);
    const eventReaders = createAgentEventReaders(options);
    const made = createAgentApp({
      ...{ ...options, eventReaders, asking },
      callerOf: (request) => callers.get(request) ?? QUESTION,
      admit: ({ socket }) => unix.admit(socket),
    });
    await made.ready();
    return { app: made, endEvents: () => eventReaders.close() };
  };
  const appNow = () => {
    app ??= load().catch((thrown: unknown) => {
      app = undefined;
      throw thrown;
    });
    return app;
  };
  const loaded = () => app?.catch(() => undefined);
  const unix = createDoor({
    ...options,
    name: 'its Unix socket',
    callerOf: (socket) => ({ via: 'unix', ...options.unixCaller(socket) }),
    handle: async (request, response, caller) => {
      callers.set(request, caller);
      try {
        (await appNow()).app.routing(request, response);
      } catch (thrown) {
        options.log.error({ err: thrown }, 'admin request failed');
        endWithProblem(response, SidekeyError.from(thrown));
      }
    },
  });
  return {
    unix: unix.server,
    answer: async (path) => {
      if (!ASKED.test(path)) return refused(new SidekeyError('ERR_NOT_FOUND', 'an agent does not answer this'));
      const { app: now } = await appNow();
      const headers = { host: 'localhost', authorization: `Bearer ${asking}` };
      const { statusCode: status, rawPayload: body } = await now.inject({ method: 'GET', url: path, headers });
      if (body.length <= MAX_ANSWER) return { status, body };
      return refused(new SidekeyError('ERR_TOO_LARGE', `the answer has more than ${MAX_ANSWER} bytes: ask for less`));
    },
    close: async () => {
      (await loaded())?.endEvents();
      await unix.close();
      // A last request may have loaded the application in the meantime.
      await (await loaded())?.app.close();
    },
  };
}

/** Access control treats it like a request on TCP: it needs a token. */
const QUESTION: AdminCaller = { via: 'tcp', address: 'the server' };

function refused(error: SidekeyError): Answered {
  return { status: ERRORS[error.code].status, body: Buffer.from(JSON.stringify(problemDocument(error))) };
}
