/** The attestors that are configured. */

import type { Accounts } from '../attest/accounts.ts';
import { createDockerAttestor, type DockerAttestor } from '../attest/docker/docker.ts';
import type { Attestor } from '../attest/types.ts';
import { createUnixAttestor } from '../attest/unix.ts';
import type { Clock } from '../base/clock.ts';
import type { UnmappedIds } from '../base/unmapped-ids.ts';
import type { ServeConfig } from '../config/serve-config.ts';
import type { Registry } from '../registry/types.ts';
import type { Log } from '../telemetry/log.ts';
import type { Parts } from './parts.ts';

/** Hashing a large binary takes a while, so it is done only while an entry asks for it. */
const SHA256 = 'unix:sha256';

/** Kinds of selectors that are found only while an entry asks for them. */
export const LAZY_KINDS: readonly string[] = [SHA256];

export interface AttestorParts {
  readonly registry: Registry;
  readonly accounts: Accounts;
  readonly unmapped: UnmappedIds;
  readonly clock: Clock;
  readonly log: Log;
  /** Told when the engine says that some container has changed. */
  readonly onChange: () => void;
}

export interface Attestors {
  readonly all: readonly Attestor[];
  readonly docker: DockerAttestor | undefined;
}

/** The types of selectors that the configured attestors give. */
export function attestorTypes({ dockerSocket }: Pick<ServeConfig, 'dockerSocket'>): ReadonlySet<string> {
  return new Set(dockerSocket === undefined ? ['unix'] : ['unix', 'docker']);
}

export function openAttestors({ dockerSocket }: ServeConfig, from: AttestorParts, parts: Parts): Attestors {
  const { registry, accounts, unmapped, clock, log, onChange } = from;
  const asksFor = (kind: string) => registry.asksFor(kind);
  const unix = createUnixAttestor({
    log,
    accounts,
    unmapped,
    wantSha256: () => asksFor(SHA256),
    wantPath: () => asksFor('unix:path'),
  });
  if (dockerSocket === undefined) return { all: [unix], docker: undefined };
  const options = { socketPath: dockerSocket, clock, log, asksFor, asked: registry, onChange };
  const docker = parts.own(createDockerAttestor(options));
  return { all: [unix, docker], docker };
}
