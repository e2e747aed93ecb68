/** Opens what publishes the bundle. Its modules are loaded only for it, because most servers publish none. */

import type { BundleEndpoint, BundleEndpointOptions } from './endpoint.ts';
import type { PublishedFile, PublishedFileOptions } from './published-file.ts';

/** Listens. @throws ERR_SOCKET if it can't */
export async function openBundleEndpoint(options: BundleEndpointOptions): Promise<BundleEndpoint> {
  const { startBundleEndpoint } = await import('./endpoint.ts');
  return startBundleEndpoint(options);
}

/** Writes the file, and again after each change of the bundle. @throws ERR_CONFIG if it can't be written now */
export async function openPublishedFile(options: PublishedFileOptions): Promise<PublishedFile> {
  return (await import('./published-file.ts')).PublishedFile.open(options);
}
