/** Reads the flags of `sidekey envoy bootstrap`, and makes the bootstrap. */

import { isIP } from 'node:net';
import path from 'node:path';
import { DURATION_RULE, type Problem, parseDuration, SidekeyError } from '../base/index.ts';
import { hostPort } from '../config/index.ts';
import {
  type Address,
  type AllowedPeer,
  type BootstrapPlan,
  bootstrapYaml,
  type EnvoyUpstream,
  RESERVED_NAMES,
} from '../envoy/index.ts';
import { parseSpiffeId, parseTrustDomain, SpiffeIdError, trustDomainOf } from '../spiffe/index.ts';

export interface BootstrapFlags {
  readonly spiffeId: string;
  readonly listen?: string;
  readonly to?: string;
  readonly allow?: readonly string[];
  readonly upstream?: readonly string[];
  readonly local?: readonly string[];
  readonly tcp?: boolean;
  readonly maxConnectionDuration?: string;
  readonly socket: string;
  readonly admin: string;
}

/** Default local address of the first upstream; further upstreams get the next ports. */
const FIRST_LOCAL: Address = { host: '127.0.0.1', port: 10_001 };

/** Longest path in a socket address, without the final zero byte (unix(7)); Envoy accepts no longer one. */
const MAX_SOCKET_BYTES = 107;

/** The bootstrap as YAML. @throws SidekeyError ERR_CONFIG with the problems of all flags */
export function bootstrapOf(flags: BootstrapFlags): string {
  return bootstrapYaml(readBootstrapFlags(flags));
}

/** @throws SidekeyError ERR_CONFIG with the problems of all flags */
export function readBootstrapFlags(flags: BootstrapFlags): BootstrapPlan {
  const problems: Problem[] = [];
  /** Calls `read`; keeps its problem if it throws. */
  const attempt = <T>(flag: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (thrown) {
      problems.push(...problemsOf(thrown).map((problem) => ({ ...problem, path: flag })));
      return undefined;
    }
  };
  const optional = <T>(flag: string, text: string | undefined, read: (text: string) => T) =>
    text === undefined ? undefined : attempt(flag, () => read(text));
  const refuse = (flag: string, problem: string, rule: string) => problems.push({ path: flag, problem, rule });

  const spiffeId = attempt('--spiffe-id', () => parseSpiffeId(flags.spiffeId));
  const socket = attempt('--socket', () => readSocket(flags.socket));
  const admin = attempt('--admin', () => readListener(flags.admin));
  const listen = optional('--listen', flags.listen, readListener);
  const to = optional('--to', flags.to, readAddress);
  const longest = optional('--max-connection-duration', flags.maxConnectionDuration, readLongest);
  const allow = (flags.allow ?? []).map((text) => attempt('--allow', () => readPeer(text)));
  const locals = new Map<string, Address>();
  for (const text of flags.local ?? []) {
    const local = attempt('--local', () => readLocal(text));
    if (local !== undefined) locals.set(local.name, local.address);
  }
  const upstreams = (flags.upstream ?? []).map((text, at) => {
    const upstream = attempt('--upstream', () => readUpstream(text));
    if (upstream === undefined) return undefined;
    const local = locals.get(upstream.name) ?? { ...FIRST_LOCAL, port: FIRST_LOCAL.port + at };
    locals.delete(upstream.name);
    return { ...upstream, local };
  });

  if (flags.listen !== undefined && flags.to === undefined) {
    refuse('--listen', 'there is no --to', '--listen goes with --to, the program behind: --to 127.0.0.1:8080');
  }
  if (listen !== undefined && to !== undefined && reaches(to, listen)) {
    refuse(
      '--to',
      'it is the same address as --listen',
      '--to must be another address than --listen, else Envoy would forward to itself in a loop',
    );
  }
  if (flags.listen === undefined) {
    const without = (flag: string) => refuse(flag, 'there is no --listen', `${flag} goes with --listen HOST:PORT`);
    if (flags.to !== undefined) without('--to');
    if (flags.allow !== undefined) without('--allow');
    if (flags.to === undefined && upstreams.length === 0) {
      refuse(
        '',
        'neither a server nor a client is given',
        'give --listen and --to for a server, --upstream for a client, or both',
      );
    }
  }
  if (upstreams.every((upstream) => upstream !== undefined)) {
    for (const name of locals.keys()) {
      refuse('--local', `there is no upstream ${JSON.stringify(name)}`, '--local places an --upstream of that name');
    }
  }
  const known = upstreams.filter((upstream) => upstream !== undefined);
  problems.push(...twice(known), ...collisions([['--admin', admin], ['--listen', listen], ...placesOf(known)]));
  if (problems.length > 0) throw SidekeyError.badInput(problems, 'ERR_CONFIG');

  const everybody: AllowedPeer = { trustDomain: trustDomainOf(spiffeId!) };
  const inbound = listen && { listen, to: to!, allow: allow.length === 0 ? [everybody] : (allow as AllowedPeer[]) };
  return {
    ...{ spiffeId: spiffeId!, socket: socket!, admin: admin!, tcp: flags.tcp === true },
    ...{ maxConnectionDuration: longest, inbound, upstreams: known },
  };
}

