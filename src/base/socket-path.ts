/**
 * Paths of Unix sockets as people write them: plain, or as the URLs of gRPC, SPIFFE and Docker (`unix:///run/x.sock`).
 */

/** Why a text cannot be the path of a Unix socket, and the rule. */
export interface SocketPathFault {
  readonly problem: string;
  readonly rule: string;
}

/** `sockaddr_un.sun_path` without its final zero byte. @see unix(7) */
export const MAX_SOCKET_PATH_BYTES = 107;

const FORMS = 'give the path of a Unix socket, such as /run/sidekey/agent.sock, unix:/run/… or unix:///run/…';
const ABSTRACT =
  'give the path of a file: an abstract socket has no owner and no mode, so any process in the network namespace could use it, or take its name first';

/**
 * Reads the path in a text; a relative one stays relative.
 * @see https://github.com/grpc/grpc/blob/master/doc/naming.md
 */
export function readSocketPath(text: string): string | SocketPathFault {
  const shown = JSON.stringify(text);
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):(.*)$/is.exec(text) ?? [];
  if (scheme?.toLowerCase() === 'unix-abstract') return { problem: `${shown} is an abstract socket`, rule: ABSTRACT };
  // A path may have a colon; a scheme is followed by slashes, except for unix.
  const isUnix = scheme?.toLowerCase() === 'unix';
  if (scheme !== undefined && !isUnix && rest!.startsWith('//')) {
    const what = scheme.toLowerCase() === 'tcp' ? 'a TCP address, not a Unix socket' : 'not a Unix socket';
    return { problem: `${shown} is ${what}`, rule: FORMS };
  }
  let place = isUnix ? rest! : text;
  if (isUnix && place.startsWith('//')) {
    place = place.slice(2);
    if (!place.startsWith('/') && !place.startsWith('@')) {
      return {
        problem: `${shown} has a host after unix://`,
        rule: 'after unix:// comes an absolute path: unix:///run/…',
      };
    }
  }
  if (place.startsWith('@')) return { problem: `${shown} is an abstract socket`, rule: ABSTRACT };
  if (place === '') return { problem: isUnix ? `${shown} has no path` : 'it is empty', rule: FORMS };
  return place;
}
