/**
 * Access control of the admin API. The Unix socket accepts its owner's uid and root, as the kernel reports them, but no
 * process in a container, where any user may be root. TCP requires a known Host header, against DNS rebinding, and a bearer
 * token or a session of the page, because a connection over loopback does not identify its user. What `sidekey page` forwards
 * to the Unix socket is treated as on TCP. Tokens and sessions have a role, and each route needs one.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIPv4 } from 'node:net';
import { includesRole, type Role, SidekeyError } from '../base/index.ts';
import { FILE_TOKEN_NAME, isExpiredToken, type Tokens } from '../registry/index.ts';
import { hasSessionCookie, type PageRequest, sessionOf, VIA_HEADER } from './page/session-access.ts';
import { type Maker, makerName, type PageSession, type PageSessions, type SessionRole } from './page/sessions.ts';
import type { Needs } from './roles.ts';

/** How a request came in. */
export type AdminCaller =
  | {
      readonly via: 'unix';
      readonly uid: number;
      readonly pid: number;
      /** Why the caller counts as a process in a container; undefined if it does not. */
      readonly contained: string | undefined;
    }
  | {
      readonly via: 'tcp';
      /** The address of the client, without its port. */
      readonly address: string;
    };

/**
 * The sender of an accepted request: a user of the Unix socket, who may do everything, the owner of a token, or a session of
 * the page.
 */
export type Requester =
  | { readonly kind: 'unix'; readonly uid: number }
  | {
      readonly kind: 'token';
      readonly name: string;
      readonly role: Role;
      /** Milliseconds since the epoch; 0: never. */
      readonly expiresAt: number;
    }
  | {
      readonly kind: 'session';
      readonly id: string;
      readonly name: string;
      readonly role: SessionRole;
      readonly maker: Maker;
    };

