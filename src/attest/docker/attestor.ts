/**
 * The docker attestor: facts about the caller's container from the container engine (Docker, or Podman with its
 * compatible API). Its selectors are in selectors.ts.
 *
 * The caller's container is determined by the kernel alone: the caller must be in the same cgroup as the container's
 * main process, both before and after the engine is asked. A caller outside containers has no docker selectors, and the
 * engine is not asked. Every error fails the attestation, so a caller in a container gets no identity while the engine
 * is down, not even by its uid.
 */

import { type Clock, SidekeyError } from '../../base/index.ts';
import type { Log } from '../../telemetry/index.ts';
import type { AmbiguousLabel, RunningAttestor } from '../description.ts';
import { readCgroupText } from '../proc/cgroup.ts';
import type { AskedSelectors } from '../types.ts';
import { isSameContainer, parseCgroup } from './cgroup.ts';
import { type Container, Containers, unseenMessage } from './containers.ts';
import { createEngine } from './engine.ts';
import { whyUntrustedPath } from './engine-trust.ts';
import { furtherFacts, isOfLabel, OUTSIDE } from './further-facts.ts';
import { KeptSelectors } from './kept-selectors.ts';
import { readOwnContainer } from './own-container.ts';
import { DOCKER_KINDS, IMAGE_DIGEST } from './selectors.ts';

export interface DockerAttestorOptions {
  /** Path of the engine's Unix socket, which need not exist yet. */
  readonly socketPath: string;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * True if an entry asks for selectors of this kind, such as `docker:label`; called at each attestation. Other kinds
   * are left out. If no entry asks for any kind, the engine is not asked.
   */
  readonly asksFor: (kind: string) => boolean;
  /** Restricts the selectors of those kinds to the ones that entries ask for; if undefined, all are kept. */
  readonly asked?: AskedSelectors;
  /** Called when the engine reports that a container changed, and when the event stream begins or ends. */
  readonly onChange?: () => void;
}

export interface DockerAttestor extends RunningAttestor {
  /** The number of inspections of containers since the start. */
  readonly inspections: number;
  /** True while answers of the engine are cached, because the event stream is up. */
  readonly caching: boolean;
  mainPid(nameOrId: string): Promise<number | undefined>;
  /** Only those of cached containers. */
  ambiguousLabels(): AmbiguousLabel[];
  /** Sends a request to the engine. @throws ERR_ATTESTATION_FAILED */
  check(): Promise<void>;
  close(): void;
}

export function createDockerAttestor(options: DockerAttestorOptions): DockerAttestor {
  const { socketPath, clock, log, asksFor, asked, onChange = () => undefined } = options;
  const own = readOwnContainer();
  const wantImage = () => asksFor(IMAGE_DIGEST) || (asked?.placeholders('docker').some(isOfLabel) ?? false);
  const kept = new KeptSelectors(asksFor, asked);
  const containers = new Containers({ engine: createEngine(socketPath), clock, log, wantImage, onChange });

  return {
    name: 'docker',
    get inspections() {
      return containers.inspections;
    },
    get caching() {
      return containers.caching;
    },
    async attest(
      { pid, program, owner, contained },
      everything = false,
      remark = () => undefined,
      tell = () => undefined,
    ) {
      if (!everything && !DOCKER_KINDS.some(asksFor)) return [];
      const found = (container: Container | undefined) => {
        if (program !== undefined) program.container = container?.id ?? null;
        if (container !== undefined) tell(furtherFacts(container));
        if (container === undefined) return [];
        return everything ? kept.everything(container, remark) : kept.of(container);
      };
      const cgroups = readCgroupText(pid);
      const place = parseCgroup(cgroups);
      const inOwn = place.id === undefined && place.inNamespace;
      const id = inOwn ? own : place.id;
      if (id === undefined) {
        // A contained caller may be in a container that its cgroup does not show.
        if (contained === undefined) tell(OUTSIDE);
        return found(undefined);
      }
      const cached = containers.cached(id);
      const container = cached ?? (await containers.get(id, { owner, pid }));
      // If the answer was cached, no time has passed.
      const cgroupsAfter = cached === undefined ? readCgroupText(pid) : cgroups;
      const after = cgroupsAfter === cgroups ? place : parseCgroup(cgroupsAfter);
      if (inOwn) {
        // Sidekey's container may belong to another engine, in which this engine runs: then it is unknown here, and its
        // processes have no docker selectors.
        const isOwn = container?.main.place.inNamespace === true && after.id === undefined && after.inNamespace;
        return found(isOwn ? container : undefined);
      }
      if (container === undefined) throw failed(`the container engine at ${socketPath} knows no container ${id}`);
      if (container.main.place.id !== id) throw failed(unseenMessage(container));
      if (!isSameContainer(place, container.main.place)) {
        throw failed(`the caller's cgroup is named after container ${id}, but it is not the cgroup of that container`);
      }
      if (!isSameContainer(after, container.main.place)) {
        throw failed('the caller moved to another cgroup during the attestation');
      }
      return found(container);
    },
    known({ container: id }) {
      if (id === null) return { given: [], alike: [] };
      const container = id === undefined ? undefined : containers.lastKnown(id);
      return container && kept.known(container);
    },
    ambiguousLabels: () => [...containers.all()].flatMap((container) => kept.ambiguous(container)),
    mainPid: (nameOrId) => containers.mainPid(nameOrId),
    check: () => containers.check(),
    close: () => containers.close(),
  };
}

/** Warns if the engine is not trusted because of its path. The user who runs it is checked at each connection. */
export function warnOfEngine(file: string, log: Log): void {
  const reason = whyUntrustedPath(file);
  if (reason === undefined) return;
  log.warn(
    { setting: '--docker-socket', file, reason },
    'the container engine is not trusted: callers in containers get no identity',
  );
}

function failed(message: string): SidekeyError {
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
