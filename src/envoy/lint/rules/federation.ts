/** Whether the Envoy of a bootstrap can get the authorities of another trust domain. */

import { changeEntry, commandLine, declaredPlace, looksMistyped, shellQuote } from '../../../base/index.ts';
import { EVERY_DOMAIN } from '../../../spiffe/index.ts';
import { type Model, mayBeOurs } from '../model.ts';
import { type Draft, type KnownEntry, type KnownFacts, ownDomain } from './rule.ts';

/**
 * Why the Envoy gets no authorities of this domain. Empty if it gets them, if the domain is the server's own, or if the
 * entries are not known.
 */
export function unfederated(model: Model, domain: string, known: KnownFacts): Omit<Draft, 'at'>[] {
  const own = ownDomain(known);
  if (known.entries === undefined || own === undefined || domain === own) return [];
  const mine = entriesOf(model, known.entries);
  const candidates = mine.length > 0 ? mine : known.entries;
  const head = { rule: 'no-bundle', severity: 'error' } as const;
  if (!candidates.some(({ federates_with: domains }) => domains.includes(domain) || domains.includes(EVERY_DOMAIN))) {
    const others = new Set(known.entries.flatMap(({ federates_with: domains }) => domains));
    const near = [own, ...others].find((other) => looksMistyped(domain, other));
    const meant = near === undefined ? '' : `if ${near} is meant, name: spiffe://${near}; else `;
    const change = federate(mine, domain);
    return [
      {
        ...head,
        problem: `no entry gives the authorities of ${domain}`,
        why: `the server's trust domain is ${own}, and no entry${mine.length > 0 ? ' of this Envoy' : ''} federates with ${domain}: the name is held`,
        fix: `${meant}${change.fix}`,
        ...(near === undefined ? { command: change.command } : {}),
      },
    ];
  }
  if (known.server === undefined || known.server.bundles.includes(domain)) return [];
  return [
    {
      ...head,
      problem: `the bundle of ${domain} is not set`,
      why: 'the server does not know its authorities: the name is held',
      fix: `get the bundle from the operator of ${domain}, and set it: sidekey bundle set ${shellQuote(domain)} --file BUNDLE; or let the server fetch it (sidekey federation create)`,
    },
  ];
}

/** The entries that give the certificates which the bootstrap requests by SPIFFE ID. */
function entriesOf({ secrets, clusters }: Model, entries: readonly KnownEntry[]): KnownEntry[] {
  const names = new Set(
    secrets.flatMap(({ kind, name, source }) => (kind === 'certificate' && mayBeOurs(source, clusters) ? [name] : [])),
  );
  return entries.filter(({ spiffe_id: id }) => names.has(id));
}

function federate(mine: readonly KnownEntry[], domain: string): Pick<Draft, 'fix' | 'command'> {
  const [entry, ...more] = mine;
  const what = `let an entry of this Envoy federate with ${domain}`;
  if (entry === undefined)
    return {
      fix: `${what}: sidekey entry update ENTRY --federates-with ${shellQuote(domain)}, with all its other domains`,
    };
  // The command replaces the whole list, so it repeats the present domains.
  const flags = [...entry.federates_with, domain].flatMap((one) => ['--federates-with', one]);
  const command = commandLine(['sidekey', 'entry', 'update', entry.id, ...flags]);
  const at = entry.declared ?? { source: undefined };
  const fix = changeEntry(at, `${what} (federates_with)`, command ?? `sidekey entry update ${entry.id} …`);
  return { fix, command: more.length === 0 && declaredPlace(at) === undefined ? command : undefined };
}
