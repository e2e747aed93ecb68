/** Rules for the names of requested secrets. */

import { nearest } from '../../../base/nearest.ts';
import { shellQuote } from '../../../base/shell.ts';
import { parseSpiffeId, parseTrustDomain, SpiffeIdError, trustDomainOf } from '../../../spiffe/id.ts';
import { type AskedSecret, mayBeOurs } from '../model.ts';
import type { Draft, Known, Rule } from './rule.ts';

/** The secret that Sidekey gives for a name. */
type Meaning =
  | { readonly gives: 'certificate'; readonly spiffeId?: string }
  | { readonly gives: 'validation'; readonly trustDomain?: string }
  | { readonly gives: 'nothing'; readonly because: string };

const RESERVED = ['default', 'ROOTCA', 'ALL'];

export const identityRules: Rule = ({ secrets, clusters }, known) =>
  secrets.filter(({ source }) => mayBeOurs(source, clusters)).flatMap((secret) => check(secret, known));

function check(secret: AskedSecret, known: Known): Draft[] {
  const { kind, name, at } = secret;
  // TLS clients choose these names.
  if (kind === 'on-demand') return [];
  if (kind === 'other') {
    const problem = `the secret ${JSON.stringify(name ?? '')} is neither a certificate nor a validation context`;
    const why = 'Sidekey serves no other kinds, so the secret never arrives';
    return [
      { rule: 'secret-kind', severity: 'error', at, problem, why, fix: 'use a static secret, or one from a file' },
    ];
  }
  if (name === undefined) {
    const problem = 'a secret without a name';
    const why = 'Sidekey can not know which secret is meant';
    return [{ rule: 'name', severity: 'error', at, problem, why, fix: `name: ${EXAMPLES[kind]}` }];
  }
  const meaning = meaningOf(name, known);
  if (meaning.gives === 'nothing') return [unknown(secret, name, meaning.because, known)];
  if (meaning.gives !== kind) {
    const [asked, given] = kind === 'certificate' ? ['a certificate', 'authorities'] : ['authorities', 'a certificate'];
    const problem = `${name} is requested as ${asked}, but stands for ${given}`;
    const why = 'Envoy does not use a secret of another kind';
    return [{ rule: 'name-kind', severity: 'error', at, problem, why, fix: `name: ${EXAMPLES[kind]}` }];
  }
  if (known.entries === undefined) return [];
  return meaning.gives === 'certificate'
    ? withoutEntry(at, name, meaning.spiffeId, known.entries)
    : withoutFederation(at, meaning.trustDomain, known.entries);
}

const EXAMPLES = {
  certificate: 'spiffe://DOMAIN/PATH, the identity of this Envoy',
  validation: 'spiffe://DOMAIN, the trust domain of its peers',
} as const;

function meaningOf(name: string, { aliases = [] }: Known): Meaning {
  const alias = aliases.find(({ host }) => host === name.toLowerCase());
  if (alias !== undefined) return { gives: 'certificate', spiffeId: alias.spiffe_id };
  if (name === 'default') return { gives: 'certificate' };
  if (name === 'ROOTCA' || name === 'ALL') return { gives: 'validation' };
  try {
    const domain = /^spiffe:\/\/([^/]*)$/.exec(name)?.[1];
    if (domain !== undefined) return { gives: 'validation', trustDomain: parseTrustDomain(domain) };
    return { gives: 'certificate', spiffeId: parseSpiffeId(name) };
  } catch (thrown) {
    if (!(thrown instanceof SpiffeIdError)) throw thrown;
    return { gives: 'nothing', because: thrown.problem };
  }
}

function unknown({ kind, at }: AskedSecret, name: string, because: string, known: Known): Draft {
  const { entries = [], aliases } = known;
  const all = [...RESERVED, ...entries.map((entry) => entry.spiffe_id), ...(aliases ?? []).map(({ host }) => host)];
  const near = nearest(name, all);
  return {
    rule: 'name',
    severity: aliases === undefined ? 'warning' : 'error',
    at,
    problem: `the name ${JSON.stringify(name)} is not a SPIFFE ID (${because}) and not one of ${RESERVED.join(', ')}`,
    why: `no caller gets a secret for it${aliases === undefined ? ', unless it is an alias' : ': it is not an alias either'}`,
    fix: `name: ${near ?? EXAMPLES[kind === 'validation' ? kind : 'certificate']}`,
  };
}

type Entries = NonNullable<Known['entries']>;

function withoutEntry(at: Draft['at'], name: string, spiffeId: string | undefined, entries: Entries): Draft[] {
  if (spiffeId === undefined ? entries.length > 0 : entries.some((entry) => entry.spiffe_id === spiffeId)) return [];
  const ids = entries.map((entry) => entry.spiffe_id);
  const near = nearest(name, ids);
  const make = `sidekey entry create --spiffe-id ${shellQuote(spiffeId ?? 'spiffe://…')} --selector unix:user:envoy`;
  return [
    {
      rule: 'no-entry',
      severity: 'error',
      at,
      problem: `no entry gives ${name}`,
      why: 'the name is held: Envoy waits 15 seconds for it, then resets every connection',
      fix: near === undefined || near === name ? make : `name: ${near}, or ${make}`,
    },
  ];
}

/** All entries are of the own trust domain; other domains are known from entries that federate with them. */
function withoutFederation(at: Draft['at'], domain: string | undefined, entries: Entries): Draft[] {
  if (domain === undefined || entries.length === 0) return [];
  const own = trustDomainOf(parseSpiffeId(entries[0]!.spiffe_id));
  if (domain === own || entries.some(({ federates_with }) => federates_with.includes(domain))) return [];
  const near = nearest(domain, [own, ...entries.flatMap(({ federates_with }) => federates_with)]);
  return [
    {
      rule: 'no-bundle',
      severity: 'error',
      at,
      problem: `no entry gives the authorities of ${domain}`,
      why: `the server's trust domain is ${own}, and no entry federates with ${domain}: the name is held`,
      fix: near === undefined ? `sidekey entry update ID --federates-with ${domain}` : `name: spiffe://${near}`,
    },
  ];
}
