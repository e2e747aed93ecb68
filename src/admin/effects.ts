/** What planned changes of entries would mean: the fields that differ, and the running callers that they affect. */

import type { Inspect } from '../attest/index.ts';
import type { CallerPreview, Identities } from '../identity/index.ts';
import { differingFields, type Entry, type EntryChange } from '../registry/index.ts';
import { formatSelector } from '../spiffe/index.ts';
import type { EffectsJson } from './schema.ts';

export interface EffectsParts {
  readonly identities: Pick<Identities, 'preview'>;
  /** Asks the attestors about a process. */
  readonly inspect: Inspect;
}

/** Maximum number of processes that are listed. */
const MOST_CALLERS = 1_000;

/** Fields that each change sets. */
const ALWAYS_NEW: ReadonlySet<string> = new Set(['updated_at', 'revision_number']);

export interface FieldChange {
  readonly name: string;
  readonly before: unknown;
  readonly after: unknown;
}

export function differingFieldsOf(before: Entry, after: Entry): FieldChange[] {
  return differingFields(before, after)
    .map(([key, { name, show }]) => ({ name, before: show(before[key] as never), after: show(after[key] as never) }))
    .filter(({ name }) => !ALWAYS_NEW.has(name));
}

export async function effectsOfChanges(
  changes: readonly EntryChange[],
  { identities, inspect }: EffectsParts,
): Promise<EffectsJson> {
  const { callers, more, unread } = await identities.preview(changes, MOST_CALLERS, factsBy(inspect));
  return { callers: callers.map(callerToJson), more, unread };
}

function factsBy(inspect: Inspect): (pid: number) => Promise<ReadonlySet<string> | undefined> {
  return async (pid) => {
    try {
      const { attestors } = await inspect(pid);
      if (attestors.some(({ error }) => error !== undefined)) return undefined;
      return new Set(attestors.flatMap(({ found }) => found.map(formatSelector)));
    } catch {
      return undefined;
    }
  };
}

function callerToJson({ mayGain, byDefault, ...caller }: CallerPreview): EffectsJson['callers'][number] {
  return {
    ...caller,
    gained: [...caller.gained],
    lost: [...caller.lost],
    changed: [...caller.changed],
    may_gain: [...mayGain],
    default: byDefault ?? null,
  };
}
