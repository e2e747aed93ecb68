/** The entry that a refused caller nearly matches, if this user may ask the server. */

import type { DecisionJson, ExplanationJson } from '../admin/index.ts';
import { openClient } from './target.ts';

/** One line; undefined if the server at the default admin socket does not answer this user, or no entry is near. */
export async function nearMissOf(decision: string): Promise<string | undefined> {
  try {
    const client = await openClient({ output: 'table' });
    const { facts, contained } = await client.json<DecisionJson>('GET', `/v1/decisions/${decision}`);
    const query = new URLSearchParams(facts.map(({ selector }): [string, string] => ['selector', selector]));
    if (contained !== null) query.set('contained', 'true');
    query.set('limit', '1');
    const { near } = await client.json<ExplanationJson>('GET', `/v1/explain?${query}`);
    const [miss] = near;
    if (miss === undefined) return undefined;
    const lacks = miss.lacks.map(({ selector, has }) => `${selector} (has ${has.join(', ') || 'none'})`);
    const why = [
      ...(lacks.length === 0 ? [] : [`needs ${lacks.join(', ')}`]),
      ...(miss.expired_at === null ? [] : [`expired at ${miss.expired_at}`]),
      ...(miss.withheld ? ['is not for callers in containers'] : []),
    ];
    return `the nearest entry, ${miss.entry_id} of ${miss.spiffe_id}, ${why.join(', and ')}`;
  } catch {
    return undefined;
  }
}
