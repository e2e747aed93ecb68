/**
 * Moves the examples' bootstraps from a network of containers to loopback, or to other hosts: changes addresses, ports and
 * paths only.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The replacements. An address or path of a bootstrap that is missing here is an error. */
export interface Moves {
  /**
   * For each `host:port`, what replaces it: a port of 127.0.0.1, or an address and a port; several if the host has several
   * endpoints.
   */
  readonly addresses: Readonly<Record<string, readonly Target[]>>;
  /** For each path of a pipe or file, the path that replaces it. */
  readonly paths: Readonly<Record<string, string>>;
}

/** A port of 127.0.0.1, or `10.0.0.1:443`. */
export type Target = number | string;

export const EXAMPLES = ['front-envoy', 'service-purple', 'service-gray'] as const;
export type Example = (typeof EXAMPLES)[number];

/** The unchanged bootstrap. */
export function readBootstrap(example: Example): Json {
  return parse(readFileSync(path.join(import.meta.dirname, '..', example, 'envoy.yaml'), 'utf8')) as Json;
}

/** @throws Error if `moves` lacks an address or path */
export function moveBootstrap(bootstrap: Json, moves: Moves): Json {
  return rewrite(bootstrap, (key, value) => {
    if (key === 'socket_address') return placeOf(only(targetsFor(value, moves), value));
    if (key === 'lb_endpoints') return (value as Json[]).flatMap((endpoint) => spread(endpoint, moves));
    if (key === 'port_redirect') return placeOf(only(targetsOf('0.0.0.0', value, moves), value)).port_value;
    if (key === 'filename' || key === 'pipe') return movePath(value, moves);
    return undefined;
  });
}

/** A deep copy. `change` may replace each member of each object; if it returns undefined, the member is copied. */
export function rewrite(value: Json, change: (key: string, value: Json) => Json | undefined): Json {
  if (Array.isArray(value)) return value.map((item) => rewrite(item, change));
  if (value === null || typeof value !== 'object') return value;
  const members = Object.entries(value).map(([key, member]) => [key, change(key, member) ?? rewrite(member, change)]);
  return Object.fromEntries(members) as Json;
}

/** Replaces an endpoint by one for each port of its address. */
function spread(endpoint: Json, moves: Moves): Json[] {
  const address = (endpoint as { endpoint: { address: { socket_address?: Json } } }).endpoint.address.socket_address;
  if (address === undefined) return [moveBootstrap(endpoint, moves)];
  return targetsFor(address, moves).map((target) => ({ endpoint: { address: { socket_address: placeOf(target) } } }));
}

function targetsFor(address: Json, moves: Moves): readonly Target[] {
  const { address: host, port_value: port } = address as { address: string; port_value: number };
  return targetsOf(host, port, moves);
}

function targetsOf(host: string, port: Json, moves: Moves): readonly Target[] {
  const targets = moves.addresses[`${host}:${port}`];
  if (targets === undefined) throw new Error(`nothing is set for ${host}:${port}`);
  return targets;
}

function only(targets: readonly Target[], place: Json): Target {
  const [target, ...more] = targets;
  if (target === undefined || more.length > 0)
    throw new Error(`exactly one target must be set for ${JSON.stringify(place)}`);
  return target;
}

function placeOf(target: Target): { address: string; port_value: number } {
  if (typeof target === 'number') return { address: '127.0.0.1', port_value: target };
  const [address, port] = target.split(':') as [string, string];
  return { address, port_value: Number(port) };
}

function movePath(value: Json, moves: Moves): Json {
  const place = typeof value === 'string' ? value : String((value as { path: string }).path);
  const moved = moves.paths[place];
  if (moved === undefined) throw new Error(`no path is set for ${place}`);
  return typeof value === 'string' ? moved : { path: moved };
}
