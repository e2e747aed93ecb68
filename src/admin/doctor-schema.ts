/** JSON schema of the server's report about itself, which `sidekey doctor` judges. */

import Type, { type Static, type TSchema } from 'typebox';
import { AUTHORITIES } from './ca-schema.ts';
import { titled } from './titled.ts';

const CLOSED = { additionalProperties: false } as const;
const Timestamp = Type.String({ format: 'date-time' });
const MaybeText = Type.Union([Type.String(), Type.Null()]);
const MaybeTimestamp = Type.Union([Timestamp, Type.Null()]);
const MaybeId = Type.Union([Type.Integer(), Type.Null()]);
const Count = Type.Integer({ minimum: 0 });

function maybe<T extends TSchema>(schema: T) {
  return Type.Union([schema, Type.Null()]);
}

const DECLARED = {
  source: { ...Type.String(), description: 'what made the entry: api, file, or the source of a PUT' },
  file: { ...MaybeText, description: 'the file that declares the entry' },
  line: { ...maybe(Type.Integer()), description: 'the line of the entry in that file, if it was found' },
};

const FAULTS = Type.Object(
  {
    count: Count,
    sample: Type.Array(
      Type.Object(
        {
          entry_id: Type.String(),
          spiffe_id: Type.String(),
          detail: Type.String(),
          ...DECLARED,
          selectors: {
            ...maybe(Type.Array(Type.String())),
            description: 'the selectors that were likely meant, if one is mistyped',
          },
        },
        CLOSED,
      ),
      { description: 'the oldest of them' },
    ),
  },
  CLOSED,
);

