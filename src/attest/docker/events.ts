/** What an engine tells of its own accord: which containers are not any more what they were. */

/** The containers that an event is about: one id, all, or none. */
export type Affected = { readonly id: string } | 'all' | 'none';

/** What goes on in a container all the time, health checks above all, and changes nothing of what it is. */
const HARMLESS = /^(exec_|health_status|top$|attach$|detach$|resize$)/;

/**
 * In doubt all. @see https://docs.docker.com/reference/cli/docker/system/events/; Podman names some otherwise (`died`)
 */
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

/** Where events are told as they happen: of containers, of what they run, and of what they are attached to. */
export function eventsPath(now: number): string {
  const filters = JSON.stringify({ type: ['container', 'image', 'network'] });
  // From a little before: an engine answers before it listens to itself, and what happens between would be missed.
  return `/events?since=${Math.floor(now / 1000) - OVERLAP_S}&filters=${encodeURIComponent(filters)}`;
}

const OVERLAP_S = 5;
