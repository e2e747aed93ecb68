/**
 * Rules for upstreams whose certificate has to name a host as well as a SPIFFE ID. With the SPIFFE validator, Envoy enforces
 * `auto_san_validation` from 1.40 on, `auto_sni_san_validation` never, and the host name over QUIC always (tried with 1.36.4
 * to 1.40.0).
 */

import { shellQuote } from '../../../base/index.ts';
import type { Model, TlsContext } from '../model.ts';
import { mapsIn, type Spot } from '../spot.ts';
import { type Draft, isOn, type KnownEntry, type KnownFacts, setField } from './rule.ts';
import { exactPeers, ourContexts } from './tls.ts';

export function hostNameRules(model: Model, known: KnownFacts): Draft[] {
  const ours = new Map(
    ourContexts(model)
      .filter(({ side }) => side === 'upstream')
      .map((context) => [context.at.identity, context]),
  );
  return (model.root.get('static_resources', 'clusters')?.each ?? []).flatMap((cluster) => {
    const maps = [...mapsIn(cluster)];
    const contexts = maps.flatMap(({ identity }) => ours.get(identity) ?? []);
    const quic = new Set(maps.filter(isQuic).map((transport) => transport.get('upstream_tls_context')?.identity));
    return contexts.flatMap((context) =>
      quic.has(context.at.identity)
        ? overQuic(context, known)
        : [...autoSan(context, cluster, known), ...autoSniSan(context)],
    );
  });
}

function isQuic(transport: Spot): boolean {
  return transport.get('@type')?.text?.endsWith('.QuicUpstreamTransport') ?? false;
}

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

function autoSan(context: TlsContext, cluster: Spot, known: KnownFacts): Draft[] {
  const options =
    cluster.get('typed_extension_protocol_options', HTTP_OPTIONS, 'upstream_http_protocol_options') ??
    cluster.get('upstream_http_protocol_options');
  const auto = options?.get('auto_san_validation');
  const peers = peersOf(context, known);
  const haveNames = peers.length > 0 && peers.every(({ dns_names: names }) => names.length > 0);
  if (!isOn(auto) || haveNames) return [];
  return [
    {
      rule: 'auto-san',
      severity: 'warning',
      at: auto!,
      problem: 'auto_san_validation is on, and the certificate of a workload need not have a host name',
      why: 'Envoy 1.36 to 1.39 ignores it with the SPIFFE validator; from 1.40 on Envoy refuses a peer whose certificate does not have the requested host name, with 503',
      fix: `auto_san_validation: false, since the SAN matchers verify the peer; or give the peer's certificate the name: ${giveName(peers, 'HOST')}`,
      edit: setField(options!, 'auto_san_validation', 'false'),
    },
  ];
}

function autoSniSan({ at }: TlsContext): Draft[] {
  const auto = at.get('auto_sni_san_validation');
  if (!isOn(auto)) return [];
  return [
    {
      rule: 'auto-san',
      severity: 'info',
      at: auto!,
      problem: 'auto_sni_san_validation has no effect with the SPIFFE validator',
      why: 'the host name in the certificate is not checked; the SAN matchers alone decide',
      fix: 'auto_sni_san_validation: false',
      edit: setField(at, 'auto_sni_san_validation', 'false'),
    },
  ];
}

function overQuic(context: TlsContext, known: KnownFacts): Draft[] {
  const sni = context.at.get('sni');
  const name = sni?.text;
  const peers = peersOf(context, known);
  const unnamed = peers.filter(({ dns_names: names }) => !names.some((one) => covers(one, name ?? '')));
  const [peer] = unnamed;
  if (name !== undefined && peers.length > 0 && peer === undefined) return [];
  return [
    {
      rule: 'quic-host-name',
      severity: peer === undefined && name !== undefined ? 'warning' : 'error',
      at: sni ?? context.at,
      problem:
        name === undefined
          ? 'an upstream over QUIC without sni'
          : `an upstream over QUIC: its certificate must have the DNS name ${name}${peer === undefined ? '' : `, and that of ${peer.spiffe_id} has not`}`,
      why: 'over QUIC Envoy also checks the host name in the certificate, besides the SPIFFE ID: without it every request fails with 503, QUIC_TLS_CERTIFICATE_UNKNOWN',
      fix: `${name === undefined ? 'sni: HOST, and ' : ''}${giveName(unnamed, name ?? 'HOST')}`,
    },
  ];
}

/** Whether a certificate's DNS name covers a host name; `*` stands for the first label. @see RFC 6125 */
function covers(pattern: string, name: string): boolean {
  const [a, b] = [pattern.toLowerCase(), name.toLowerCase()];
  return a === b || (a.startsWith('*.') && b.includes('.') && b.slice(b.indexOf('.')) === a.slice(1));
}

/** The entries of the peers that the context accepts by exact name. */
function peersOf({ common }: TlsContext, { entries = [] }: KnownFacts): KnownEntry[] {
  const accepted = new Set(exactPeers(common));
  return entries.filter(({ spiffe_id: id }) => accepted.has(id));
}

function giveName(peers: readonly KnownEntry[], name: string): string {
  // The command replaces the whole list, so it repeats the present names.
  const [peer] = peers;
  const names = [...(peer?.dns_names ?? []), name].flatMap((one) => ['--dns', shellQuote(one)]);
  return `sidekey entry update ${shellQuote(peer?.id ?? 'ID')} ${names.join(' ')}`;
}