function problemsOf(thrown: unknown): readonly Omit<Problem, 'path'>[] {
  if (thrown instanceof SidekeyError) return thrown.problems;
  if (thrown instanceof SpiffeIdError) return [{ problem: thrown.problem, rule: thrown.rule }];
  throw thrown;
}

function refusal(problem: string, rule: string): SidekeyError {
  return SidekeyError.badInput([{ path: '', problem, rule }], 'ERR_CONFIG');
}

/** The largest number of seconds of a Duration of protobuf. */
const MAX_SECONDS = 315_576_000_000;

/** In seconds. */
function readLongest(text: string): number {
  const seconds = parseDuration(text);
  if (seconds !== undefined && seconds > 0 && seconds <= MAX_SECONDS) return seconds;
  throw refusal(`it is ${JSON.stringify(text)}`, `${DURATION_RULE}; from 1s to ${MAX_SECONDS}s`);
}

function readAddress(text: string): Address {
  const address = hostPort.read([text], '');
  if (address.port === 0) throw refusal(`${JSON.stringify(text)} has port 0`, 'a port is from 1 to 65535');
  return address;
}

function readListener(text: string): Address {
  const address = readAddress(text);
  if (isIP(address.host) !== 0) return address;
  const rule = 'Envoy listens on an address: 127.0.0.1 for this host alone, 0.0.0.0 for all IPv4, [::] for all';
  throw refusal(`${JSON.stringify(address.host)} is a name`, rule);
}

function readSocket(text: string): string {
  if (!path.isAbsolute(text)) {
    throw refusal(
      `${JSON.stringify(text)} is relative`,
      'give an absolute path, because Envoy may run in another working directory',
    );
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_SOCKET_BYTES)
    throw refusal(`it has ${bytes} bytes`, `a socket's path has ${MAX_SOCKET_BYTES} at most`);
  return text;
}

/** A SPIFFE ID, or `spiffe://<trust domain>` for the whole trust domain. */
function readPeer(text: string): AllowedPeer {
  const domain = /^spiffe:\/\/([^/]*)$/.exec(text)?.[1];
  return domain === undefined ? { spiffeId: parseSpiffeId(text) } : { trustDomain: parseTrustDomain(domain) };
}

function readUpstream(text: string): Omit<EnvoyUpstream, 'local'> {
  const parts = /^([^=,]*)=([^,]*),(.*)$/.exec(text);
  if (parts === null) {
    const rule = 'it is NAME=HOST:PORT,SPIFFE_ID, such as db=10.0.0.7:8443,spiffe://example.org/db';
    throw refusal(`${JSON.stringify(text)} is not an upstream`, rule);
  }
  return { name: readName(parts[1]!), at: readAddress(parts[2]!), spiffeId: parseSpiffeId(parts[3]!) };
}

function readLocal(text: string): { name: string; address: Address } {
  const parts = /^([^=]*)=(.*)$/.exec(text);
  if (parts === null) {
    throw refusal(`${JSON.stringify(text)} has no name`, 'it is NAME=HOST:PORT, such as db=127.0.0.1:5432');
  }
  return { name: parts[1]!, address: readListener(parts[2]!) };
}

function readName(name: string): string {
  if (!/^[\w-]{1,60}$/.test(name)) {
    const rule = 'the name of an upstream is 1 to 60 of the characters A-Z a-z 0-9 _ -';
    throw refusal(`${JSON.stringify(name)} is not a name`, rule);
  }
  const reserved = Object.values<string>(RESERVED_NAMES);
  if (reserved.includes(name)) {
    throw refusal(
      `${JSON.stringify(name)} is reserved`,
      `choose another name: the bootstrap itself uses ${reserved.join(', ')}`,
    );
  }
  return name;
}

function twice(upstreams: readonly EnvoyUpstream[]): Problem[] {
  const names = upstreams.map(({ name }) => name);
  const again = new Set(names.filter((name, at) => names.indexOf(name) !== at));
  const rule = 'each upstream has a name of its own';
  return [...again].map((name) => ({ path: '--upstream', problem: `${JSON.stringify(name)} is given twice`, rule }));
}

type FlagAddress = readonly [what: string, address: Address | undefined];

function placesOf(upstreams: readonly EnvoyUpstream[]): FlagAddress[] {
  return upstreams.map(({ name, local }) => [`--upstream ${name}`, local]);
}

/** Problems with listeners on the same port: their addresses are equal, or one listens on all addresses. */
function collisions(places: readonly FlagAddress[]): Problem[] {
  return places.flatMap(([what, address], at) => {
    const other = places.slice(0, at).find(([, before]) => collide(address, before));
    if (other === undefined) return [];
    const problem = `port ${address!.port} is that of ${other[0]}`;
    const rule =
      "each listener needs its own port: change an upstream's with --local NAME=HOST:PORT, the admin interface's with --admin";
    return [{ path: what, problem, rule }];
  });
}

/** Whether a connection to `to` on this host reaches this listener. */
function reaches(to: Address, listener: Address): boolean {
  const here = to.host === 'localhost' || to.host === '::1' || /^127(\.\d+){3}$/.test(to.host);
  return to.port === listener.port && (to.host === listener.host || (here && isAny(listener.host)));
}

function collide(a: Address | undefined, b: Address | undefined): boolean {
  if (a === undefined || b === undefined || a.port !== b.port) return false;
  return a.host === b.host || isAny(a.host) || isAny(b.host);
}

function isAny(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}
