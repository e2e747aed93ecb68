/**
 * Which of SPIRE's entries are for this host. On another host `unix:uid:0` is another root, so an entry is taken only if
 * SPIRE would give it to this host's agent.
 * @see pkg/server/cache/entrycache/fullcache.go of SPIRE: crawl
 */

import { SidekeyError } from '../base/index.ts';
import { entryToJson, isExpired, parseEntryInput } from '../registry/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import { fault, idText, isObject, type JsonInput, listIn } from './json-input.ts';

export interface EntryRow {
  readonly id: string;
  readonly spiffeId: string;
  readonly parent: string;
  /** Empty if it is taken. */
  readonly reason: string;
}

export interface PickedEntries {
  readonly rows: readonly EntryRow[];
  /** As an entries file has them. */
  readonly taken: readonly object[];
}

export interface PickTerms {
  readonly trustDomain: TrustDomain;
  /** The SPIFFE ID of this host's agent. */
  readonly agent: string;
  /** The agent's selectors, `type:value`; undefined if they are not known. */
  readonly agentSelectors: ReadonlySet<string> | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

interface SpireEntry {
  readonly raw: Readonly<Record<string, unknown>>;
  readonly id: string;
  readonly spiffeId: string;
  readonly parent: string;
  readonly selectors: readonly string[];
  readonly hasExpired: boolean;
}

/** @throws ERR_CONFIG if it is not the output of `spire-server entry show` */
export function pickEntries(input: JsonInput, terms: PickTerms): PickedEntries {
  const { agent, agentSelectors, trustDomain } = terms;
  const entries = listIn(input, 'entries').map((raw, index) =>
    readEntry(raw, `${input.from} /entries/${index}`, terms.now),
  );
  const server = `spiffe://${trustDomain}/spire/server`;
  const parents = new Set([agent]);
  const aliases = entries.filter(({ parent }) => parent === server);
  const isOurs = ({ selectors, hasExpired }: SpireEntry) => {
    if (agentSelectors === undefined || hasExpired || selectors.length === 0) return false;
    return selectors.every((selector) => agentSelectors.has(selector));
  };
  for (const alias of aliases) if (isOurs(alias)) parents.add(alias.spiffeId);
  // SPIRE follows parents in any depth: the children of an entry of this agent are this agent's too.
  const children = Map.groupBy(entries, ({ parent }) => parent);
  for (const parent of parents) {
    for (const { spiffeId, hasExpired } of children.get(parent) ?? [])
      if (!hasExpired && spiffeId !== server) parents.add(spiffeId);
  }
  const known = new Set(aliases.flatMap(({ spiffeId, hasExpired }) => (hasExpired ? [] : [spiffeId])));
  const expired = new Set(entries.flatMap(({ spiffeId, hasExpired }) => (hasExpired ? [spiffeId] : [])));
  const taken: object[] = [];
  const rows = entries.map((entry): EntryRow => {
    const { id, spiffeId, parent, raw, selectors } = entry;
    const row = { id, spiffeId, parent };
    if (parent === server) return { ...row, reason: aliasReason(entry, isOurs(entry), agentSelectors !== undefined) };
    if (!parents.has(parent)) {
      const isUnclear = known.has(parent) && agentSelectors === undefined;
      const unclear = `its parent is a node alias, and the agent's selectors are not known: give --spire-agent`;
      if (isUnclear) return { ...row, reason: unclear };
      if (expired.has(parent)) return { ...row, reason: 'its parent has expired' };
      return { ...row, reason: `it belongs to another host: its parent is not ${agent}` };
    }
    if (selectors.some((selector) => selector.startsWith('spiffe_id:')))
      return { ...row, reason: 'it names the agent itself, not a workload' };
    const foreign = beyondSpire(entry);
    if (foreign !== undefined) return { ...row, reason: foreign };
    const read = ownEntry(raw, terms);
    if (typeof read === 'string') return { ...row, reason: read };
    taken.push(read);
    return { ...row, reason: '' };
  });
  return { rows, taken };
}

/** Why it is no entry of SPIRE: there, such a text grants nothing; here it would be a template or a negative selector. */
function beyondSpire({ spiffeId, selectors }: SpireEntry): string | undefined {
  if (/[{}]/.test(spiffeId)) return 'spiffe_id: SPIRE has no placeholders';
  return selectors.some((one) => one.startsWith('!')) ? 'selectors: SPIRE has no negative selectors' : undefined;
}

function aliasReason({ raw, hasExpired }: SpireEntry, isOurs: boolean, isKnown: boolean): string {
  if (raw.downstream === true) return 'it is for a downstream SPIRE server';
  if (hasExpired) return 'it is a node alias that has expired';
  if (isOurs) return 'it is a node alias of this agent; the entries under it are taken';
  return isKnown ? 'it is a node alias of other agents' : "it is a node alias; whether it is this agent's is not known";
}

/** The entry of Sidekey; a text says why there is none. */
function ownEntry(raw: Readonly<Record<string, unknown>>, { trustDomain, now }: PickTerms): object | string {
  try {
    const input = parseEntryInput(withoutDefaults(raw), { trustDomain, allowWeakSelectors: false });
    if (isExpired(input, now)) return 'it has expired';
    const { id, created_at, updated_at, revision_number, source, ...json } = entryToJson({
      ...input,
      ...{ id: input.id ?? '', createdAt: 0, updatedAt: 0, revision: 1, source: '' },
    } as never) as unknown as Record<string, unknown>;
    return Object.fromEntries([['id', input.id], ...Object.entries(json)].filter(([, value]) => !isEmpty(value)));
  } catch (thrown) {
    if (!(thrown instanceof SidekeyError)) throw thrown;
    return thrown.problems.map(({ path, problem }) => `${path.slice(1)}: ${problem}`).join('; ') || thrown.message;
  }
}

/** Without what SPIRE's JSON has beyond an entry, if it says nothing. */
function withoutDefaults(raw: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { created_at, revision_number, additional_attributes: more, ...entry } = raw;
  const says = isObject(more) && Object.values(more).some((value) => value !== false);
  return says ? { ...entry, additional_attributes: more } : entry;
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || value === 0 || value === false || isNone(value);
}

function isNone(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function readEntry(raw: Readonly<Record<string, unknown>>, at: string, now: number): SpireEntry {
  const [spiffeId, parent] = [idText(raw.spiffe_id), idText(raw.parent_id)];
  const { id = '', selectors = [] } = raw;
  const texts = Array.isArray(selectors) ? selectors.map(selectorText) : [undefined];
  const rule = 'give what spire-server entry show -output json prints';
  if (spiffeId === undefined) throw fault(`${at}/spiffe_id`, 'it is not a SPIFFE ID', rule);
  if (parent === undefined) throw fault(`${at}/parent_id`, 'it is not a SPIFFE ID', rule);
  if (typeof id !== 'string') throw fault(`${at}/id`, 'it is not a text', rule);
  const good = texts.filter((text) => text !== undefined);
  if (good.length < texts.length) throw fault(`${at}/selectors`, 'one is not {"type","value"}', rule);
  return { raw, id, spiffeId, parent, selectors: good, hasExpired: hasExpired(raw.expires_at, now) };
}

/** @param end seconds since the epoch, as a number or a text; 0 or absent: never. Anything else counts as the past */
function hasExpired(end: unknown, now: number): boolean {
  const seconds = typeof end === 'number' || typeof end === 'string' ? Number(end) : end === undefined ? 0 : Number.NaN;
  return seconds !== 0 && !(seconds * 1_000 > now);
}

function selectorText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!isObject(value)) return undefined;
  return typeof value.type === 'string' && typeof value.value === 'string' ? `${value.type}:${value.value}` : undefined;
}

/**
 * The selectors of the agent in the output of `spire-server agent show` or `agent list`.
 * @throws ERR_CONFIG if it is not there, or banned
 */
export function agentSelectors(input: JsonInput, agent: string): Set<string> {
  const agents = Array.isArray(input.value.agents) ? listIn(input, 'agents') : [input.value];
  const found = agents.find((one) => idText(one.id) === agent);
  const rule = `give what spire-server agent show -spiffeID ${agent} -output json prints`;
  if (found === undefined) throw fault(input.from, `it has no agent ${agent}`, rule);
  const { selectors = [], banned } = found;
  if (banned === true) {
    const problem = `SPIRE has banned the agent ${agent}, so its entries grant nothing there`;
    throw fault(input.from, problem, 'give --agent of an agent that is not banned');
  }
  const texts = Array.isArray(selectors) ? selectors.map(selectorText) : [];
  return new Set(texts.filter((text) => text !== undefined));
}
