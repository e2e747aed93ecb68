/** The published bundle, as the settings have it. */

import { SidekeyError } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import type { ServeConfig } from '../config/index.ts';
import {
  type EndpointState,
  openBundleEndpoint,
  openPublishedFile,
  type PublishedFileState,
} from '../federation/index.ts';
import type { CertificateFiles } from '../https/index.ts';
import type { Registry } from '../registry/index.ts';
import type { StartContext } from './start-context.ts';

export interface PublishedBundle {
  /** Undefined: there is no endpoint. */
  endpoint(): EndpointState | undefined;
  /** Undefined: there is no file. */
  file(): PublishedFileState | undefined;
  /** What works only for now. */
  warnings(): string[];
}

export interface PublishedBundleParts {
  readonly ca: CertificateAuthority;
  readonly registry: Registry;
  /** The certificate files of the endpoint, with the profile https_web. */
  readonly tls: CertificateFiles | undefined;
  readonly maxConnections: number;
}

/** Listens and writes the file, if the settings say so. @throws ERR_CONFIG, ERR_SOCKET */
export async function publishBundle(
  { config, clock, log, parts, meters }: StartContext,
  { ca, registry, tls, maxConnections }: PublishedBundleParts,
): Promise<PublishedBundle> {
  const { federationListen: listen, federationPublishFile: path, federationSpiffeId } = config;
  checkEndpointId(config, registry);
  const shared = { ca, counts: meters.publishing, clock, log };
  const file = path === undefined ? undefined : parts.own(await openPublishedFile({ ...shared, file: path }));
  const endpoint =
    listen === undefined
      ? undefined
      : parts.own(
          await openBundleEndpoint({
            ...{ ...shared, listen, maxConnections, revocations: registry.revocations },
            identity: tls ?? federationSpiffeId,
          }),
        );
  if (endpoint !== undefined) {
    const { address, port, profile, spiffeId } = endpoint.state();
    log.info({ address, port, profile, ...(spiffeId && { spiffe_id: spiffeId }) }, 'the bundle endpoint listens');
  }
  return {
    endpoint: () => endpoint?.state(),
    file: () => file?.state,
    warnings: () => {
      const [certificate, written] = [endpoint?.state().certificate.problem, file?.state.problem];
      return [
        ...(certificate === undefined ? [] : [`certificate of the bundle endpoint: ${certificate}`]),
        ...(written === undefined ? [] : [`published bundle file: ${written}`]),
      ];
    },
  };
}

/**
 * Refuses an entry with the SPIFFE ID of the endpoint: a workload that it matches could stand in for the endpoint. Only an
 * earlier version accepted such entries. @throws ERR_CONFIG
 */
export function checkEndpointId(config: ServeConfig, registry: Pick<Registry, 'bySpiffeId'>): void {
  const { federationListen, federationProfile, federationSpiffeId: id } = config;
  if (federationListen === undefined || federationProfile !== 'https_spiffe') return;
  const [entry] = registry.bySpiffeId(id);
  if (entry === undefined) return;
  const problem = `the entry ${entry.id} has the SPIFFE ID of the bundle endpoint, ${id}`;
  const rule =
    'a workload with this SPIFFE ID could stand in for the endpoint: give that entry another one, or the endpoint (--federation-spiffe-id)';
  throw SidekeyError.badInput([{ path: '--federation-listen', problem, rule }], 'ERR_CONFIG');
}
