/** The shape of what a server knows of itself, for `sidekey doctor` to judge. */

import Type, { type Static } from 'typebox';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const MaybeText = Type.Union([Type.String(), Type.Null()]);
const MaybeTimestamp = Type.Union([Timestamp, Type.Null()]);
const Count = Type.Integer({ minimum: 0 });

const FAULTS = Type.Object(
  {
    count: Count,
    sample: Type.Array(
      Type.Object({ entry_id: Type.String(), spiffe_id: Type.String(), detail: Type.String() }, CLOSED),
      { description: 'the oldest of them' },
    ),
  },
  CLOSED,
);

export const DOCTOR = Type.Object(
  {
    at: { ...Timestamp, description: 'by the clock of the server' },
    version: Type.String(),
    trust_domain: Type.String(),
    pid: Type.Integer(),
    uid: Type.Integer(),
    data_dir: Type.String(),
    socket: Type.String(),
    admin_socket: Type.String(),
    docker_socket: MaybeText,
    inputs: Type.Array(Type.Object({ setting: Type.String(), path: Type.String() }, CLOSED), {
      description: 'files that decide who gets which identity, and the socket of the container engine',
    }),
    attestors: Type.Array(
      Type.Object({ name: Type.String(), error: MaybeText }, { ...CLOSED, description: 'error: it does not work now' }),
    ),
    proc: Type.Object({ others_executables: Type.Boolean(), hidepid: MaybeText }, CLOSED),
    disk: Type.Object({ free_bytes: Count, free_inodes: Count }, CLOSED),
    descriptors: Type.Object({ open: Count, limit: Count }, CLOSED),
    authorities: Type.Array(
      Type.Object(
        {
          id: Type.String(),
          role: Type.Enum(['root', 'intermediate']),
          not_before: Timestamp,
          not_after: Timestamp,
        },
        CLOSED,
      ),
    ),
    last_issued_at: { ...MaybeTimestamp, description: 'of the newest issuance on record' },
    usage: Type.Array(Type.Object({ setting: Type.String(), uid: Type.Integer(), used: Count, limit: Count }, CLOSED), {
      description: 'the uid that uses most of each limit',
    }),
    unseen_callers: Type.Object(
      { count: Count, uid: Type.Union([Type.Integer(), Type.Null()]), last_at: MaybeTimestamp },
      { ...CLOSED, description: 'refused in the last day since their pid namespace is not to be seen' },
    ),
    entries: Type.Object(
      { total: Count, expired: FAULTS, unproducible: FAULTS, shadowed: FAULTS, 'never-issued': FAULTS },
      CLOSED,
    ),
  },
  CLOSED,
);

export type DoctorJson = Static<typeof DOCTOR>;
