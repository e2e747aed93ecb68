/** Rules for TLS contexts: the peers that Envoy accepts and connects to. */

import { parseSpiffeId, parseTrustDomain, SPIRE_NAMES } from '../../../spiffe/index.ts';
import { type Model, mayBeOurs, type TlsContext } from '../model.ts';
import { mapsIn, type Spot } from '../spot.ts';
import { unfederated } from './federation.ts';
import { type Draft, isOn, type KnownFacts, ownDomain, type Rule, setField } from './rule.ts';

export const tlsRules: Rule = (model, known) =>
  ourContexts(model).flatMap((context) => checkContext(context, model, known));

/** The contexts whose certificate or authorities come from Sidekey. */
export function ourContexts({ secrets, contexts, clusters }: Model): TlsContext[] {
  const ours = new Set(
    secrets.flatMap(({ kind, at, source }) => (kind !== 'other' && mayBeOurs(source, clusters) ? [at.identity] : [])),
  );
  return contexts.filter(({ common }) => [...mapsIn(common)].some(({ identity }) => ours.has(identity)));
}

/** The SPIFFE IDs that a context's matchers accept by their whole text. */
export function exactPeers(common: Spot): string[] {
  const matchers = validationOf(common)?.fixed?.get('match_typed_subject_alt_names')?.each ?? [];
  return matchers.flatMap((matcher) => matcher.get('matcher', 'exact')?.text ?? []);
}

function checkContext(context: TlsContext, model: Model, known: KnownFacts): Draft[] {
  const { side, at, common } = context;
  const validation = validationOf(common);
  if (validation === undefined) return side === 'upstream' ? [unverified(common)] : [];
  return [
    ...(side === 'downstream' ? [...clientCertificate(at), ...tickets(at)] : []),
    ...matchers(context, validation, known),
    ...foreignPeers(context, validation, model, known),
  ];
}

interface ValidationContext {
  readonly at: Spot;
  /** The validation context that can have matchers in addition to the secret from SDS. */
  readonly fixed: Spot | undefined;
}

function validationOf(common: Spot): ValidationContext | undefined {
  const combined = common.get('combined_validation_context');
  if (combined !== undefined) return { at: combined, fixed: combined.get('default_validation_context') };
  const bySds = common.get('validation_context_sds_secret_config');
  if (bySds !== undefined) return { at: bySds, fixed: undefined };
  const inline = common.get('validation_context');
  return inline && { at: inline, fixed: inline };
}

const COMBINED =
  'combined_validation_context: { default_validation_context: { match_typed_subject_alt_names: [{ san_type: URI, matcher: { exact: spiffe://… } }] }, validation_context_sds_secret_config: … }';

function unverified(at: Spot): Draft {
  return {
    rule: 'unverified',
    severity: 'error',
    at,
    problem: 'the upstream is not verified',
    why: 'Envoy sends its requests to any server that answers there',
    fix: COMBINED,
  };
}

function clientCertificate(at: Spot): Draft[] {
  const required = at.get('require_client_certificate');
  if (isOn(required)) return [];
  return [
    {
      rule: 'client-certificate',
      severity: 'error',
      at: required ?? at,
      problem: 'require_client_certificate is not true',
      why: 'a client without a certificate is not verified, and is accepted if the validator itself does not require one',
      fix: 'require_client_certificate: true',
      edit: setField(at, 'require_client_certificate', 'true'),
    },
  ];
}

function tickets(at: Spot): Draft[] {
  const keys = at.get('session_ticket_keys') ?? at.get('session_ticket_keys_sds_secret_config');
  if (keys === undefined) return [];
  return [
    {
      rule: 'session-tickets',
      severity: 'error',
      at: keys,
      problem: 'session ticket keys together with the SPIFFE validator',
      why: 'a resumed session is not verified again, so a client whose certificate was revoked is accepted as long as neither the keys nor the authorities in the bundle change',
      fix: 'remove them: then Envoy makes its own keys, and a changed secret ends their sessions',
    },
  ];
}

