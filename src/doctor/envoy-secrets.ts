/** Reads the roots that an Envoy trusts from its dump of secrets. */

import { X509Certificate } from 'node:crypto';
import { certificateBlocks } from '../spiffe/index.ts';
import { keyIds } from './key-ids.ts';

/** Roots by trust domain. The empty string stands for a plain `trusted_ca`, whose roots count for every domain. */
export type TrustedRoots = ReadonlyMap<string, readonly X509Certificate[]>;

interface DumpedSecret {
  readonly validation_context?: {
    readonly trusted_ca?: DataSource;
    readonly custom_validator_config?: {
      readonly typed_config?: {
        readonly trust_domains?: readonly { readonly name?: string; readonly trust_bundle?: DataSource }[];
      };
    };
  };
}
interface DataSource {
  readonly inline_bytes?: string;
  readonly inline_string?: string;
}

/** @param secrets as in `/config_dump`; secrets of another form are ignored */
export function secretsIn(secrets: readonly unknown[]): TrustedRoots {
  const roots = new Map<string, X509Certificate[]>();
  const add = (domain: string, source: DataSource | undefined) => {
    const all = roots.get(domain) ?? [];
    const known = new Set(all.map(({ fingerprint256 }) => fingerprint256));
    roots.set(domain, [...all, ...certificatesIn(source).filter(({ fingerprint256: print }) => !known.has(print))]);
  };
  for (const secret of secrets as readonly (DumpedSecret | undefined)[]) {
    const context = secret?.validation_context;
    if (context?.trusted_ca !== undefined) add('', context.trusted_ca);
    const domains = context?.custom_validator_config?.typed_config?.trust_domains;
    for (const { name = '', trust_bundle: bundle } of Array.isArray(domains) ? domains : []) add(name, bundle);
  }
  return roots;
}

function certificatesIn(source: DataSource | undefined): X509Certificate[] {
  const text = source?.inline_string ?? Buffer.from(source?.inline_bytes ?? '', 'base64').toString('latin1');
  const blocks = certificateBlocks(text);
  return blocks.flatMap((pem) => {
    try {
      return [new X509Certificate(pem)];
    } catch {
      return [];
    }
  });
}

/** The key identifiers of the roots, by which `sidekey doctor` and the log name authorities. */
export function idsOf(roots: readonly X509Certificate[]): string[] {
  return roots.flatMap((root) => keyIds(root).subject ?? []);
}
