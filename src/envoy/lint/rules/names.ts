/** Rules for the names of requested secrets. */

import { looksMistyped, nearest, shellQuote } from '../../../base/index.ts';
import {
  couldRender,
  isLikeTemplate,
  parseSpiffeId,
  parseTemplate,
  parseTrustDomain,
  SPIRE_NAMES,
  SpiffeIdError,
  trustDomainOf,
} from '../../../spiffe/index.ts';
import { type AskedSecret, type Model, mayBeOurs } from '../model.ts';
import { unfederated } from './federation.ts';
import { type Draft, type KnownFacts, type KnownHold, ownDomain, type Rule } from './rule.ts';

/** The secret that Sidekey gives for a name. */
type Meaning =
  | { readonly gives: 'certificate'; readonly spiffeId?: string }
  | { readonly gives: 'validation'; readonly trustDomain?: string }
  | { readonly gives: 'nothing'; readonly because: string };

/** The reserved names of the server, or SPIRE's. */
function reservedOf({ server }: KnownFacts): string[] {
  const { default: byDefault, bundle, allBundles } = server?.names ?? SPIRE_NAMES;
  return [byDefault, bundle, allBundles];
}

export const identityRules: Rule = (model, known) =>
  model.secrets
    .filter(({ source }) => mayBeOurs(source, model.clusters))
    .flatMap((secret) => check(secret, model, known));

function check(secret: AskedSecret, model: Model, known: KnownFacts): Draft[] {
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
  const hold = holdOf(model, name, known);
  const drafts =
    meaning.gives === 'certificate'
      ? withoutEntry(at, name, meaning.spiffeId, hold, known)
      : meaning.trustDomain === undefined
        ? []
        : unfederated(model, meaning.trustDomain, known).map((draft) => ({ at, ...draft }));
  return drafts.length > 0 || hold === undefined ? drafts : [waiting(at, hold)];
}

/**
 * The hold of this name for a connected Envoy with the bootstrap's node id; undefined if there is none, or if it may end
 * by itself.
 */
function holdOf({ root }: Model, name: string, { server }: KnownFacts): KnownHold | undefined {
  const node = root.get('node', 'id')?.text;
  return server?.held.find((one) => one.node === node && one.name === name && !PASSING.includes(one.reason));
}

const PASSING: readonly string[] = ['pending', 'facts-missing', 'issuance-failed'];

function waiting(at: Draft['at'], { pid, name, reason, detail }: KnownHold): Draft {
  const asked = name.startsWith('spiffe://') && name.includes('/', 'spiffe://'.length);
  return {
    rule: 'held',
    severity: 'error',
    at,
    problem: `the Envoy with this node id (process ${pid}) waits for ${name}: ${reason}: ${detail}`,
    why: 'it resets its connections until it has the secret',
    fix: `sidekey explain --pid ${pid}${asked ? ` --spiffe-id ${shellQuote(name)}` : ''} says what it lacks`,
  };
}

const EXAMPLES = {
  certificate: 'spiffe://DOMAIN/PATH, the identity of this Envoy',
  validation: 'spiffe://DOMAIN, the trust domain of its peers',
} as const;

function meaningOf(name: string, { aliases = [], server }: KnownFacts): Meaning {
  const reserved = server?.names ?? SPIRE_NAMES;
  const alias = aliases.find(({ host }) => host === name.toLowerCase());
  if (alias !== undefined) return { gives: 'certificate', spiffeId: alias.spiffe_id };
  if (name === reserved.default) return { gives: 'certificate' };
  if (name === reserved.bundle || name === reserved.allBundles) return { gives: 'validation' };
  try {
    const domain = /^spiffe:\/\/([^/]*)$/.exec(name)?.[1];
    if (domain !== undefined) return { gives: 'validation', trustDomain: parseTrustDomain(domain) };
    return { gives: 'certificate', spiffeId: parseSpiffeId(name) };
  } catch (thrown) {
    if (!(thrown instanceof SpiffeIdError)) throw thrown;
    return { gives: 'nothing', because: thrown.problem };
  }
}

function unknown({ kind, at }: AskedSecret, name: string, because: string, known: KnownFacts): Draft {
  const { entries = [], aliases } = known;
  const reserved = reservedOf(known);
  const all = [...reserved, ...entries.map((entry) => entry.spiffe_id), ...(aliases ?? []).map(({ host }) => host)];
  const near = nearest(name, all);
  return {
    rule: 'name',
    severity: aliases === undefined ? 'warning' : 'error',
    at,
    problem: `the name ${JSON.stringify(name)} is not a SPIFFE ID (${because}) and not one of ${reserved.join(', ')}`,
    why: `no caller gets a secret for it${aliases === undefined ? ', unless it is an alias' : ': it is not an alias either'}`,
    fix: `name: ${near ?? EXAMPLES[kind === 'validation' ? kind : 'certificate']}`,
  };
}

function withoutEntry(
  at: Draft['at'],
  name: string,
  spiffeId: string | undefined,
  hold: KnownHold | undefined,
  known: KnownFacts,
): Draft[] {
  const { entries = [] } = known;
  if (spiffeId === undefined ? entries.length > 0 : entries.some((entry) => mayGive(entry.spiffe_id, spiffeId)))
    return [];
  const own = ownDomain(known);
  // Suggests only a name that is one typing error away: other names belong to other workloads.
  const near = entries.map((entry) => entry.spiffe_id).find((id) => looksMistyped(name, id));
  const meant = near === undefined ? '' : `if ${near} is meant, name: ${near}; else `;
  if (spiffeId !== undefined && own !== undefined && domainOf(spiffeId) !== own) {
    return [
      {
        rule: 'foreign-id',
        severity: 'error',
        at,
        problem: `${name} is of another trust domain: the server issues for ${own} only`,
        why: 'there can be no such secret: Envoy waits 15 seconds for it, then resets every connection',
        fix: `${meant}ask for a SPIFFE ID of ${own}, or let the SDS cluster lead to the server of ${domainOf(spiffeId)}`,
      },
    ];
  }
  return [
    {
      rule: 'no-entry',
      severity: 'error',
      at,
      problem: `no entry gives ${name}`,
      why: 'the name is held: Envoy waits 15 seconds for it, then resets every connection',
      fix: `${meant}${toMake(spiffeId ?? `spiffe://${own ?? 'DOMAIN'}/PATH`, hold)}`,
    },
  ];
}

/** True for an entry of the SPIFFE ID, or with a template that renders it for some callers. */
function mayGive(given: string, spiffeId: string): boolean {
  return isLikeTemplate(given) ? couldRender(parseTemplate(given), parseSpiffeId(spiffeId)) : given === spiffeId;
}

/**
 * How to make the entry: from the facts of the Envoy that waits, if there is one; otherwise with placeholders, which
 * `entry create` refuses.
 */
function toMake(spiffeId: string, hold: KnownHold | undefined): string {
  const explain = (pid: number | string) => `sidekey explain --pid ${pid} --spiffe-id ${shellQuote(spiffeId)}`;
  if (hold !== undefined) return `make an entry for this Envoy, which is process ${hold.pid}: ${explain(hold.pid)}`;
  const create = `sidekey entry create --spiffe-id ${shellQuote(spiffeId)} --selector unix:user:USER --selector unix:path:PATH`;
  return `make an entry with the user and the program of this Envoy: ${create}; once it runs, ${explain('PID')} prints the command with its facts`;
}

function domainOf(spiffeId: string): string {
  return trustDomainOf(parseSpiffeId(spiffeId));
}
