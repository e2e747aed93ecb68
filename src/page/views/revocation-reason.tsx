/** The reason of a revocation. */

import type { RevocationInput } from '../../gen/admin-api.ts';
import { Field } from '../parts/index.ts';

export type RevocationReason = NonNullable<RevocationInput['reason']>;

/** RFC 5280 section 5.3.1 */
const REASONS: Readonly<Record<RevocationReason, string>> = {
  unspecified: 'no reason given',
  'key-compromise': 'the key may have leaked',
  'affiliation-changed': 'it is another one now',
  superseded: 'another certificate replaces it',
  'cessation-of-operation': 'it is not needed any more',
  'certificate-hold': 'for a time: can be undone',
  'privilege-withdrawn': 'it may not have it any more',
};

interface ReasonFieldProps {
  readonly reason: RevocationReason;
  readonly onChange: (reason: RevocationReason) => void;
}

export function ReasonField({ reason, onChange }: ReasonFieldProps) {
  return (
    <Field label="Reason">
      {(control) => (
        <select
          {...control}
          value={reason}
          onChange={({ currentTarget: { value } }) => onChange(value as RevocationReason)}
        >
          {Object.entries(REASONS).map(([name, means]) => (
            <option key={name} value={name}>
              {name}: {means}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
