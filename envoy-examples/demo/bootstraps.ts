/**
 * Moves the bootstraps of this folder, which are written for a network of containers, to loopback: other addresses,
 * ports and paths, and nothing else.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Where the places of the containers' world are here. A place that a bootstrap names and the table lacks is an error. */
export interface Moves {
  /** From `host:port` to the ports of 127.0.0.1 that stand for it; several where the name stands for several endpoints. */
  readonly addresses: Readonly<Record<string, readonly number[]>>;
  /** From path to path: pipes and files. */
  readonly paths: Readonly<Record<string, string>>;
}

export const EXAMPLES = ['front-envoy', 'service-purple', 'service-gray'] as const;
export type Example = (typeof EXAMPLES)[number];

/** The bootstrap as it is written. */
export function readBootstrap(example: Example): Json {
  return parse(readFileSync(path.join(import.meta.dirname, '..', example, 'envoy.yaml'), 'utf8')) as Json;
}

/** @throws Error when the table lacks a place */
export function moveBootstrap(bootstrap: Json, moves: Moves): Json {
  return rewrite(bootstrap, (key, value) => {
    if (key === 'socket_address') return loopback(only(portsFor(value, moves), value));
    if (key === 'lb_endpoints') return (value as Json[]).flatMap((endpoint) => spread(endpoint, moves));
    if (key === 'port_redirect') return only(portsOf('0.0.0.0', value, moves), value);
    if (key === 'filename' || key === 'pipe') return movePath(value, moves);
    return undefined;
  });
}

/** A copy in which `change` has the last word on each member of each object; undefined: the member is copied too. */
export function rewrite(value: Json, change: (key: string, value: Json) => Json | undefined): Json {
  if (Array.isArray(value)) return value.map((item) => rewrite(item, change));
  if (value === null || typeof value !== 'object') return value;
  const members = Object.entries(value).map(([key, member]) => [key, change(key, member) ?? rewrite(member, change)]);
  return Object.fromEntries(members) as Json;
}

/** One endpoint of a name that stands for several becomes several. */
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
  if (ports === undefined) throw new Error(`no port of loopback stands for ${host}:${port}`);
  return ports;
}

function only(ports: readonly number[], place: Json): number {
  const [port, ...more] = ports;
  if (port === undefined || more.length > 0)
    throw new Error(`exactly one port must stand for ${JSON.stringify(place)}`);
  return port;
}

function loopback(port: number): Json {
  return { address: '127.0.0.1', port_value: port };
}

function movePath(value: Json, moves: Moves): Json {
  const place = typeof value === 'string' ? value : String((value as { path: string }).path);
  const moved = moves.paths[place];
  if (moved === undefined) throw new Error(`no path here stands for ${place}`);
  return typeof value === 'string' ? moved : { path: moved };
}
