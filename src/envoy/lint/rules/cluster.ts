/** Rules for the cluster of Sidekey's pipe. */

import path from 'node:path';
import { nearest } from '../../../base/index.ts';
import { scalar } from '../../yaml-text.ts';
import type { Edit } from '../edit.ts';
import { addressesOf, isPipe, type Model, networkAddress } from '../model.ts';
import type { Spot } from '../spot.ts';
import type { Draft, KnownFacts, Rule } from './rule.ts';

export const clusterRules: Rule = (model, known) => {
  const named = new Map<string, Spot>();
  for (const { at, cluster } of model.sources) {
    if (cluster !== undefined && !named.has(cluster)) named.set(cluster, at);
  }
  return [...named].flatMap(([name, askedAt]) => {
    const cluster = model.clusters.get(name);
    if (cluster === undefined) return missing(name, askedAt, model);
    return [
      ...address(name, cluster, known),
      ...http2(name, cluster),
      ...tls(name, cluster),
      ...tooMany(name, cluster, model),
    ];
  });
};

function missing(name: string, at: Spot, { root, clusters }: Model): Draft[] {
  const dynamic = root.get('dynamic_resources', 'cds_config') !== undefined;
  const known = nearest(name, [...clusters.keys()]);
  const named = at.get('grpc_services')?.each[0]?.get('envoy_grpc', 'cluster_name');
  return [
    {
      rule: 'sds-cluster',
      severity: dynamic ? 'warning' : 'error',
      at,
      problem: `there is no static cluster ${JSON.stringify(name)}`,
      why: `${dynamic ? 'unless CDS adds it, ' : ''}Envoy has no server to ask, so no secret ever arrives`,
      fix:
        known === undefined ? `add a cluster of that name whose endpoint is Sidekey's pipe` : `cluster_name: ${known}`,
      // Another cluster with a similar name is probably not meant.
      edit: known !== undefined && isPipe(clusters.get(known)!) ? named?.replaced(scalar(known)) : undefined,
    },
  ];
}

function address(name: string, cluster: Spot, known: KnownFacts): Draft[] {
  if (!isPipe(cluster)) {
    return [
      {
        rule: 'sds-pipe',
        severity: 'warning',
        at: networkAddress(cluster) ?? cluster,
        problem: `the cluster ${name}, which secrets are requested from, is not a Unix socket`,
        why: 'Sidekey serves secrets only on a Unix socket, where the kernel identifies the caller; secrets from this cluster were not checked',
        fix: 'address: { pipe: { path: /run/sidekey/agent.sock } }',
      },
    ];
  }
  return addressesOf(cluster).flatMap((place): Draft[] => {
    const socket = place.get('pipe', 'path');
    const path = socket?.text ?? '';
    const wrong = wrongSocket(path) ?? absentSocket(path, known) ?? otherSocket(path, known);
    if (wrong === undefined) return [];
    const pipe = pipeHere(known);
    const fix =
      pipe === undefined
        ? "the path of Sidekey's pipe, such as /run/sidekey/agent.sock"
        : `the path of Sidekey's pipe, here ${pipe}`;
    const edit = pipe === undefined ? toPipe(socket) : socket?.replaced(scalar(pipe));
    return [{ rule: 'sds-pipe', severity: 'error', at: socket ?? place, ...wrong, fix, edit }];
  });
}

/** The pipe of the server that was asked, if this host has it at that path. */
function pipeHere({ server, kindOf }: KnownFacts): string | undefined {
  return server !== undefined && kindOf?.(server.pipe) === 'socket' ? server.pipe : undefined;
}

/** The problem if the path is the pipe of another server of this host. */
function otherSocket(
  socket: string,
  known: KnownFacts,
): (Pick<Draft, 'problem' | 'why'> & Pick<Draft, 'severity'>) | undefined {
  const pipe = pipeHere(known);
  if (pipe === undefined || known.kindOf?.(socket) !== 'socket' || known.areSame?.(socket, pipe) !== false) {
    return undefined;
  }
  return {
    severity: 'warning',
    problem: `${socket} is a socket, but not the pipe of the server that was asked, ${pipe}`,
    why: 'the entries of that server give nothing to an Envoy that asks another one; if the other one is meant, ask it with --admin-socket',
  };
}

/**
 * The problem if this host has no socket at the path. A missing file is only a warning, since the bootstrap may be meant
 * for a container or another host.
 */
function absentSocket(
  socket: string,
  { kindOf }: KnownFacts,
): (Pick<Draft, 'problem' | 'why'> & Partial<Pick<Draft, 'severity'>>) | undefined {
  const kind = kindOf?.(socket);
  if (kind === 'other') {
    return { problem: `${socket} is not a socket`, why: 'an Envoy of this host can not connect to it' };
  }
  if (kind !== 'missing') return undefined;
  return {
    severity: 'warning',
    problem: `this host has no ${socket}`,
    why: 'an Envoy of this host has no server to ask, so no secret ever arrives; in a container, or on another host, the path may exist',
  };
}

