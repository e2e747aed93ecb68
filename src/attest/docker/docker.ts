/**
 * The docker attestor: facts about the caller's container from a container engine. It runs if a setting names the
 * engine.
 */

import { shellQuote } from '../../base/index.ts';
import type { Selector } from '../../spiffe/index.ts';
import type { AttestorDescription } from '../description.ts';
import { ofKinds } from '../of-kinds.ts';
import { DOCKER_SELECTOR_KINDS } from './kinds.ts';

export interface DockerSettings {
  /** Path of the engine's Unix socket; if undefined, containers are not attested. */
  readonly dockerSocket: string | undefined;
}

export const DOCKER: AttestorDescription<DockerSettings> = {
  type: 'docker',
  kinds: DOCKER_SELECTOR_KINDS,
  example: 'label:app:web',
  container: {
    check:
      'check first that this is the right container and image digest: whoever starts a container chooses its name and labels, and an image can contain labels',
    unknown:
      'no command is proposed, because whoever starts the container chooses the facts that are known of it; the entry needs the name or compose service of the container and its image digest (docker:image_config_digest), which sidekey explain --pid shows while the container runs',
  },
  settings: {
    dockerSocket: {
      about: 'Unix socket of the container engine (Docker, Podman); without it there are no docker selectors',
      kind: 'socket',
    },
  },
  isOn: ({ dockerSocket }) => dockerSocket !== undefined,
  create: async ({ clock, log, asked, onChange }, { dockerSocket }) => {
    const { createDockerAttestor, warnOfEngine } = await import('./attestor.ts');
    const [socketPath, asksFor] = [dockerSocket!, (kind: string) => asked.asksFor(kind)];
    warnOfEngine(socketPath, log);
    return createDockerAttestor({ socketPath, clock, log, asksFor, asked, onChange });
  },
  propose,
  failure: {
    why: 'while it fails, callers in containers get no identity, not even by unix selectors',
    place: 'docker_socket',
    fix(error, place) {
      if (error.includes(' is not trusted: ')) {
        const fix =
          'make sure that only root and the user of sidekey serve can write there, and that one of them runs the engine';
        return { fix };
      }
      if (error.includes('EACCES')) {
        return { fix: `run sidekey serve with the group of the socket: stat -c %G ${shellQuote(place)}` };
      }
      const fix = 'start the container engine, or give --docker-socket its socket';
      return { fix, command: 'systemctl start docker' };
    },
  },
};

/** Selects the container's name or compose service, and its image digest; undefined if one of these is not known. */
function propose(caller: readonly Selector[]): Selector[] | undefined {
  if (!caller.some(({ type }) => type === 'docker')) return [];
  const [digest] = ofKinds(caller, 'docker', 'image_config_digest', 'image_digest');
  const service = ofKinds(caller, 'docker', 'compose_project', 'compose_service');
  const name = service.length === 2 ? service : ofKinds(caller, 'docker', 'name');
  return digest === undefined || name.length === 0 ? undefined : [digest, ...name];
}