export interface AccessRules {
  /** The uid that owns the Unix socket; root may always. */
  readonly ownerUid: number;
  /** The token of the file, which has the role admin; undefined: there is none. */
  readonly token: string | undefined;
  /** All other tokens. */
  readonly tokens: Pick<Tokens, 'find'>;
  readonly sessions: Pick<PageSessions, 'use'>;
  /** Host names in addition to the loopback names, without ports. */
  readonly hosts: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** The parts of a request that access control checks. */
export interface AccessRequest extends PageRequest {
  /** The least role that the request needs; `open`: it needs no token. */
  readonly needs: Needs;
}

/**
 * The sender of the request; undefined for a request on TCP, or through `sidekey page`, that needs no token.
 * {@link checkRole} must follow.
 * @throws ERR_FORBIDDEN, ERR_FORBIDDEN_HOST, ERR_UNAUTHORIZED, ERR_SESSION, ERR_FORBIDDEN_ORIGIN
 */
export function identify(caller: AdminCaller, request: AccessRequest, rules: AccessRules): Requester | undefined {
  if (caller.via === 'unix') {
    if (caller.contained !== undefined) {
      throw new SidekeyError(
        'ERR_FORBIDDEN',
        `this process is in a container (${caller.contained}), and root there is not root of this host: run the command on the host or in the server's own container, or start sidekey serve with --allow-contained`,
      );
    }
    if (caller.uid !== 0 && caller.uid !== rules.ownerUid) {
      throw new SidekeyError('ERR_FORBIDDEN', `uid ${caller.uid} is neither the owner of this socket nor root`);
    }
    if (!isForwarded(caller, request.headers)) return { kind: 'unix', uid: caller.uid };
  }
  const { host, authorization } = request.headers;
  if (!isKnownHost(host, rules.hosts)) {
    throw new SidekeyError(
      'ERR_FORBIDDEN_HOST',
      `the Host ${JSON.stringify(host ?? '')} is neither a loopback name nor an --admin-host`,
    );
  }
  if (request.needs === 'open') return undefined;
  // Nobody but the page has a reason to come this way.
  if (caller.via === 'unix' || (authorization === undefined && hasSessionCookie(request))) {
    return requesterOfSession(sessionOf(request, rules.sessions));
  }
  return ownerOfToken(authorization, rules);
}

/** A session of the page as the sender of a request. */
export function requesterOfSession({ id, name, role, maker }: PageSession): Extract<Requester, { kind: 'session' }> {
  return { kind: 'session', id, name, role, maker };
}

/** Who a limit for each sender counts: a user or token, with all sessions that it made. */
export function senderOf(requester: Requester): string {
  return makerName(requester.kind === 'session' ? requester.maker : requester);
}

/** Whether `sidekey page` has forwarded the request. The header takes rights away, so anybody may send it. */
export function isForwarded({ via }: AdminCaller, headers: IncomingHttpHeaders): boolean {
  return via === 'unix' && headers[VIA_HEADER] !== undefined;
}

/** @throws ERR_FORBIDDEN_ROLE if the requester's role does not include the needed one */
export function checkRole(requester: Requester | undefined, needs: Needs): void {
  if (needs === 'open' || requester === undefined || requester.kind === 'unix') return;
  const { kind, name, role } = requester;
  if (includesRole(role, needs)) return;
  throw new SidekeyError(
    'ERR_FORBIDDEN_ROLE',
    `this needs a ${kind} with the role ${needs}, and the ${kind} ${name} has the role ${role}`,
    { extra: { needed_role: needs } },
  );
}

const WHERE =
  "the token is in the file of the server's --admin-token-file, by default admin.token in its data directory, or was made by sidekey token create; the command line reads it with --token-file";

/** @throws ERR_UNAUTHORIZED */
function ownerOfToken(
  authorization: string | undefined,
  { token, tokens, now }: Pick<AccessRules, 'token' | 'tokens' | 'now'>,
): Extract<Requester, { kind: 'token' }> {
  const header = 'Authorization: Bearer <token>';
  if (!authorization) throw unauthorized(`the request has no token: send the header "${header}"; ${WHERE}`);
  const given = BEARER.exec(authorization)?.[1];
  if (given === undefined) {
    throw unauthorized(`the request's Authorization header has another form than "${header}"; ${WHERE}`);
  }
  if (token !== undefined && isSame(given, token)) {
    return { kind: 'token', name: FILE_TOKEN_NAME, role: 'admin', expiresAt: 0 };
  }
  const found = tokens.find(given);
  if (found === undefined) throw unauthorized(`the token is not one of this server, or was revoked; ${WHERE}`);
  if (isExpiredToken(found, now)) {
    const since = new Date(found.expiresAt).toISOString();
    throw unauthorized(`the token ${found.name} has expired at ${since}: make a new one with sidekey token create`);
  }
  return { kind: 'token', name: found.name, role: found.role, expiresAt: found.expiresAt };
}

function unauthorized(message: string): SidekeyError {
  return new SidekeyError('ERR_UNAUTHORIZED', message);
}

/**
 * `localhost` and one name below it, which browsers resolve to this host themselves (RFC 6761, section 6.3), `127.0.0.0/8`,
 * `[::1]` and the listed names, in any case, on any port.
 */
function isKnownHost(header: string | undefined, hosts: readonly string[]): boolean {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/.exec((header ?? '').toLowerCase());
  if (match === null) return false;
  const name = match[1]!;
  if (
    name === 'localhost' ||
    /^[a-z0-9-]+\.localhost$/.test(name) ||
    name === '[::1]' ||
    (isIPv4(name) && name.startsWith('127.'))
  )
    return true;
  return hosts.some((host) => host.toLowerCase() === name);
}

const BEARER = /^bearer +(\S+) *$/i;

/** Compares digests, so that neither time nor length reveals anything about the token. */
function isSame(given: string, token: string): boolean {
  return timingSafeEqual(sha256(given), sha256(token));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