export const DOCTOR = titled(
  'DoctorReport',
  Type.Object(
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
      sds_names: Type.Object(
        { default: Type.String(), bundle: Type.String(), all_bundles: Type.String() },
        { ...CLOSED, description: 'the reserved names of secrets' },
      ),
      started: Type.Object(
        { directory: Type.String(), settings_in_environment: Type.Boolean() },
        {
          ...CLOSED,
          description:
            'how the process was started: its working directory, and whether variables of its environment are settings',
        },
      ),
      inputs: Type.Array(
        Type.Object(
          {
            setting: Type.String(),
            path: Type.String(),
            replaced: {
              ...Type.Boolean(),
              description:
                'the file that the server sees has no name any more: it is mounted, and was replaced outside',
            },
          },
          CLOSED,
        ),
        { description: 'files that decide which process gets which identity' },
      ),
      entries_file: maybe(
        Type.Object(
          {
            path: Type.String(),
            problems: Type.Array(
              Type.Object({ path: Type.String(), problem: Type.String(), rule: Type.String() }, CLOSED),
              { description: 'why a reload would refuse it now; the first few' },
            ),
            pending: { ...Count, description: 'entries that a reload would create, change or delete' },
            unchecked: { ...MaybeText, description: 'why it was not read; null: it was' },
          },
          { ...CLOSED, description: 'the entries file as it is now; null: there is none' },
        ),
      ),
      failed_reloads: Type.Array(
        Type.Object(
          {
            part: Type.Union([Type.Literal('settings'), Type.Literal('entries'), Type.Literal('token')]),
            at: Timestamp,
            problems: Type.Array(Type.String()),
          },
          CLOSED,
        ),
        { description: 'what the last reload (SIGHUP) could not apply' },
      ),
      passphrase_files: Type.Array(Type.Object({ setting: Type.String(), path: Type.String() }, CLOSED), {
        description: 'files with passphrases of the keys of the authorities; none: the keys are in clear',
      }),
      admin_tls: {
        ...maybe(
          Type.Object(
            {
              cert_file: Type.String(),
              key_file: Type.String(),
              not_after: { ...Timestamp, description: 'of the certificate in use' },
              problem: { ...MaybeText, description: 'why the files as they are now are not in use; null: they are' },
            },
            CLOSED,
          ),
        ),
        description: 'TLS of the admin API on TCP; null: there is none',
      },
      published_bundle: {
        ...maybe(
          Type.Object(
            {
              sequence: { ...Count, description: 'spiffe_sequence of the document' },
              refresh_hint: { ...Count, description: 'seconds' },
              endpoint: maybe(
                Type.Object(
                  {
                    address: Type.String(),
                    port: Type.Integer(),
                    profile: Type.Union([Type.Literal('https_spiffe'), Type.Literal('https_web')]),
                    spiffe_id: { ...MaybeText, description: 'of its certificate, with https_spiffe' },
                    cert_file: { ...MaybeText, description: 'with https_web' },
                    key_file: MaybeText,
                    not_after: { ...MaybeTimestamp, description: 'of the certificate in use; null: there is none yet' },
                    problem: { ...MaybeText, description: 'why there is no newer certificate; null: nothing is wrong' },
                  },
                  { ...CLOSED, description: 'the bundle endpoint; null: there is none' },
                ),
              ),
              file: maybe(
                Type.Object(
                  {
                    path: Type.String(),
                    problem: { ...MaybeText, description: 'why it does not have the present document; null: it has' },
                    open_to: Type.Array(Type.String(), { description: 'other users that can change it' }),
                  },
                  { ...CLOSED, description: 'the file that has the document; null: there is none' },
                ),
              ),
            },
            CLOSED,
          ),
        ),
        description: 'the bundle that other trust domains fetch; null: it is not published',
      },
      attestors: Type.Array(
        Type.Object(
          { name: Type.String(), error: MaybeText },
          { ...CLOSED, description: 'error: why it does not work now; null: it works' },
        ),
      ),
      proc: maybe(Type.Object({ others_executables: Type.Boolean(), hidepid: MaybeText }, CLOSED)),
      disk: maybe(Type.Object({ free_bytes: Count, free_inodes: Count }, CLOSED)),
      descriptors: maybe(
        Type.Object(
          { open: Count, limit: Count, refused_connections: Count },
          {
            ...CLOSED,
            description: 'refused_connections: refused on the pipe since the start because all descriptors were in use',
          },
        ),
      ),
      unseen: Type.Array(Type.Object({ what: Type.String(), error: Type.String() }, CLOSED), {
        description: 'fields that are null because they could not be read',
      }),
      kernel: Type.Object(
        {
          pins_peers: { ...Type.Boolean(), description: 'the kernel says which process connected (SO_PEERPIDFD)' },
          no_pidfd_open: { ...MaybeText, description: 'why processes cannot be opened by pid; null: they can' },
        },
        CLOSED,
      ),
      unmapped: Type.Object(
        { uid: MaybeId, gid: MaybeId },
        {
          ...CLOSED,
          description:
            "the overflow ids, which stand for ids that the server's user namespace does not map; null: all are mapped",
        },
      ),
      replaced_programs: Type.Object(
        {
          count: Count,
          sample: Type.Array(
            Type.Object(
              { pid: Type.Integer(), uid: Type.Integer(), path: Type.String(), keeps_path: Type.Boolean() },
              CLOSED,
            ),
          ),
        },
        { ...CLOSED, description: 'callers whose program was deleted or replaced since it started' },
      ),
      ambiguous_labels: Type.Object(
        {
          count: Count,
          sample: Type.Array(Type.Object({ container: Type.String(), selector: Type.String() }, CLOSED)),
        },
        {
          ...CLOSED,
          description:
            'labels of containers whose key has a colon, and which therefore give no selector, although an entry asks for it',
        },
      ),
      ...AUTHORITIES.properties,
      revocation: Type.Object(
        {
          revoked: { ...Count, description: 'unexpired certificates that are revoked' },
          lists: Type.Array(Type.Object({ authority_id: Type.String(), next_update: Timestamp }, CLOSED), {
            description: 'revocation lists in the bundle',
          }),
          why_not: { ...MaybeText, description: 'why there can be no lists now; null: there can' },
        },
        CLOSED,
      ),
      last_issued_at: { ...MaybeTimestamp, description: 'of the newest issuance on record' },
      usage: Type.Array(
        Type.Object({ setting: Type.String(), owner: Type.String(), used: Count, limit: Count }, CLOSED),
        {
          description: 'for each limit, the user or container that is nearest to it',
        },
      ),
      unseen_callers: Type.Object(
        { count: Count, uid: Type.Union([Type.Integer(), Type.Null()]), last_at: MaybeTimestamp },
        { ...CLOSED, description: 'refused in the last day because the server does not see their pid namespace' },
      ),
      withheld: Type.Object(
        {
          count: Count,
          sample: Type.Array(
            Type.Object(
              {
                entry_id: Type.String(),
                spiffe_id: Type.String(),
                ...DECLARED,
                callers: { ...Count, description: 'connections that are open now' },
                pids: Type.Array(Type.Integer(), { description: 'pids of some of these callers' }),
                why: { ...MaybeText, description: 'why they count as processes in containers' },
                decisions: { ...Count, description: 'refusals and holds of the last day' },
                last_at: MaybeTimestamp,
              },
              CLOSED,
            ),
          ),
        },
        { ...CLOSED, description: 'entries that matching callers do not get because they are in containers' },
      ),
      unrendered: Type.Object(
        {
          count: Count,
          sample: Type.Array(
            Type.Object(
              {
                entry_id: Type.String(),
                spiffe_id: { ...Type.String(), description: 'the template' },
                ...DECLARED,
                why: Type.String(),
                callers: { ...Count, description: 'connections that are open now' },
                pids: Type.Array(Type.Integer(), { description: 'pids of some of these callers' }),
              },
              CLOSED,
            ),
          ),
        },
        { ...CLOSED, description: 'templates that connected callers match, but that are not rendered for them' },
      ),
      unreachable_users: Type.Array(
        Type.Object(
          {
            uid: Type.Integer(),
            pid: { ...MaybeId, description: 'a running process of that user; null: its account was looked at' },
            entry_id: Type.String(),
            spiffe_id: Type.String(),
            detail: Type.String(),
            fix: Type.String(),
            command: { ...MaybeText, description: 'the part of fix that is a command' },
          },
          CLOSED,
        ),
        { description: 'users that entries name and whose processes can not connect to the pipe' },
      ),
      relationships: Type.Object(
        {
          count: Count,
          troubled: Type.Integer({
            minimum: 0,
            description: 'those whose last fetch failed, or brought nothing to trust',
          }),
          sample: Type.Array(
            Type.Object(
              {
                trust_domain: Type.String(),
                state: Type.Enum(['failing', 'stale-bootstrap', 'revoked']),
                message: Type.Union([Type.String(), Type.Null()]),
                fix: Type.Union([Type.String(), Type.Null()]),
                expires_at: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], {
                  description: 'when the present bundle ends; null: there is none',
                }),
              },
              CLOSED,
            ),
          ),
        },
        { ...CLOSED, description: 'federation relationships' },
      ),
      unset_bundles: Type.Array(
        Type.Object(
          { trust_domain: Type.String(), entries: Count, entry_id: Type.String(), spiffe_id: Type.String() },
          CLOSED,
        ),
        { description: 'trust domains that entries federate with, and whose bundles are not set' },
      ),
      agent: {
        ...maybe(
          Type.Object(
            {
              state: Type.Enum(['starting', 'connected', 'away']),
              since: MaybeTimestamp,
              servers: Type.Array(Type.String(), { description: 'host:port of each, from the settings' }),
              server: {
                ...MaybeText,
                description: 'host:port of the one that is connected, or was last; null: none was',
              },
              kind: Type.Union([Type.Literal('sidekey'), Type.Literal('spire'), Type.Null()]),
              server_version: { ...MaybeText, description: 'of a Sidekey server' },
              problem: {
                ...MaybeText,
                description: 'why the server is away, or why the last request of the agent for itself failed',
              },
              spiffe_id: { ...MaybeText, description: 'of the agent; null: it has not joined yet' },
              svid_expires_at: { ...MaybeTimestamp, description: "of the agent's own SVID" },
              first_end_at: { ...MaybeTimestamp, description: 'when the first SVID in use by a workload ends' },
              joined_insecurely: {
                ...Type.Boolean(),
                description: 'the server was not verified when the agent joined (--insecure-bootstrap)',
              },
            },
            CLOSED,
          ),
        ),
        description: 'the connection of an agent to its server; null: this is a server',
      },
      entries: Type.Object(
        {
          total: Count,
          reserved: FAULTS,
          expired: FAULTS,
          unproducible: FAULTS,
          shadowed: FAULTS,
          'never-issued': FAULTS,
        },
        CLOSED,
      ),
    },
    CLOSED,
  ),
);

export type DoctorJson = Static<typeof DOCTOR>;
