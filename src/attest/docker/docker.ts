/** The docker attestor: what a container engine says of the container that a caller is in. It runs where a setting names the engine. */

import { shellQuote } from '../../base/shell.ts';
import type { Selector } from '../../spiffe/selector.ts';
import type { AttestorDescription } from '../description.ts';
import { ofKinds } from '../of-kinds.ts';
import { KINDS } from './kinds.ts';

export interface DockerSettings {
  /** Path of the engine's Unix socket; undefined: containers are not attested. */
  readonly dockerSocket: string | undefined;
}

export const DOCKER: AttestorDescription<DockerSettings> = {
  type: 'docker',
  kinds: KINDS,
  example: 'label:app:web',
  container: {
    check:
      'whoever starts a container chooses its name and labels, and whoever builds an image may add labels: before you run that, see that the container and the digest of its image are those that you mean',
    unknown:
      'no command is printed, since what is known of its container is chosen by whoever starts it: an entry for it needs its name or its compose service, and the digest of its image (docker:image_config_digest); sidekey explain --pid, while it runs, shows both',
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
      if (error.includes(' is not believed: ')) {
        return { fix: 'let only root and the user of sidekey serve write there' };
      }
      if (error.includes('EACCES')) {
        return { fix: `run sidekey serve with the group of the socket: stat -c %G ${shellQuote(place)}` };
      }
      const fix = 'start the container engine, or give --docker-socket its socket';
      return { fix, command: 'systemctl start docker' };
    },
  },
};

/** Which container a caller is in, and of which image: no other image can have its digest. Undefined where one is not known. */
function propose(caller: readonly Selector[]): Selector[] | undefined {
  if (!caller.some(({ type }) => type === 'docker')) return [];
  const [digest] = ofKinds(caller, 'docker', 'image_config_digest', 'image_digest');
  const service = ofKinds(caller, 'docker', 'compose_project', 'compose_service');
  const called = service.length === 2 ? service : ofKinds(caller, 'docker', 'name');
  return digest === undefined || called.length === 0 ? undefined : [digest, ...called];
}
