/** The shapes of what is explained: who somebody is to the attestors, what that gets, and what it does not. */

import Type, { type Static } from 'typebox';
import { FACT } from './decision-schema.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const MaybeText = Type.Union([Type.String(), Type.Null()]);

export const EXPLAIN_QUERY = Type.Object({
  pid: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 4_194_304, description: 'it is the number of a process that runs' }),
  ),
  container: Type.Optional(Type.String({ description: 'name or id of a container that runs' })),
  selector: Type.Optional(
    Type.Array(Type.String(), { description: 'type:value; facts to suppose instead of asking the attestors' }),
  ),
  contained: Type.Boolean({ default: false, description: 'with selector: suppose a caller in a container' }),
  spiffe_id: Type.Optional(Type.String({ description: 'the SPIFFE ID that it should have' })),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 10, description: 'it is an integer from 1 to 1000' }),
});

export type ExplainQuery = Static<typeof EXPLAIN_QUERY>;

const ATTESTOR = Type.Object(
  {
    name: Type.String(),
    at: Timestamp,
    took_ms: Type.Number(),
    facts: Type.Array(FACT),
    error: { ...MaybeText, description: 'why it failed: then there is no identity, whatever the others say' },
    remark: MaybeText,
  },
  CLOSED,
);

const LACK = Type.Object(
  {
    selector: Type.String(),
    has: Type.Array(Type.String(), { description: 'what there is instead, of the same kind' }),
    alike: { ...MaybeText, description: 'which of those is nearly the same: one of the two is likely mistyped' },
  },
  CLOSED,
);

const MISS = Type.Object(
  {
    entry_id: Type.String(),
    spiffe_id: Type.String(),
    selectors: Type.Integer({ description: 'how many the entry has' }),
    lacks: Type.Array(LACK),
    expired_at: Type.Union([Timestamp, Type.Null()]),
    withheld: Type.Boolean({ description: 'the caller is in a container, and the entry is not for those' }),
    fix: { ...MaybeText, description: 'the command that lets it go on, where it gave the SPIFFE ID to the caller' },
    fixes: Type.Array(Type.String(), { description: 'the same, as a list' }),
    note: { ...MaybeText, description: 'what to know before that' },
  },
  CLOSED,
);

const GIVEN = Type.Object({ entry_id: Type.String(), spiffe_id: Type.String(), default: Type.Boolean() }, CLOSED);

const ASKED = Type.Object(
  {
    spiffe_id: Type.String(),
    given: Type.Boolean(),
    reason: { ...MaybeText, description: 'as of a held name' },
    detail: Type.String(),
    alike: { ...MaybeText, description: 'a SPIFFE ID that there is, and that this one is likely mistyped from' },
  },
  CLOSED,
);

export const EXPLANATION = Type.Object(
  {
    at: Timestamp,
    process: Type.Union([
      Type.Object(
        {
          pid: Type.Integer(),
          uid: Type.Integer(),
          gid: Type.Integer(),
          contained: { ...MaybeText, description: 'why it counts as a process in a container' },
        },
        CLOSED,
      ),
      Type.Null(),
    ]),
    attestors: Type.Array(ATTESTOR, { description: 'none where facts were supposed' }),
    asked: Type.Union([ASKED, Type.Null()]),
    identities: Type.Array(GIVEN, { description: 'what there is by SPIFFE ID, oldest entry first' }),
    bundles: Type.Array(Type.String()),
    unset_bundles: Type.Array(Type.String(), { description: 'trust domains that it would get if somebody set them' }),
    near: Type.Array(MISS, { description: 'entries that do not match, nearest first' }),
    fixes: Type.Array(Type.String(), { description: 'commands for an operator to consider, the best first' }),
    note: { ...MaybeText, description: 'what to know before that, or why there is none that one would expect' },
  },
  CLOSED,
);

export type ExplanationJson = Static<typeof EXPLANATION>;
