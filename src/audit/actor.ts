/** Who made a change, as the audit names them. */

import type { Role } from '../base/index.ts';

/** Without secrets: of a token, its name only. */
export type Actor =
  /** A process on the admin socket, as the kernel reports it. */
  | { readonly kind: 'unix'; readonly uid: number; readonly pid: number }
  /** A client on TCP with a valid token. */
  | { readonly kind: 'token'; readonly name: string; readonly role: Role; readonly address: string }
  /**
   * A session of the page. Its `name` is what the maker of its link called it; `made_by` is that maker: `unix:0`,
   * `token:ci`. With `address` it came over TCP, else through the process of `sidekey page` on the admin socket.
   */
  | ({
      readonly kind: 'session';
      readonly name: string;
      readonly role: Role;
      readonly session: string;
      readonly made_by: string;
    } & Origin)
  /** A client on TCP, or of `sidekey page`, without a valid token or session. */
  | ({ readonly kind: 'stranger' } & Origin)
  /** A caller of the pipe. `owner` is the user or container that it counts for: `uid 1000`. */
  | { readonly kind: 'caller'; readonly owner: string; readonly uid: number; readonly pid: number }
  /** An agent of another host, on the agent port. */
  | { readonly kind: 'agent'; readonly id: string; readonly address: string }
  /** A file that the server reads: the entries file, the file with the admin token. */
  | { readonly kind: 'file'; readonly path: string }
  /** The server by its own rules: an issuance, a rotation that is due, a pruning. */
  | { readonly kind: 'server' };

/** A client on TCP, or the process of `sidekey page` on the admin socket. */
type Origin = { readonly address: string } | { readonly uid: number; readonly pid: number };

export const ACTOR_KINDS = [
  'unix',
  'token',
  'session',
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
      return `tcp ${actor.address}`;
    case 'session':
    case 'stranger':
      return 'address' in actor ? `tcp ${actor.address}` : 'unix socket, sidekey page';
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
    case 'session':
      return `session:${actor.name}`;
    case 'stranger':
      return 'address' in actor ? `stranger:${actor.address}` : `stranger:page-of-${actor.uid}`;
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
