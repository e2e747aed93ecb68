/**
 * Fetches a bundle document from an endpoint, by the rules of SPIFFE federation.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Federation.md section 5
 */

import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { TLSSocket } from 'node:tls';
import tls, { type PeerCertificate, type SecureContext } from 'node:tls';
import { version } from '../base/index.ts';
import { urlFault } from '../registry/index.ts';
import { type SpiffeId, urisOf } from '../spiffe/index.ts';
import type { AddressRules } from './addresses.ts';
import { FetchError } from './fetch-error.ts';
import { checkLiteral, guardedLookup, type Resolve } from './lookup.ts';

/** By what the endpoint is known. */
export type EndpointTrust =
  /** The host of the URL, under the public CAs or those of the context. */
  | { readonly profile: 'https_web'; readonly context: SecureContext | undefined }
  /** This SPIFFE ID, under the authorities of the context. */
  | { readonly profile: 'https_spiffe'; readonly context: SecureContext; readonly spiffeId: SpiffeId };

export interface FetchParts {
  readonly rules: AddressRules;
  readonly resolve?: Resolve | undefined;
  /** Ends the fetch. */
  readonly signal: AbortSignal;
  /** Whether the endpoint was slow lately: its look-ups then wait for each other only. */
  readonly isSlow?: boolean | undefined;
  /** Of all requests together, in milliseconds; by default {@link TIMEOUT_MS}. */
  readonly timeoutMs?: number | undefined;
}

export interface Fetched {
  readonly body: Buffer;
  /** The address that answered, for the log. */
  readonly address: string;
}

/** Maximum size of a document, in bytes. */
export const MAX_DOCUMENT = 1024 * 1024;
/** Maximum time of a fetch with its redirects, in milliseconds. */
export const TIMEOUT_MS = 10_000;
export const MAX_REDIRECTS = 3;
const MAX_HEADERS = 16 * 1024;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** A context that trusts these certificates only, for both profiles. @param ca PEM */
export function contextOf(ca: string | Buffer): SecureContext {
  // An authority of a bundle need not be self-signed. OpenSSL else looks for the root above it.
  return tls.createSecureContext({ ca, minVersion: 'TLSv1.2', allowPartialTrustChain: true });
}

/** @param url checked @throws FetchError */
export async function fetchDocument(url: string, trust: EndpointTrust, parts: FetchParts): Promise<Fetched> {
  const { timeoutMs = TIMEOUT_MS } = parts;
  const late = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([parts.signal, late]);
  try {
    let at = url;
    for (let redirects = 0; ; redirects += 1) {
      const found = await request(at, trust, { ...parts, signal });
      if ('body' in found) return found;
      if (redirects === MAX_REDIRECTS) {
        throw new FetchError('redirect', `the endpoint redirects more than ${MAX_REDIRECTS} times`);
      }
      at = redirectTarget(found.location, at);
    }
  } catch (thrown) {
    if (late.aborted && !parts.signal.aborted) {
      throw new FetchError('timeout', `the endpoint has not answered whole within ${timeoutMs / 1_000} s`);
    }
    throw thrown;
  }
}

/** @throws FetchError if the target is not a valid URL of an endpoint (section 5.2.1.4) */
function redirectTarget(location: string | undefined, from: string): string {
  if (location === undefined || !URL.canParse(location, from)) {
    throw new FetchError('redirect', 'the endpoint redirects without a valid Location');
  }
  const target = new URL(location, from);
  target.hash = '';
  if (target.protocol !== 'https:') {
    throw new FetchError('redirect', `the endpoint redirects to ${target.protocol.slice(0, 20)}, which is not https`);
  }
  const fault = urlFault(target.href);
  if (fault !== undefined) throw new FetchError('redirect', `the target of the endpoint's redirect: ${fault.problem}`);
  return target.href;
}

type Answer = Fetched | { readonly location: string | undefined };

function request(
  url: string,
  trust: EndpointTrust,
  { rules, resolve, signal, isSlow = false }: FetchParts,
): Promise<Answer> {
  const { hostname, port } = new URL(url);
  checkLiteral(hostname, rules);
  return new Promise((resolvePromise, reject) => {
    const fail = (thrown: unknown) => {
      asking.destroy();
      reject(asFetchError(thrown, trust));
    };
    const asking = https.request(
      {
        host: hostname.replace(/^\[|\]$/g, ''),
        port: port === '' ? 443 : Number(port),
        path: pathOf(url),
        headers: {
          accept: 'application/json',
          'accept-encoding': 'identity',
          'user-agent': `sidekey/${version()}`,
          connection: 'close',
        },
        // A connection that is kept would be of a former root.
        agent: false,
        maxHeaderSize: MAX_HEADERS,
        minVersion: 'TLSv1.2',
        rejectUnauthorized: true,
        lookup: guardedLookup(rules, { resolve, signal, isSlow }),
        checkServerIdentity: (host, certificate) => identityFault(host, certificate, trust),
        ...(trust.context === undefined ? {} : { secureContext: trust.context }),
        signal,
      },
      (response) => {
        read(response).then(resolvePromise, fail);
      },
    );
    asking.on('error', fail);
    asking.on('socket', (socket) => {
      // What was looked up is what was checked; this is the proof of it.
      socket.once('connect', () => {
        const { remoteAddress } = socket as TLSSocket;
        const refusal = remoteAddress === undefined ? undefined : rules.refusal(remoteAddress);
        if (refusal !== undefined) socket.destroy(new FetchError('address', refusal));
      });
    });
    asking.end();
  });
}

