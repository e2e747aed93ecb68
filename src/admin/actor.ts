import type { FastifyRequest } from 'fastify';
import type { Actor } from '../audit/index.ts';
import type { AdminCaller } from './access.ts';

/** Who makes the change that an accepted request asks for. */
export type ByOf = (request: Pick<FastifyRequest, 'raw'>) => Actor;

/** The caller of an accepted request, as the audit names it. */
export function actorOf(caller: AdminCaller): Actor {
  if (caller.via === 'unix') return { kind: 'unix', uid: caller.uid, pid: caller.pid };
  return { kind: 'token', name: ADMIN_TOKEN, address: caller.address };
}

/** The caller of a refused request: on TCP, nothing says who it is. */
export function refusedActorOf(caller: AdminCaller): Actor {
  return caller.via === 'unix' ? actorOf(caller) : { kind: 'stranger', address: caller.address };
}

/** The name of the token of `--admin-token-file` or `admin.token`. */
export const ADMIN_TOKEN = 'admin.token';