function matchers({ side }: TlsContext, { at, fixed }: ValidationContext, known: KnownFacts): Draft[] {
  const typed = fixed?.get('match_typed_subject_alt_names');
  const old = fixed?.get('match_subject_alt_names');
  const drafts: Draft[] = [];
  if (old !== undefined) {
    drafts.push({
      rule: 'san-deprecated',
      severity: 'warning',
      at: old,
      problem: 'match_subject_alt_names is deprecated',
      why: 'it matches names of every kind, and is ignored if match_typed_subject_alt_names is present',
      fix: 'match_typed_subject_alt_names: [{ san_type: URI, matcher: { exact: spiffe://… } }]',
    });
  }
  const uris = (typed?.each ?? []).filter((matcher) => matcher.get('san_type')?.text === 'URI');
  if (uris.length === 0 && (old === undefined || typed !== undefined)) {
    const others = (typed?.each.length ?? 0) > 0;
    drafts.push({
      rule: 'san-matchers',
      severity: side === 'upstream' || others ? 'error' : 'warning',
      at: typed ?? fixed ?? at,
      problem: others ? 'no SAN matcher is of the type URI' : 'there are no SAN matchers',
      why: `${others ? 'the SPIFFE validator ignores the others, so ' : ''}${EVERYBODY[side]}`,
      fix:
        typed === undefined
          ? COMBINED
          : 'match_typed_subject_alt_names: [{ san_type: URI, matcher: { exact: spiffe://… } }]',
    });
  }
  return [...drafts, ...uris.flatMap((uri) => exact(uri, known))];
}

const EVERYBODY = {
  upstream: 'any workload of the trust domain may answer in place of the upstream',
  downstream: 'every workload of the trust domain is accepted',
} as const;

/** Reports an exact name that is not a SPIFFE ID, or that no entry of its trust domain gives. */
function exact(matcher: Spot, { entries }: KnownFacts): Draft[] {
  const name = matcher.get('matcher', 'exact');
  if (name?.text === undefined) return [];
  const fix = 'matcher: { exact: spiffe://… }, the SPIFFE ID of the peer';
  try {
    parseSpiffeId(name.text);
  } catch (thrown) {
    const problem = `${name.text} is not a SPIFFE ID: ${(thrown as { problem: string }).problem}`;
    return [{ rule: 'san-impossible', severity: 'error', at: name, problem, why: 'no peer is ever accepted', fix }];
  }
  const own = entries?.[0]?.spiffe_id.split('/')[2];
  if (own === undefined || name.text.split('/')[2] !== own) return [];
  if (entries!.some((entry) => entry.spiffe_id === name.text)) return [];
  const why = 'no workload has that identity now, so no peer is accepted';
  return [
    { rule: 'peer-without-entry', severity: 'warning', at: name, problem: `no entry gives ${name.text}`, why, fix },
  ];
}

/** Reports matchers for peers of a trust domain whose authorities this context does not get. */
function foreignPeers({ common }: TlsContext, { fixed }: ValidationContext, model: Model, known: KnownFacts): Draft[] {
  const names = known.server?.names ?? SPIRE_NAMES;
  const bySds =
    common.get('combined_validation_context', 'validation_context_sds_secret_config') ??
    common.get('validation_context_sds_secret_config');
  const asked = bySds?.get('name')?.text;
  if (asked === undefined) return [];
  const isAll = asked === names.allBundles;
  const own = ownDomain(known) ?? certificateDomain(common);
  const trusted = asked === names.bundle ? own : domainIn(asked);
  if (trusted === undefined && !isAll) return [];
  // The rules for names already report these cases.
  if (trusted !== undefined && (!isTrustDomain(trusted) || unfederated(model, trusted, known).length > 0)) return [];
  const matchers = fixed?.get('match_typed_subject_alt_names')?.each ?? [];
  return matchers.flatMap((matcher): Draft[] => {
    const name = matcher.get('matcher', 'exact') ?? matcher.get('matcher', 'prefix');
    const domain = domainIn(name?.text ?? '');
    if (matcher.get('san_type')?.text !== 'URI' || domain === undefined || domain === trusted) return [];
    const head = { rule: 'san-foreign', severity: 'error', at: name! } as const;
    if (isAll) return unfederated(model, domain, known).map((draft) => ({ ...draft, ...head }));
    return [
      {
        ...head,
        problem: `${name!.text} is of the trust domain ${domain}, and this context has the authorities of ${trusted} only (${asked})`,
        why: 'no certificate of that trust domain verifies, so no such peer is accepted',
        fix: `validation_context_sds_secret_config: { name: ${names.allBundles}, … }, and an entry of this Envoy that federates with ${domain}`,
      },
    ];
  });
}

/** The trust domain in a SPIFFE ID, in the ID of a trust domain, or in a prefix that contains the whole trust domain. */
function domainIn(text: string): string | undefined {
  return /^spiffe:\/\/([^/]+)(\/|$)/.exec(text)?.[1];
}

function isTrustDomain(text: string): boolean {
  try {
    parseTrustDomain(text);
    return true;
  } catch {
    return false;
  }
}

/** The trust domain of the certificate that a context presents. */
function certificateDomain(common: Spot): string | undefined {
  const names = common.get('tls_certificate_sds_secret_configs')?.each.flatMap((one) => one.get('name')?.text ?? []);
  return names?.map(domainIn).find((domain) => domain !== undefined);
}
