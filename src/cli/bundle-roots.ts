/** The roots in the server's bundle. */

import { hash, X509Certificate } from 'node:crypto';
import type { AdminClient } from '../client/index.ts';

export interface BundleRoots {
  readonly own: readonly X509Certificate[];
  /** Those of another server. */
  readonly carried: readonly X509Certificate[];
}

export async function readBundleRoots(client: AdminClient): Promise<BundleRoots> {
  const { keys } = await client.getBundle();
  const { authorities } = await client.listAuthorities();
  const idsOf = (isCarried: boolean) =>
    new Set(authorities.flatMap(({ id, state }) => ((state === 'carried') === isCarried ? [id] : [])));
  const [own, carried] = [idsOf(false), idsOf(true)];
  const roots = keys
    .flatMap(({ use, x5c }) => (use === 'x509-svid' ? (x5c ?? []) : []))
    .map((text) => new X509Certificate(Buffer.from(text, 'base64')));
  // An upstream's root has the same kind of ID, and may be carried too.
  const isCarried = ({ raw }: X509Certificate) => {
    const id = hash('sha256', raw, 'hex').slice(0, 40);
    return carried.has(id) && !own.has(id);
  };
  return { own: roots.filter((root) => !isCarried(root)), carried: roots.filter(isCarried) };
}
