import type { FastifyRequest } from 'fastify';
import type { Actor } from '../audit/index.ts';
import type { AdminCaller, Requester } from './access.ts';
import { makerName } from './page/sessions.ts';

/** Who makes the change that an accepted request asks for. */
export type ByOf = (request: Pick<FastifyRequest, 'raw' | 'requester'>) => Actor;

/**
 * The sender of a request, as the audit names it.
 * @param requester undefined: the request was refused before a token or session said who it is
 * @param forwarded whether `sidekey page` has forwarded the request to the Unix socket
 */
export function actorOf(caller: AdminCaller, requester: Requester | undefined, forwarded: boolean): Actor {
  const origin = caller.via === 'tcp' ? { address: caller.address } : { uid: caller.uid, pid: caller.pid };
  if (requester?.kind === 'session') {
    const { id, name, role, maker } = requester;
    return { kind: 'session', name, role, session: id, made_by: makerName(maker), ...origin };
  }
  if (caller.via === 'unix') {
    const { uid, pid } = caller;
    return forwarded ? { kind: 'stranger', uid, pid } : { kind: 'unix', uid, pid };
  }
  const { address } = caller;
  if (requester?.kind !== 'token') return { kind: 'stranger', address };
  return { kind: 'token', name: requester.name, role: requester.role, address };
}
