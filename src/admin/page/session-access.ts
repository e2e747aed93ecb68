/**
 * Which requests a session of the page may make. Its cookie is sent by the browser, whichever site asks for the request, so
 * the browser must also say that the page itself asks: by Sec-Fetch-Site and Origin, and by a header that only the page can
 * set for all that may change something.
 *
 * @see https://www.w3.org/TR/fetch-metadata/
 * @see https://html.spec.whatwg.org/multipage/browsers.html section "Origins"
 */

import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { SidekeyError } from '../../base/index.ts';
import type { PageSession, PageSessions } from './sessions.ts';

/** The parts of a request that decide. */
export interface PageRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  /** Whether the request came over TLS. */
  readonly tls: boolean;
}

export const CSRF_HEADER = 'x-sidekey-csrf';
/** The header with which `sidekey page` marks what it forwards to the Unix socket: such a request has no rights of its own. */
export const VIA_HEADER = 'sidekey-via';

const SIGN_IN = 'run sidekey page on the host of the server, and open the link that it prints';

/** With TLS the browser refuses the cookie from anything but this very host (`__Host-`, RFC 6265bis section 4.1.3.2). */
export function cookieName(tls: boolean): string {
  return tls ? '__Host-sidekey_session' : 'sidekey_session';
}

/** @param value undefined: removes the cookie */
export function setCookie(tls: boolean, value: string | undefined): string {
  const attributes = `Path=/; HttpOnly; SameSite=Strict${tls ? '; Secure' : ''}`;
  return `${cookieName(tls)}=${value ?? ''}; ${attributes}${value === undefined ? '; Max-Age=0' : ''}`;
}

/** Whether a request has a cookie of a session, valid or not. */
export function hasSessionCookie(request: PageRequest): boolean {
  return cookiesOf(request).length > 0;
}

/** @throws ERR_FORBIDDEN_ORIGIN, ERR_SESSION */
export function sessionOf(request: PageRequest, sessions: Pick<PageSessions, 'use'>): PageSession {
  refuseOtherSites(request);
  const [cookie, ...others] = cookiesOf(request);
  // Another page may have set one of them, to have its reader work in a session of its own.
  const session = cookie === undefined || others.length > 0 ? undefined : sessions.use(cookie);
  if (session === undefined) throw endedSession();
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  if (!isRead && !isSame(request.headers[CSRF_HEADER], session.csrf)) {
    throw new SidekeyError(
      'ERR_FORBIDDEN_ORIGIN',
      `a request with a session's cookie that may change something needs the header ${CSRF_HEADER} with the csrf of the session`,
    );
  }
  return session;
}

export function endedSession(): SidekeyError {
  return new SidekeyError('ERR_SESSION', `there is no session, or it has ended: ${SIGN_IN}`);
}

/** @throws ERR_FORBIDDEN_ORIGIN if the browser says that another site, or nobody's page, asks */
export function refuseOtherSites({ headers, tls }: PageRequest): void {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin') {
    throw new SidekeyError(
      'ERR_FORBIDDEN_ORIGIN',
      `the browser says that the request comes from elsewhere than the page (Sec-Fetch-Site: ${JSON.stringify(site)})`,
    );
  }
  const { origin, host } = headers;
  if (origin === undefined || isOwnOrigin(origin, host, tls)) return;
  throw new SidekeyError('ERR_FORBIDDEN_ORIGIN', `the request comes from another site, ${JSON.stringify(origin)}`);
}

/** A proxy in front of clear text may speak TLS to the browser, so there both schemes are the server's own. */
function isOwnOrigin(origin: string, host: string | undefined, tls: boolean): boolean {
  if (host === undefined || !URL.canParse(origin)) return false;
  const { protocol } = new URL(origin);
  if (protocol !== 'https:' && (tls || protocol !== 'http:')) return false;
  const own = `${protocol}//${host}`;
  return URL.canParse(own) && new URL(own).origin === origin;
}

/**
 * A browser sends a cookie to every port of its host, so on a name that all programs of the machine share, they would get it.
 * @throws ERR_FORBIDDEN_HOST
 */
export function refuseSharedHost(host: string | undefined): void {
  const name = (host ?? '').toLowerCase().replace(/:\d+$/, '');
  if (name !== 'localhost' && name !== '[::1]' && !/^127\.\d+\.\d+\.\d+$/.test(name)) return;
  throw new SidekeyError(
    'ERR_FORBIDDEN_HOST',
    `a session is not made under ${name}, since other programs of this host would get its cookie: ${SIGN_IN}, which has a name of its own`,
  );
}

function cookiesOf({ headers, tls }: PageRequest): string[] {
  const name = `${cookieName(tls)}=`;
  const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim());
  return pairs.filter((pair) => pair.startsWith(name)).map((pair) => pair.slice(name.length));
}

function isSame(given: string | string[] | undefined, expected: string): boolean {
  if (typeof given !== 'string') return false;
  const [one, other] = [Buffer.from(given), Buffer.from(expected)];
  return one.length === other.length && timingSafeEqual(one, other);
}
