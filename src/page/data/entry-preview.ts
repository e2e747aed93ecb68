/** What a change of an entry would do to the running callers, asked before anything is saved. */

import type { Effects, Entry, EntryInput, EntryPatch, InputProblem } from '../../gen/admin-api.ts';
import { json } from '../shell/api.ts';

export type PlannedChange =
  | { readonly create: EntryInput }
  | { readonly update: { readonly id: string; readonly patch: EntryPatch } }
  | { readonly delete: { readonly id: string } };

export interface EntryPreview {
  /** Null for a new entry. */
  readonly before: Entry | null;
  /** Null if it would be deleted. */
  readonly after: Entry | null;
  readonly effects: Effects;
  /** Faults of accepted input. */
  readonly warnings?: readonly InputProblem[];
}

/** @throws ApiError with the faults of the input, as saving would */
export function previewChange(change: PlannedChange): Promise<EntryPreview> {
  return json<EntryPreview>('POST', '/v1/entries/preview', { body: change });
}
