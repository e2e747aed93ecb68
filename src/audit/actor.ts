/** Who made a change, as the audit names them. */

import type { Role } from '../base/index.ts';

/** Without secrets: of a token, its name only. */
export type Actor =
  /** A process on the admin socket, as the kernel reports it. */
  | { readonly kind: 'unix'; readonly uid: number; readonly pid: number }
  /** A client on TCP with a valid token. */
  | { readonly kind: 'token'; readonly name: string; readonly role: Role; readonly address: string }
  /** A client on TCP without a valid token. */
  | { readonly kind: 'stranger'; readonly address: string }
  /** A caller of the pipe. `owner` is the user or container that it counts for: `uid 1000`. */
  | { readonly kind: 'caller'; readonly owner: string; readonly uid: number; readonly pid: number }
  /** An agent of another host, on the agent port. */
  | { readonly kind: 'agent'; readonly id: string; readonly address: string }
  /** A file that the server reads: the entries file, the file with the admin token. */
  | { readonly kind: 'file'; readonly path: string }
  /** The server by its own rules: an issuance, a rotation that is due, a pruning. */
  | { readonly kind: 'server' };

export const ACTOR_KINDS = [
  'unix',
  'token',
  'stranger',
  'caller',
  'agent',
  'file',
  'server',
] as const satisfies Actor['kind'][];

/** The actor of changes that nobody asked for. */
export const SERVER: Actor = { kind: 'server' };

/** Where the request came from: `unix socket`, `tcp 127.0.0.1`, `file`, `pipe`, `server`. */
export function sourceOfActor(actor: Actor): string {
  switch (actor.kind) {
    case 'unix':
      return 'unix socket';
    case 'token':
    case 'stranger':
      return `tcp ${actor.address}`;
    case 'agent':
      return `tcp ${actor.address}`;
    case 'caller':
      return 'pipe';
    case 'file':
      return 'file';
    case 'server':
      return 'server';
  }
}

/** The actor in one word, by which lists are filtered: `unix:0`, `token:ci`, `file:/etc/entries.yaml`, `server`. */
export function actorName(actor: Actor): string {
  switch (actor.kind) {
    case 'unix':
      return `unix:${actor.uid}`;
    case 'token':
      return `token:${actor.name}`;
    case 'stranger':
      return `stranger:${actor.address}`;
    case 'caller':
      return `caller:${actor.owner}`;
    case 'agent':
      return `agent:${actor.id}`;
    case 'file':
      return `file:${actor.path}`;
    case 'server':
      return 'server';
  }
}
