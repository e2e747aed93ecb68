/**
 * The docker attestor: what the container engine (Docker, or Podman on its compatible API) says of the container that
 * the caller is in. Its selectors are in selectors.ts.
 *
 * Which container that is, is the kernel's word alone. The caller has to be in the very cgroup that the container's main
 * process is in, before the engine is asked and after. Who is in no container has no docker selectors, and the engine
 * isn't asked. Whatever goes wrong fails the attestation: a container whose engine is silent gets no identity, also not
 * by its uid.
 */

import type { Clock } from '../../base/clock.ts';
import { SidekeyError } from '../../base/errors.ts';
import type { Log } from '../../telemetry/log.ts';
import type { AmbiguousLabel, RunningAttestor } from '../description.ts';
import { readCgroupText } from '../proc/cgroup.ts';
import type { AskedSelectors } from '../types.ts';
import { isSameContainer, parseCgroup } from './cgroup.ts';
import { type Container, Containers, unseen } from './containers.ts';
import { createEngine } from './engine.ts';
import { whyLoosePath } from './engine-trust.ts';
import { Given } from './given.ts';
import { readOwnContainer } from './own-container.ts';
import { DOCKER_KINDS, IMAGE_DIGEST } from './selectors.ts';

export interface DockerAttestorOptions {
  /** Path of the engine's Unix socket; it need not be there yet. */
  readonly socketPath: string;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * True if some entry asks for selectors of this kind, such as `docker:label`; asked at each attestation. Kinds that
   * nobody asks for are left out, and while nobody asks for any, the engine is not asked either.
   */
  readonly asksFor: (kind: string) => boolean;
  /** Of those kinds, which selectors a container's callers are given; undefined: all. */
  readonly asked?: AskedSelectors;
  /** Told when the engine says that some container has changed, and when its events begin or end. */
  readonly onChange?: () => void;
}

export interface DockerAttestor extends RunningAttestor {
  /** How many times the engine was asked about a container, since the start. */
  readonly inspections: number;
  /** True while what the engine said is remembered, since it tells of changes. */
  readonly remembering: boolean;
  /**
   * The main process of the running container of this name or id; undefined where the engine knows none.
   * @throws ERR_ATTESTATION_FAILED
   */
  mainPid(nameOrId: string): Promise<number | undefined>;
  /** Of the containers that are remembered, the labels that give no selector though an entry asks for it. */
  ambiguousLabels(): AmbiguousLabel[];
  /** Asks the engine for nothing but an answer. @throws ERR_ATTESTATION_FAILED */
  check(): Promise<void>;
  close(): void;
}

export function createDockerAttestor(options: DockerAttestorOptions): DockerAttestor {
  const { socketPath, clock, log, asksFor, asked, onChange = () => undefined } = options;
  const own = readOwnContainer();
  const wantImageDigests = () => asksFor(IMAGE_DIGEST);
  const given = new Given(asksFor, asked);
  const containers = new Containers({ engine: createEngine(socketPath), clock, log, wantImageDigests, onChange });

  return {
    name: 'docker',
    get inspections() {
      return containers.inspections;
    },
    get remembering() {
      return containers.remembering;
    },
    async attest({ pid, program, owner }, everything = false, remark = () => undefined) {
      if (!everything && !DOCKER_KINDS.some(asksFor)) return [];
      const found = (container: Container | undefined) => {
        if (program !== undefined) program.container = container?.id ?? null;
        if (container === undefined) return [];
        return everything ? given.everything(container, remark) : given.of(container);
      };
      const cgroups = readCgroupText(pid);
      const place = parseCgroup(cgroups);
      const inOurs = place.id === undefined && place.inNamespace;
      const id = inOurs ? own : place.id;
      if (id === undefined) return found(undefined);
      const remembered = containers.remembered(id);
      const container = remembered ?? (await containers.get(id, { owner, pid }));
      // Without a question no time has passed.
      const cgroupsAfter = remembered === undefined ? readCgroupText(pid) : cgroups;
      const after = cgroupsAfter === cgroups ? place : parseCgroup(cgroupsAfter);
      if (inOurs) {
        // Engines may run in a container too, of another engine: then this one doesn't know it, and nobody is in one.
        const ours = container?.main.place.inNamespace === true && after.id === undefined && after.inNamespace;
        return found(ours ? container : undefined);
      }
      if (container === undefined) throw failed(`the container engine at ${socketPath} knows no container ${id}`);
      if (container.main.place.id !== id) throw failed(unseen(container));
      if (!isSameContainer(place, container.main.place)) {
        throw failed(`the caller's cgroup has the name of container ${id}, but is not where its main process is`);
      }
      if (!isSameContainer(after, container.main.place)) throw failed('the caller went to another cgroup meanwhile');
      return found(container);
    },
    known({ container: id }) {
      if (id === null) return { given: [], alike: [] };
      const container = id === undefined ? undefined : containers.known(id);
      return container && given.known(container);
    },
    ambiguousLabels: () => [...containers.all()].flatMap((container) => given.ambiguous(container)),
    mainPid: (nameOrId) => containers.mainPid(nameOrId),
    check: () => containers.check(),
    close: () => containers.close(),
  };
}

/** Warns of an engine that is not believed, for its path; which user runs it is looked at whenever it is connected to. */
export function warnOfEngine(file: string, log: Log): void {
  const reason = whyLoosePath(file);
  if (reason === undefined) return;
  log.warn(
    { setting: '--docker-socket', file, reason },
    'the container engine is not believed: callers in containers get no identity',
  );
}

function failed(message: string): SidekeyError {
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