/** Path and query, byte for byte. */
function pathOf(url: string): string {
  const path = /^[^:]*:\/\/[^/?]*(.*)$/.exec(url)![1]!;
  return path.startsWith('/') ? path : `/${path}`;
}

async function read(response: IncomingMessage): Promise<Answer> {
  const { statusCode = 0, headers, socket } = response;
  const address = socket.remoteAddress ?? 'unknown';
  if (REDIRECTS.has(statusCode)) {
    response.destroy();
    return { location: headers.location };
  }
  const refuse = (error: FetchError): never => {
    response.destroy();
    throw error;
  };
  if (statusCode !== 200) refuse(new FetchError('status', `the endpoint answers with the status ${statusCode}`));
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    refuse(new FetchError('document', 'the endpoint sends a compressed document, which was not asked for'));
  }
  const tooLarge = new FetchError('document', `the document has more than ${MAX_DOCUMENT} bytes`);
  if (Number(headers['content-length']) > MAX_DOCUMENT) refuse(tooLarge);
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > MAX_DOCUMENT) refuse(tooLarge);
    pieces.push(piece);
  }
  if (!response.complete) throw new FetchError('connection', 'the connection ended before the document did');
  return { body: Buffer.concat(pieces), address };
}

/** Undefined if the certificate, whose chain is good, is the endpoint's. An error refuses it before anything is sent. */
function identityFault(host: string, certificate: PeerCertificate, trust: EndpointTrust): Error | undefined {
  const leaf = new X509Certificate(certificate.raw);
  const uris = urisOf(leaf);
  if (trust.profile === 'https_web') {
    const [spiffeId] = uris.filter((uri) => uri.startsWith('spiffe://'));
    const hasHost = /(?:^|, )(?:DNS|IP Address):/.test(leaf.subjectAltName ?? '');
    if (hasHost && tls.checkServerIdentity(host, certificate) === undefined) return undefined;
    if (spiffeId !== undefined) {
      const problem = `the endpoint's certificate has the SPIFFE ID ${shown(spiffeId)}, not the host ${host}`;
      return new FetchError('identity', problem, 'the profile is probably https_spiffe: ask its operator');
    }
    return new FetchError('identity', `the endpoint's certificate is not of the host ${host}`);
  }
  const [found] = uris;
  if (leaf.ca) return new FetchError('identity', "the endpoint's certificate is that of a CA, not an X509-SVID");
  if (uris.length === 1 && found === trust.spiffeId) return undefined;
  const what = uris.length === 0 ? 'no SPIFFE ID' : uris.length === 1 ? `the ID ${shown(found!)}` : 'several URIs';
  return new FetchError('identity', `the endpoint's certificate has ${what}, and ${trust.spiffeId} is expected`);
}

/** Cut, since the endpoint chooses it. */
function shown(text: string): string {
  const plain = text.replaceAll(/[^\x21-\x7e]/g, '?');
  return plain.length <= 200 ? plain : `${plain.slice(0, 200)}…`;
}

/** Codes of OpenSSL for a chain that does not end at a known authority. */
const UNKNOWN_AUTHORITY: ReadonlySet<string> = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_UNTRUSTED',
  'CERT_SIGNATURE_FAILURE',
]);

function asFetchError(thrown: unknown, trust: EndpointTrust): Error {
  if (thrown instanceof FetchError) return thrown;
  const { code = '', cause } = thrown as NodeJS.ErrnoException;
  if (cause instanceof FetchError) return cause;
  if (UNKNOWN_AUTHORITY.has(code)) {
    const web = trust.context === undefined ? 'a public CA' : 'the CA of the relationship';
    const whose = trust.profile === 'https_web' ? web : 'an authority of the bundle by which it is known';
    return new FetchError('certificate', `the endpoint's certificate is not signed by ${whose} (${code})`);
  }
  if (code === 'CERT_HAS_EXPIRED') {
    return new FetchError('expired', "the endpoint's certificate, or one above it, has expired");
  }
  if (/^(CERT_|ERR_TLS_|INVALID_|ERROR_IN_CERT|PATH_LENGTH|EE_|CA_)/.test(code)) {
    return new FetchError('identity', `the endpoint's certificate is not accepted (${code})`);
  }
  if (/^(ERR_SSL_|EPROTO)/.test(code)) return new FetchError('connection', `TLS with the endpoint failed (${code})`);
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new FetchError('connection', `the endpoint's headers have more than ${MAX_HEADERS} bytes`);
  }
  return new FetchError('connection', `the endpoint can not be asked (${code === '' ? 'no answer' : code})`);
}
