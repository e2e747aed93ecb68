/** A client with an SVID of its own, who makes a handshake for each request and says what it was shown. */

import type { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { chainOf, rootsOf, SdsClient, secretOf } from './sds-client.ts';

export interface Credentials {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** This process's own SVID for an ID that an entry gives it, and its trust domain's authorities. */
export async function fetchCredentials(socket: string, spiffeId: string): Promise<Credentials> {
  const bundle = /^spiffe:\/\/[^/]+/.exec(spiffeId)![0];
  const client = new SdsClient(socket);
  try {
    const response = await client.fetch({ resourceNames: [spiffeId, bundle] });
    const secret = secretOf(response, spiffeId);
    const pem = (certificates: readonly X509Certificate[]) => certificates.join('');
    return {
      cert: pem(chainOf(secret)),
      key: Buffer.from(secret.tlsCertificate!.privateKey!.inlineBytes!).toString(),
      ca: pem(rootsOf(secretOf(response, bundle))),
    };
  } finally {
    client.close();
  }
}

export interface Shown {
  readonly status: number;
  /** The server's SPIFFE ID. */
  readonly uri: string;
  /** Of its certificate, in hexadecimal. */
  readonly serial: string;
}

/** Whoever is silent for so long is down. */
const TIMEOUT_MS = 10_000;

/**
 * GET / on loopback, with a certificate of its own if it has one. The server's chain must lead to the trust domain's authorities; its name is for the caller to check.
 *
 * @param servername sent as SNI
 * @throws Error when there is no answer
 */
export function mtlsRequest(
  port: number,
  credentials: Pick<Credentials, 'ca'> & Partial<Credentials>,
  servername = '',
): Promise<Shown> {
  return new Promise((resolve, reject) => {
    const req = request(
      {
        host: '127.0.0.1',
        port,
        ...credentials,
        servername,
        agent: false,
        checkServerIdentity: () => undefined,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      },
      (response) => {
        const { subjectaltname = '', serialNumber } = (response.socket as TLSSocket).getPeerCertificate();
        response.on('error', reject).on('end', () => {
          const uri = /URI:([^,]+)/.exec(subjectaltname)?.[1] ?? '';
          resolve({ status: response.statusCode!, uri, serial: serialNumber });
        });
        response.resume();
      },
    );
    req.on('error', reject);
    req.end();
  });
}
