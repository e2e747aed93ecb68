/** A client of the agent port: its address, and its SVID if it has shown one. */

import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { authorityKeyIdOf } from '../ca/index.ts';
import type { Owner } from '../limits/index.ts';
import { parseSpiffeId, type SpiffeId, SpiffeIdError, type TrustDomain, trustDomainOf } from '../spiffe/index.ts';
import type { WirePeer } from '../wire/index.ts';

/** A verified SVID of the own trust domain. Times in milliseconds since the epoch. */
export interface PeerSvid {
  readonly id: SpiffeId;
  /** Lower-case hex. */
  readonly serial: string;
  /** The key identifier of the authority that signed it, lower-case hex. */
  readonly authorityId: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

export class AgentPeer implements WirePeer {
  readonly id: string;
  readonly owner: Owner;
  readonly address: string;
  /** Undefined: it has shown none. */
  readonly svid: PeerSvid | undefined;
  readonly #socket: TLSSocket;
  #gone = false;
  #listeners: (() => void)[] = [];

  constructor(id: string, socket: TLSSocket, parts: Pick<AgentPeer, 'owner' | 'address' | 'svid'>) {
    this.id = id;
    this.owner = parts.owner;
    this.address = parts.address;
    this.svid = parts.svid;
    this.#socket = socket;
    socket.once('close', () => {
      this.#gone = true;
      for (const listener of this.#listeners.splice(0)) listener();
    });
  }

  get gone(): boolean {
    return this.#gone;
  }

  onGone(listener: () => void): void {
    if (this.#gone) process.nextTick(listener);
    else this.#listeners.push(listener);
  }

  close(): void {
    this.#socket.destroy();
  }
}

/**
 * The SVID that the client has shown; undefined: none.
 * @throws Error with the reason if it is no valid SVID of this trust domain
 */
export function svidOf(socket: TLSSocket, trustDomain: TrustDomain): PeerSvid | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  if (!socket.authorized) throw new Error(`its certificate is refused: ${String(socket.authorizationError)}`);
  const id = idOf(certificate);
  if (trustDomainOf(id) !== trustDomain) throw new Error(`its certificate is of another trust domain: ${id}`);
  if (certificate.ca) throw new Error('its certificate is an authority');
  const { validFromDate, validToDate, serialNumber } = certificate;
  return {
    id,
    serial: serialNumber.toLowerCase(),
    authorityId: authorityKeyIdOf(certificate),
    notBefore: validFromDate.getTime(),
    notAfter: validToDate.getTime(),
  };
}

/** The one URI of a certificate. @throws Error */
export function idOf({ subjectAltName = '' }: X509Certificate): SpiffeId {
  const uris = urisOf(subjectAltName);
  if (uris.length !== 1) throw new Error(`its certificate has ${uris.length} URIs; an SVID has one`);
  try {
    return parseSpiffeId(uris[0]!);
  } catch (error) {
    if (error instanceof SpiffeIdError) throw new Error(`the URI of its certificate is no SPIFFE ID: ${error.message}`);
    throw error;
  }
}

/** The URIs of Node's text of the names of a certificate. It quotes names with commas and the like, which no SPIFFE ID has. */
export function urisOf(subjectAltName: string): string[] {
  if (subjectAltName.includes('"')) return [];
  return subjectAltName.split(', ').flatMap((name) => (name.startsWith('URI:') ? [name.slice(4)] : []));
}
