/**
 * Datagrams to the socket of a service manager, for which Node has no function. koffi is loaded already where a server
 * runs; systemd-notify(1) would be a child process for each message, which systemd has to attribute to the service.
 */

import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';

const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)');
const sendto = libc.func(
  'long sendto(int fd, const uint8_t *data, unsigned long length, int flags, const uint8_t *address, unsigned int size)',
);

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_NOSIGNAL = 0x4000;
/** Bytes of `sun_path`. */
const PATH_BYTES = 108;

/**
 * The `struct sockaddr_un` of a socket as NOTIFY_SOCKET names it: an absolute path, or `@` and the name of an abstract
 * socket. Undefined for other forms, and for names that are too long. @see sd_notify(3), unix(7)
 */
export function notifyAddress(name: string): Buffer | undefined {
  const bytes = Buffer.from(name);
  const isAbstract = name.startsWith('@');
  if ((!isAbstract && !name.startsWith('/')) || bytes.length < 2 || name.includes('\0')) return undefined;
  // A path ends with a NUL; a name in the abstract namespace begins with one and ends with the address.
  if (isAbstract) bytes[0] = 0;
  const place = isAbstract ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
  if (place.length > PATH_BYTES) return undefined;
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, place]);
}

/** Sends one datagram without waiting. Returns the name of the error; undefined if it was sent. */
export function sendDatagram(address: Buffer, text: string): string | undefined {
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return getSystemErrorName(-koffi.errno());
  try {
    const data = Buffer.from(text);
    const sent = Number(sendto(fd, data, data.length, MSG_NOSIGNAL, address, address.length));
    return sent < 0 ? getSystemErrorName(-koffi.errno()) : undefined;
  } finally {
    closeSync(fd);
  }
}
