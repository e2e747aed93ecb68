/** X.509-SVIDs as `spire-agent api` checks, prints and writes them. */

import { createPrivateKey, type X509Certificate } from 'node:crypto';
import path from 'node:path';
import { printable, writeFileAtomic } from '../base/index.ts';
import type { X509SVIDResponse } from '../gen/workload.ts';
import { certificatesOf } from './der.ts';
import { formatGoDuration, formatGoTime, goQuoted } from './go-words.ts';

export interface AgentSvid {
  readonly spiffeId: string;
  readonly hint: string;
  /** The leaf first. */
  readonly certificates: readonly X509Certificate[];
  /** PKCS#8, DER. */
  readonly key: Uint8Array;
  readonly bundle: readonly X509Certificate[];
  /** By trust domain, sorted. */
  readonly federated: readonly (readonly [trustDomain: string, bundle: readonly X509Certificate[]])[];
}

/** @throws if a part can't be read, or a certificate is not valid by its bundle now */
export function readSvids({ svids, federatedBundles }: X509SVIDResponse): AgentSvid[] {
  if (svids.length === 0) throw new Error('workload response contains no svids');
  const federated = Object.entries(federatedBundles)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, der]) => {
      const bundle = certificatesOf(der);
      if (bundle.length === 0) throw new Error(`no certificates in bundle for federated domain ${goQuoted(id)}`);
      return [id, bundle] as const;
    });
  return svids.map(({ spiffeId, hint, x509Svid, x509SvidKey, bundle }, i) => {
    try {
      const certificates = certificatesOf(x509Svid);
      if (certificates.length === 0) throw new Error('no certificates found');
      const authorities = certificatesOf(bundle);
      if (authorities.length === 0) throw new Error('no certificates in trust bundle');
      createPrivateKey({ key: Buffer.from(x509SvidKey), format: 'der', type: 'pkcs8' });
      verify(spiffeId, certificates, authorities);
      return { spiffeId, hint, certificates, key: x509SvidKey, bundle: authorities, federated };
    } catch (error) {
      throw new Error(
        `failed to parse svid entry ${i} for spiffe id ${goQuoted(spiffeId)}: ${(error as Error).message}`,
      );
    }
  });
}

function verify(
  spiffeId: string,
  [leaf, ...rest]: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): void {
  const failed = (why: string) => new Error(`${goQuoted(spiffeId)} SVID failed verification against bundle: ${why}`);
  if (leaf!.ca || !(leaf!.subjectAltName ?? '').split(', ').includes(`URI:${spiffeId}`))
    throw failed('it is not an SVID of this ID');
  let last = leaf!;
  for (let at = 0; ; at += 1) {
    if (last.validFromDate.getTime() > Date.now() || last.validToDate.getTime() < Date.now()) {
      throw failed('x509: certificate has expired or is not yet valid');
    }
    const root = authorities.find((one) => last.checkIssued(one) && last.verify(one.publicKey));
    if (root !== undefined) return;
    const issuer = rest[at];
    if (issuer === undefined || !issuer.ca || !last.checkIssued(issuer) || !last.verify(issuer.publicKey)) {
      throw failed('x509: certificate signed by unknown authority');
    }
    last = issuer;
  }
}

/** @param nanoseconds that the answer took */
export function describeSvids(svids: readonly AgentSvid[], nanoseconds: number): string {
  const lines = [
    `Received ${svids.length} svid${svids.length === 1 ? '' : 's'} after ${formatGoDuration(nanoseconds)}`,
  ];
  const validity = (what: string, { validFromDate, validToDate }: X509Certificate) => {
    lines.push(
      `${what} Valid After:\t${formatGoTime(validFromDate)}`,
      `${what} Valid Until:\t${formatGoTime(validToDate)}`,
    );
  };
  for (const { spiffeId, hint, certificates, bundle, federated } of svids) {
    lines.push('', `SPIFFE ID:\t\t${spiffeId}`);
    if (hint !== '') lines.push(`Hint:\t\t\t${hint}`);
    const [leaf, ...intermediates] = certificates;
    validity('SVID', leaf!);
    for (const [i, one] of intermediates.entries()) validity(`Intermediate #${i + 1}`, one);
    for (const [i, one] of bundle.entries()) validity(`CA #${i + 1}`, one);
    for (const [trustDomain, foreign] of federated) {
      for (const [i, one] of foreign.entries()) validity(`[${trustDomain}] CA #${i + 1}`, one);
    }
  }
  return `${lines.join('\n')}\n\n`;
}

/** Writes the files of all SVIDs into an existing directory, and says each one. @throws the text of a Go program */
export function writeSvids(directory: string, svids: readonly AgentSvid[]): void {
  const write = (what: string, name: string, mode: number, content: string) => {
    const file = path.join(directory, name);
    process.stdout.write(`${printable(`Writing ${what} to file ${file}.`)}\n`);
    replaceFile(file, mode, content);
  };
  const pem = (certificates: readonly X509Certificate[]) => certificates.map((one) => one.toString()).join('');
  for (const [i, { certificates, key, bundle, federated }] of svids.entries()) {
    const keyPem = createPrivateKey({ key: Buffer.from(key), format: 'der', type: 'pkcs8' }).export({
      format: 'pem',
      type: 'pkcs8',
    });
    write(`SVID #${i}`, `svid.${i}.pem`, 0o644, pem(certificates));
    write(`key #${i}`, `svid.${i}.key`, 0o600, String(keyPem));
    write(`bundle #${i}`, `bundle.${i}.pem`, 0o644, pem(bundle));
    for (const [j, [trustDomain, foreign]] of federated.entries()) {
      const what = `federated bundle #${j} for trust domain ${trustDomain}`;
      write(what, `federated_bundle.${i}.${j}.pem`, 0o644, pem(foreign));
    }
  }
}

/** A file that exists cannot be a link to another place, or keep a mode that lets others read the key. */
function replaceFile(file: string, mode: number, content: string): void {
  try {
    writeFileAtomic(file, content, mode, path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}`));
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new Error(`open ${file}: ${OPEN_ERRORS[code] ?? message}`, { cause: error });
  }
}

const OPEN_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'not a directory',
  EACCES: 'permission denied',
  EROFS: 'read-only file system',
  ENOSPC: 'no space left on device',
};
