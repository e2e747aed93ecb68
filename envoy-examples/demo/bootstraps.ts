/** Moves the examples' bootstraps from a network of containers to loopback: changes addresses, ports and paths only. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The replacements. An address or path of a bootstrap that is missing here is an error. */
export interface Moves {
  /** For each `host:port`, the ports of 127.0.0.1 that replace it; several if the host has several endpoints. */
  readonly addresses: Readonly<Record<string, readonly number[]>>;
  /** For each path of a pipe or file, the path that replaces it. */
  readonly paths: Readonly<Record<string, string>>;
}

export const EXAMPLES = ['front-envoy', 'service-purple', 'service-gray'] as const;
export type Example = (typeof EXAMPLES)[number];

/** The unchanged bootstrap. */
export function readBootstrap(example: Example): Json {
  return parse(readFileSync(path.join(import.meta.dirname, '..', example, 'envoy.yaml'), 'utf8')) as Json;
}

/** @throws Error if `moves` lacks an address or path */
export function moveBootstrap(bootstrap: Json, moves: Moves): Json {
  return rewrite(bootstrap, (key, value) => {
    if (key === 'socket_address') return loopback(only(portsFor(value, moves), value));
    if (key === 'lb_endpoints') return (value as Json[]).flatMap((endpoint) => spread(endpoint, moves));
    if (key === 'port_redirect') return only(portsOf('0.0.0.0', value, moves), value);
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
  return portsFor(address, moves).map((port) => ({ endpoint: { address: { socket_address: loopback(port) } } }));
}

function portsFor(address: Json, moves: Moves): readonly number[] {
  const { address: host, port_value: port } = address as { address: string; port_value: number };
  return portsOf(host, port, moves);
}

function portsOf(host: string, port: Json, moves: Moves): readonly number[] {
  const ports = moves.addresses[`${host}:${port}`];
  if (ports === undefined) throw new Error(`no loopback port is set for ${host}:${port}`);
  return ports;
}

function only(ports: readonly number[], place: Json): number {
  const [port, ...more] = ports;
  if (port === undefined || more.length > 0)
    throw new Error(`exactly one port must be set for ${JSON.stringify(place)}`);
  return port;
}

function loopback(port: number): Json {
  return { address: '127.0.0.1', port_value: port };
}

function movePath(value: Json, moves: Moves): Json {
  const place = typeof value === 'string' ? value : String((value as { path: string }).path);
  const moved = moves.paths[place];
  if (moved === undefined) throw new Error(`no path is set for ${place}`);
  return typeof value === 'string' ? moved : { path: moved };
}