/**
 * An edit that replaces the admin socket by the pipe: the default pipe if the admin socket has its default path, otherwise
 * the pipe beside it, as in earlier versions.
 */
function toPipe(socket: Spot | undefined): Edit | undefined {
  const place = socket?.text ?? '';
  if (!path.isAbsolute(place) || path.basename(place) !== 'admin.sock') return undefined;
  const directory = path.dirname(place);
  const runtime = directory === '/var/lib/sidekey' ? '/run/sidekey' : directory;
  return socket?.replaced(scalar(path.join(runtime, 'agent.sock')));
}

function wrongSocket(socket: string): { problem: string; why: string } | undefined {
  if (path.basename(socket) === 'admin.sock') {
    return { problem: `${socket} is the admin socket`, why: 'secrets are served only on the pipe, agent.sock' };
  }
  if (socket.startsWith('@')) {
    return {
      problem: `${socket} is an abstract socket`,
      why: 'Sidekey serves on a socket file, whose mode limits which users may connect',
    };
  }
  if (path.isAbsolute(socket)) return undefined;
  return {
    problem: `the path ${JSON.stringify(socket)} is relative`,
    why: "its meaning depends on Envoy's working directory",
  };
}

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

function http2(name: string, cluster: Spot): Draft[] {
  const options = cluster.get('typed_extension_protocol_options', HTTP_OPTIONS);
  if (options?.get('explicit_http_config', 'http2_protocol_options') !== undefined) return [];
  // The form before Envoy 1.16, which still works.
  if (cluster.get('http2_protocol_options') !== undefined) return [];
  return [
    {
      rule: 'sds-http2',
      severity: 'error',
      at: options ?? cluster,
      problem: `the cluster ${name} does not use HTTP/2`,
      why: 'SDS is gRPC, which needs HTTP/2; over HTTP/1.1, the default of a cluster, no secret ever arrives',
      fix: `typed_extension_protocol_options: { ${HTTP2} }`,
      edit: toHttp2(cluster),
    },
  ];
}

const HTTP2 = `${HTTP_OPTIONS}: { "@type": type.googleapis.com/${HTTP_OPTIONS}, explicit_http_config: { http2_protocol_options: {} } }`;

function toHttp2(cluster: Spot): Edit | undefined {
  const all = cluster.get('typed_extension_protocol_options');
  if (all === undefined) return cluster.with(`typed_extension_protocol_options: { ${HTTP2} }`);
  const options = all.get(HTTP_OPTIONS);
  if (options === undefined) return all.with(HTTP2);
  const http1 = options.get('explicit_http_config', 'http_protocol_options');
  // Options of HTTP/1.1 have no effect in HTTP/2.
  return http1?.isMap === true && http1.members.length === 0
    ? http1.replaced('{}', 'http2_protocol_options')
    : undefined;
}

function tls(name: string, cluster: Spot): Draft[] {
  const socket = cluster.get('transport_socket');
  const kind = socket?.get('name')?.text ?? '';
  if (socket === undefined || kind.endsWith('raw_buffer') || networkAddress(cluster) !== undefined) return [];
  const problem = `the cluster ${name} uses ${kind}`;
  const why = 'the pipe uses clear text: it never leaves the host, and the kernel identifies the caller';
  return [{ rule: 'sds-tls', severity: 'error', at: socket, problem, why, fix: 'remove transport_socket' }];
}

const DEFAULT_MAX_REQUESTS = 1024;

/** Envoy opens a stream for each different name or `sds_config` of a secret, and each stream is a request that never ends. */
function tooMany(name: string, cluster: Spot, { secrets }: Model): Draft[] {
  const streams = new Set(
    secrets.flatMap(({ kind, name: secret, source }) =>
      source.kind === 'api' && source.cluster === name ? [`${kind} ${secret} ${source.at.source}`] : [],
    ),
  );
  const thresholds = cluster.get('circuit_breakers', 'thresholds');
  const threshold = thresholds?.each.find((one) => (one.get('priority')?.text ?? 'DEFAULT') === 'DEFAULT');
  const limit = threshold?.get('max_requests');
  const most = Number(limit?.text ?? DEFAULT_MAX_REQUESTS);
  if (!(streams.size > most)) return [];
  const breakers = `circuit_breakers: { thresholds: [{ max_requests: ${2 * streams.size}, max_pending_requests: ${2 * streams.size} }] }`;
  return [
    {
      rule: 'sds-max-requests',
      severity: 'error',
      at: limit ?? cluster,
      problem: `${streams.size} secrets are requested, and the cluster ${name} allows ${most} requests at a time`,
      why: 'each secret takes a request that never ends: secrets beyond the limit never arrive',
      fix: breakers,
      edit:
        limit?.replaced(String(2 * streams.size)) ?? (thresholds === undefined ? cluster.with(breakers) : undefined),
    },
  ];
}
