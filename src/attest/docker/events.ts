/** What an engine tells of its own accord: which containers are not any more what they were. */

/** The containers that an event is about: one id, all, or none. */
export type Affected = { readonly id: string } | 'all' | 'none';

/** Actions in a container, such as health checks, that change nothing of what it is; there is no end of them. */
const HARMLESS = /^(exec_|health_status|top$|attach$|detach$|resize$)/;

/** Which events the engine is asked for. */
export type EventFilters = Readonly<Record<string, readonly string[]>>;

/**
 * The engine itself leaves out all others: a container can cause as many health checks as it likes, and each event has
 * all labels of the container. The names are Docker's and Podman's, where they differ; an engine passes over a name
 * that it does not know.
 *
 * @see https://docs.docker.com/reference/cli/docker/system/events/, podman-events(1)
 */
export const CHANGES: EventFilters = {
  type: ['container', 'image', 'network'],
  event: [
    // Of containers: another main process, name or configuration.
    ...['start', 'restart', 'restore', 'die', 'died', 'stop', 'cleanup', 'rename', 'update', 'destroy', 'remove'],
    // Of networks.
    ...['connect', 'disconnect'],
    // Of images: other digests.
    ...['pull', 'push', 'tag', 'untag', 'import', 'load', 'loadfromarchive', 'delete'],
  ],
};

/** For an engine that refuses {@link CHANGES}: what changes nothing is left out here. */
export const ALL_OF_KIND: EventFilters = { type: CHANGES.type! };

/** In doubt all. */
export function affectedBy(event: unknown): Affected {
  const { Type: type, Action: action, Actor: actor } = (event ?? {}) as Record<string, unknown>;
  const { ID: id, Attributes: attributes } = (actor ?? {}) as Record<string, unknown>;
  if (type === 'container') {
    if (typeof action === 'string' && HARMLESS.test(action)) return 'none';
    return isId(id) ? { id } : 'all';
  }
  if (type === 'network') {
    const { container } = (attributes ?? {}) as Record<string, unknown>;
    return isId(container) ? { id: container } : 'all';
  }
  return 'all';
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
}

/** Where events are told as they happen. @param now milliseconds since the epoch */
export function eventsPath(now: number, filters: EventFilters): string {
  // From a little before: an engine answers before it listens to itself, and what happens between would be missed.
  const since = Math.floor(now / 1000) - OVERLAP_S;
  return `/events?since=${since}&filters=${encodeURIComponent(JSON.stringify(filters))}`;
}

const OVERLAP_S = 5;
