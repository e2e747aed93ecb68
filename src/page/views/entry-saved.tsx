/** What the server said when the page saved an entry, for the view that shows the entry next. */

import type { ComponentChildren } from 'preact';
import type { ChangedEntry, InputProblem } from '../../gen/admin-api.ts';
import { HostileText } from '../parts/index.ts';

let last: { readonly id: string; readonly revision: number; readonly warnings: readonly InputProblem[] } | undefined;

export function rememberSaved({ id, revision_number: revision, warnings = [] }: ChangedEntry): void {
  last = { id, revision, warnings };
}

/** The warnings, if the page saved this revision last. */
export function savedOf(id: string, revision: number): readonly InputProblem[] | undefined {
  return last?.id === id && last.revision === revision ? last.warnings : undefined;
}

interface WarningsProps {
  readonly warnings: readonly InputProblem[];
  readonly title: ComponentChildren;
}

export function Warnings({ warnings, title }: WarningsProps) {
  if (warnings.length === 0) return null;
  return (
    <div class="note warn">
      <p>
        <b>{title}</b>
      </p>
      <ul>
        {warnings.map(({ path, problem, rule }) => (
          <li key={`${path} ${problem}`}>
            {path !== '' && <code>{path}</code>} <HostileText text={problem} />
            <div class="muted">
              <HostileText text={rule} />
            </div>
          </li>
        ))}
      </ul>
    </div>
  );
}
