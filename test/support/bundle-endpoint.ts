/** A partner's bundle endpoint: an HTTPS server with certificates under a root of its own, which answers as the test says. */

import { webcrypto, X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import { type AddressInfo, isIP } from 'node:net';
import type { TestContext } from 'node:test';
import { x509 } from './peculiar.ts';

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY = 86_400_000;

/** A root, and the certificates that it signs. */
export interface TestAuthority {
  readonly certificate: X509Certificate;
  readonly pem: string;
  /** As a SPIFFE bundle has it. */
  readonly key: Record<string, unknown>;
  leaf(options: {
    readonly uris?: readonly string[];
    readonly hosts?: readonly string[];
    notAfter?: number;
  }): Promise<Leaf>;
}

export interface Leaf {
  readonly cert: string;
  readonly key: string;
}

export async function makeAuthority(name = 'partner root', uris: readonly string[] = []): Promise<TestAuthority> {
  const keys = await generate();
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: P256,
    notBefore: new Date(Date.now() - DAY),
    notAfter: new Date(Date.now() + 30 * DAY),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ...(uris.length === 0
        ? []
        : [new x509.SubjectAlternativeNameExtension(uris.map((value) => ({ type: 'url' as const, value })))]),
    ],
  });
  const certificate = new X509Certificate(Buffer.from(made.rawData));
  return {
    certificate,
    pem: certificate.toString(),
    key: {
      use: 'x509-svid',
      ...certificate.publicKey.export({ format: 'jwk' }),
      x5c: [certificate.raw.toString('base64')],
    },
    leaf: async ({ uris: of = [], hosts = [], notAfter = Date.now() + DAY }) => {
      const own = await generate();
      const names = [
        ...of.map((value) => ({ type: 'url' as const, value })),
        ...hosts.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
      ];
      const leaf = await x509.X509CertificateGenerator.create({
        subject: 'CN=endpoint',
        issuer: made.subject,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: P256,
        notBefore: new Date(Date.now() - 2 * DAY),
        notAfter: new Date(notAfter),
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
        ],
      });
      const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', own.privateKey)).toString('base64');
      return {
        cert: new X509Certificate(Buffer.from(leaf.rawData)).toString(),
        key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
      };
    },
  };
}

async function generate(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface BundleEndpoint {
  readonly url: string;
  readonly port: number;
  /** Requests so far: method and path. */
  readonly requests: string[];
  /** Answers from now on. */
  answer(how: Answer | object | string | Buffer): void;
  /** The certificate from now on. */
  present(leaf: Leaf): void;
  close(): Promise<void>;
}

/** Serves on a loopback address until the test ends. */
export async function bundleEndpoint(
  t: Pick<TestContext, 'after'>,
  leaf: Leaf,
  host = '127.0.0.1',
  at = 0,
): Promise<BundleEndpoint> {
  let how: Answer = (_request, response) => response.writeHead(404).end();
  const requests: string[] = [];
  const server = https.createServer({ ...leaf }, (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    response.on('error', () => undefined);
    how(request, response);
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(at, host, resolve));
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  t.after(close);
  return {
    url: `https://${isIP(host) === 6 ? `[${host}]` : host}:${port}/`,
    port,
    requests,
    answer: (next) => {
      how = typeof next === 'function' ? (next as Answer) : (_request, response) => send(response, next);
    },
    present: (next) => server.setSecureContext({ ...next }),
    close,
  };
}

function send(response: ServerResponse, body: object | string): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
}
