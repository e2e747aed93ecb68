/** An identity received over the pipe, and its files. */

import { X509Certificate } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Secret } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';

/** An X.509-SVID with its key, both as PEM. */
export interface Identity {
  readonly spiffeId: string;
  readonly certificateChain: string;
  readonly privateKey: string;
}

/** The identity in a secret; undefined where the secret is of another kind. */
export function identityOf({ tlsCertificate }: Secret): Identity | undefined {
  if (tlsCertificate === undefined) return undefined;
  const certificateChain = text(tlsCertificate.certificateChain);
  return {
    spiffeId: spiffeIdOf(leafOf(certificateChain)),
    certificateChain,
    privateKey: text(tlsCertificate.privateKey),
  };
}

/** The trust bundle in a secret, PEM; undefined where the secret is of another kind. */
export function bundleOf({ validationContext }: Secret): string | undefined {
  return validationContext?.trustedCa === undefined ? undefined : text(validationContext.trustedCa);
}

/** The first certificate of a chain. */
export function leafOf(certificateChain: string): X509Certificate {
  return new X509Certificate(certificateChain);
}

/**
 * Writes svid.pem, key.pem (readable only by its owner) and bundle.pem. To avoid partly written files, each is
 * written under another name, and all three are renamed at the end.
 */
export async function writeIdentity(directory: string, identity: Identity, bundle: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const files = [
    { name: 'key.pem', mode: 0o600, content: identity.privateKey },
    { name: 'svid.pem', mode: 0o644, content: identity.certificateChain },
    { name: 'bundle.pem', mode: 0o644, content: bundle },
  ].map((file) => ({
    ...file,
    place: path.join(directory, file.name),
    draft: path.join(directory, `.${file.name}.${process.pid}`),
  }));
  try {
    for (const { draft, mode, content } of files) await writeDraft(draft, mode, content);
    for (const { draft, place } of files) await rename(draft, place);
  } finally {
    for (const { draft } of files) await rm(draft, { force: true });
  }
}

async function writeDraft(draft: string, mode: number, content: string): Promise<void> {
  await rm(draft, { force: true });
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.chmod(mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function text(
  source: { readonly inlineBytes?: Uint8Array | undefined; readonly inlineString?: string | undefined } | undefined,
): string {
  return source?.inlineString ?? Buffer.from(source?.inlineBytes ?? []).toString('utf8');
}

function spiffeIdOf(certificate: X509Certificate): string {
  return /(?:^|, )URI:(spiffe:\/\/[^,]+)/.exec(certificate.subjectAltName ?? '')?.[1] ?? '';
}
