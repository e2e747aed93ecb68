import type { FastifyRequest } from 'fastify';
import type { Actor } from '../audit/index.ts';
import type { AdminCaller, Requester } from './access.ts';

/** Who makes the change that an accepted request asks for. */
export type ByOf = (request: Pick<FastifyRequest, 'raw' | 'requester'>) => Actor;

/**
 * The sender of a request, as the audit names it.
 * @param requester undefined: the request was refused before a token said who it is
 */
export function actorOf(caller: AdminCaller, requester: Requester | undefined): Actor {
  if (caller.via === 'unix') return { kind: 'unix', uid: caller.uid, pid: caller.pid };
  const { address } = caller;
  if (requester?.kind !== 'token') return { kind: 'stranger', address };
  return { kind: 'token', name: requester.name, role: requester.role, address };
}
