/** The events of an engine: which of them Sidekey needs, and which containers they affect. */

/** The containers that an event affects: one by id, all, or none. */
export type Affected = { readonly id: string } | 'all' | 'none';

/** Actions in a container that do not change its facts, such as health checks. They are frequent. */
const HARMLESS = /^(exec_|health_status|top$|attach$|detach$|resize$)/;

/** The filters of a request for events. */
export type EventFilters = Readonly<Record<string, readonly string[]>>;

/**
 * The events that change facts of a container. The engine filters out all others, because a container can cause any
 * number of health checks, and each event contains all its labels. The list has the names of both Docker and Podman; an
 * engine ignores names that it does not know.
 *
 * @see https://docs.docker.com/reference/cli/docker/system/events/, podman-events(1)
 */
export const CHANGES: EventFilters = {
  type: ['container', 'image', 'network'],
  event: [
    // Containers: another main process, name or configuration.
    ...['start', 'restart', 'restore', 'die', 'died', 'stop', 'cleanup', 'rename', 'update', 'destroy', 'remove'],
    // Networks.
    ...['connect', 'disconnect'],
    // Images: other digests.
    ...['pull', 'push', 'tag', 'untag', 'import', 'load', 'loadfromarchive', 'delete'],
  ],
};

/** For engines that refuse {@link CHANGES}; {@link affectedBy} then ignores the other events. */
export const ALL_OF_KIND: EventFilters = { type: CHANGES.type! };

/** The containers that an event affects; `all` if the event is not understood. */
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

/** The path of the event stream. @param now milliseconds since the epoch */
export function eventsPath(now: number, filters: EventFilters): string {
  // Starts a little earlier, because an engine answers before it subscribes to its events and would miss some.
  const since = Math.floor(now / 1000) - OVERLAP_S;
  return `/events?since=${since}&filters=${encodeURIComponent(JSON.stringify(filters))}`;
}

const OVERLAP_S = 5;
