/** The upstream authority of the settings: {@link openUpstream}. */

import type { Clock } from '../../base/index.ts';
import type { TrustDomain } from '../../spiffe/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { parseName } from '../name.ts';
import type { UpstreamSettings } from './settings.ts';
import type { UpstreamAuthority, UpstreamSource } from './upstream.ts';
import type { VaultAuth } from './vault-session.ts';

export interface OpenUpstreamOptions {
  readonly trustDomain: TrustDomain;
  /** The first parts of intermediates' subjects: `C=US,O=SPIFFE`. */
  readonly caSubject: string;
  readonly clock: Clock;
  readonly log: Log;
}

const VAULT_MOUNT = 'pki';
const APPROLE_MOUNT = 'approle';

/**
 * Opens the upstream; undefined for `self`. Does not fail if the upstream is down or its files are faulty: `problem()`
 * and `mint()` report that, and an existing intermediate stays in use.
 * @param settings checked: every setting that the kind needs is there
 * @throws ERR_CONFIG if the subject is invalid
 */
export async function openUpstream(
  settings: UpstreamSettings,
  { trustDomain, caSubject, clock, log }: OpenUpstreamOptions,
): Promise<UpstreamAuthority | undefined> {
  const subject = parseName(caSubject, 'caSubject');
  const source = await openSource(settings, { trustDomain, clock, log });
  if (source === undefined) return undefined;
  const { proved } = await import('./proved.ts');
  return proved(source, { trustDomain, subject, clock, timeout: settings.upstreamTimeout * 1000 });
}

async function openSource(
  settings: UpstreamSettings,
  { trustDomain, clock, log }: Omit<OpenUpstreamOptions, 'caSubject'>,
): Promise<UpstreamSource | undefined> {
  const { upstreamBundleFile: bundleFile } = settings;
  // Each is loaded only where it is needed: imports cost start time.
  switch (settings.upstream) {
    case 'self':
      return undefined;
    case 'disk': {
      const { DiskUpstream } = await import('./disk.ts');
      const files = { certFile: settings.upstreamCertFile!, keyFile: settings.upstreamKeyFile!, bundleFile };
      return DiskUpstream.open(files, { trustDomain, clock, log });
    }
    case 'vault': {
      const { VaultUpstream } = await import('./vault.ts');
      return VaultUpstream.open({
        server: {
          address: settings.vaultAddr!,
          namespace: settings.vaultNamespace,
          caFile: settings.vaultCaFile,
        },
        auth: vaultAuth(settings),
        mount: settings.vaultMount ?? VAULT_MOUNT,
        ...{ bundleFile, clock, log },
      });
    }
    case 'command': {
      const { CommandUpstream } = await import('./command.ts');
      return new CommandUpstream({ argv: settings.upstreamCommand, trustDomain, bundleFile });
    }
  }
}

function vaultAuth(settings: UpstreamSettings): VaultAuth {
  const { vaultTokenFile, vaultApproleMount, vaultApproleRoleIdFile, vaultApproleSecretIdFile } = settings;
  if (vaultTokenFile !== undefined) return { method: 'token', tokenFile: vaultTokenFile };
  return {
    method: 'approle',
    mount: vaultApproleMount ?? APPROLE_MOUNT,
    roleIdFile: vaultApproleRoleIdFile!,
    secretIdFile: vaultApproleSecretIdFile!,
  };
}
