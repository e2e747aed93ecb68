/**
 * Every metric of `/metrics`. docs/metrics.md has the same table; a test compares the two, and both with the output.
 *
 * Labels have few values, which a caller cannot choose: no SPIFFE ID, node id, pid or name of a secret.
 * @see https://prometheus.io/docs/practices/naming/
 */

import { COUNTERS, type CounterName } from '../telemetry/index.ts';

export interface Family {
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** The unit of its values: `seconds`, `bytes` or `ratio`; empty for numbers of things. */
  readonly unit: 'seconds' | 'bytes' | 'ratio' | '';
  readonly labels: readonly string[];
  readonly meaning: string;
}

function family(type: Family['type'], unit: Family['unit'], labels: readonly string[], meaning: string): Family {
  return { type, unit, labels, meaning };
}

const STREAM = ['service', 'variant'];
const ISSUED = ['kind', 'key_type'];
const AUTHORITY = ['role', 'state'];

const OWN = {
  sidekey_build_info: family('gauge', '', ['version', 'node'], 'always 1; the versions of Sidekey and of its Node'),
  sidekey_ready: family('gauge', '', ['part'], '1 if this part of the server is ready, as /readyz says'),

  sidekey_svids_issued_total: family('counter', '', ISSUED, 'SVIDs issued and recorded'),
  sidekey_issuance_failures_total: family('counter', '', ISSUED, 'requests for an SVID that failed'),
  sidekey_issuance_duration_seconds: family(
    'histogram',
    'seconds',
    ISSUED,
    'from the request for an SVID to its record on disk, with the time in the queue',
  ),
  sidekey_jwt_svids_total: family(
    'counter',
    '',
    ['result'],
    'requests for a JWT-SVID: issued (a new one), cached (given out again), refused (audiences or a limit), failed',
  ),
  sidekey_jwt_svid_issuance_duration_seconds: family(
    'histogram',
    'seconds',
    [],
    'from the request for a new JWT-SVID to its record on disk, with the time in the queue',
  ),
  sidekey_svids_in_use: family('gauge', '', [], 'SVIDs that streams use and that are kept fresh'),
  sidekey_svid_soonest_expiry_timestamp_seconds: family(
    'gauge',
    'seconds',
    [],
    'when the first of the SVIDs in use ends; SVIDs that end with their entry are left out, here and in the next',
  ),
  sidekey_svid_least_life_left_ratio: family(
    'gauge',
    'ratio',
    [],
    'the smallest part of its life that an SVID in use has left; renewals begin at about 0.5',
  ),

  sidekey_connections: family('gauge', '', [], 'open connections on the agent socket'),
  sidekey_streams: family('gauge', '', STREAM, 'open streams'),
  sidekey_streams_opened_total: family('counter', '', STREAM, 'streams opened'),
  sidekey_pushes_total: family('counter', '', STREAM, 'responses sent on streams'),
  sidekey_acks_total: family(
    'counter',
    '',
    STREAM,
    'responses acknowledged by clients (ACK); the Workload API has no answers',
  ),
  sidekey_nacks_total: family('counter', '', STREAM, 'responses rejected by clients (NACK)'),
  sidekey_ack_duration_seconds: family('histogram', 'seconds', STREAM, 'from a response to its ACK'),
  sidekey_fetches_total: family(
    'counter',
    '',
    ['result'],
    'FetchSecrets by result: found, nothing, refused (invalid or over a limit), failed',
  ),
  sidekey_names_held: family(
    'gauge',
    '',
    ['reason', 'had_secret'],
    'names held now; had_secret is true if the client was sent the secret before and may still use it',
  ),
  sidekey_holds_total: family('counter', '', ['reason'], 'holds of names, counted again for each new reason'),

  sidekey_attestations_total: family(
    'counter',
    '',
    ['result'],
    'attestations of callers: ok, failed (an attestor), gone, changed, unattestable',
  ),
  sidekey_attestor_duration_seconds: family(
    'histogram',
    'seconds',
    ['attestor', 'result'],
    'one attestor on one caller: ok, failed, timeout',
  ),

  sidekey_authorities: family('gauge', '', AUTHORITY, 'authorities that have not ended'),
  sidekey_authority_expiry_timestamp_seconds: family('gauge', 'seconds', AUTHORITY, 'when the first of them ends'),
  sidekey_authority_lifetime_seconds: family('gauge', 'seconds', AUTHORITY, 'the whole life of that authority'),
  sidekey_rotations_total: family('counter', '', ['role'], 'authorities that began to sign'),
  sidekey_authorities_tainted_total: family('counter', '', ['role'], 'authorities declared tainted'),
  sidekey_rotation_in_progress: family('gauge', '', [], '1 while a new root is published and does not sign yet'),
  sidekey_rotation_start_timestamp_seconds: family('gauge', 'seconds', [], 'when that root was published'),
  sidekey_rotation_due_timestamp_seconds: family(
    'gauge',
    'seconds',
    [],
    'from when it signs if all proxies have acknowledged the bundle with it; later, it waits for proxies',
  ),
  sidekey_upstream_problem: family('gauge', '', [], 'with an upstream authority: 1 if it cannot sign now'),
  sidekey_agents: family('gauge', '', ['state'], 'agents of other hosts: active, expired, banned'),
  sidekey_agents_attached: family('gauge', '', [], 'agents of Sidekey that are attached now'),
  sidekey_agents_waiting: family(
    'gauge',
    '',
    [],
    'attached agents with streams that have not acknowledged the bundle of the trust domain',
  ),
  sidekey_agent_attestations_total: family('counter', '', ['result'], 'attestations of agents: ok, refused'),
  sidekey_agent_svids_total: family(
    'counter',
    '',
    ['result'],
    'SVIDs for agents and for their workloads: ok, refused (a bad CSR, an entry that the agent does not have, or a failure)',
  ),
  sidekey_agent_denials_total: family('counter', '', ['reason'], 'calls on the agent port that were denied'),
  sidekey_agent_connections_refused_total: family(
    'counter',
    '',
    ['reason'],
    'connections that the agent port closed before any call',
  ),
  sidekey_uplink_connected: family('gauge', '', [], 'on an agent: 1 if it is connected to its server'),
  sidekey_uplink_svid_expiry_timestamp_seconds: family('gauge', 'seconds', [], 'on an agent: when its own SVID ends'),
  sidekey_revocations: family('gauge', '', [], 'certificates that are revoked and have not ended'),
  sidekey_revocation_lists: family('gauge', '', [], 'revocation lists in the own bundle, one for each authority'),
  sidekey_revocations_unlisted: family(
    'gauge',
    '',
    [],
    '1 while certificates are revoked and no list has them, so that they are accepted',
  ),

  sidekey_bundles: family('gauge', '', ['kind'], 'bundles: own, and foreign (those of other trust domains)'),
  sidekey_bundle_authorities: family('gauge', '', ['kind'], 'X.509 authorities in these bundles'),
  sidekey_bundle_sequence_number: family('gauge', '', [], 'the sequence number of the own bundle'),
  sidekey_published_bundle_sequence_number: family(
    'gauge',
    '',
    [],
    'spiffe_sequence of the bundle that other trust domains fetch',
  ),
  sidekey_bundle_endpoint_requests_total: family(
    'counter',
    '',
    ['result'],
    'to the bundle endpoint: ok (got the bundle), refused (another path or method), tls (handshake failed), crowded (closed at the maximum of connections)',
  ),
  sidekey_bundle_endpoint_certificate_expiry_timestamp_seconds: family(
    'gauge',
    'seconds',
    [],
    'when the certificate of the bundle endpoint ends',
  ),
  sidekey_bundle_endpoint_certificate_problem: family(
    'gauge',
    '',
    [],
    '1 while that can not be replaced by a newer one',
  ),
  sidekey_published_file_writes_total: family(
    'counter',
    '',
    ['result'],
    'writes of the file with the published bundle: ok, failed',
  ),
  sidekey_published_file_problem: family('gauge', '', [], '1 while that file does not have the present bundle'),
  sidekey_federation_relationships: family(
    'gauge',
    '',
    ['state'],
    'federation relationships: new (not fetched since the start), fresh, failing, stale-bootstrap, revoked',
  ),
  sidekey_federation_fetches_total: family(
    'counter',
    '',
    ['result'],
    'fetches of the bundles of other trust domains: changed, unchanged, or the reason of the failure',
  ),
  sidekey_federation_oldest_fetch_timestamp_seconds: family(
    'gauge',
    'seconds',
    [],
    'of all relationships fetched since the start, when the one whose last success is longest ago was fetched',
  ),
  sidekey_federation_most_failures: family(
    'gauge',
    '',
    [],
    'failed fetches since its last success, of the relationship that has most',
  ),
  sidekey_bundle_soonest_expiry_timestamp_seconds: family(
    'gauge',
    'seconds',
    ['kind'],
    'when the first of these bundles ends; a bundle ends with the last of its authorities',
  ),
  sidekey_bundle_oldest_update_timestamp_seconds: family(
    'gauge',
    'seconds',
    ['kind'],
    'when the bundle that is unchanged for longest was changed',
  ),

  sidekey_entries: family('gauge', '', [], 'entries, expired ones too'),
  sidekey_aliases: family('gauge', '', [], 'aliases'),
  sidekey_store_duration_seconds: family(
    'histogram',
    'seconds',
    ['operation'],
    'transactions of the database: read, write (waits for the disk), record (a write that a power cut may lose)',
  ),
  sidekey_store_failures_total: family('counter', '', ['operation'], 'transactions that failed'),
  sidekey_database_bytes: family('gauge', 'bytes', [], 'size of the database with its write-ahead log'),
  sidekey_disk_free_bytes: family('gauge', 'bytes', [], 'free space of the file system of the data directory'),

  sidekey_queue_length: family(
    'gauge',
    '',
    ['queue'],
    'registry_writes: writes that run or wait; pushes: streams that wait to send; signing: SVIDs that are not recorded yet',
  ),
  sidekey_deferred_work_total: family(
    'counter',
    '',
    [],
    "pieces of callers' work that waited for their owner's next turn of the event loop",
  ),
  sidekey_limit_hits_total: family(
    'counter',
    '',
    ['limit'],
    'how often a limit refused, ended, dropped or left out something',
  ),
  sidekey_limit_usage_ratio: family(
    'gauge',
    'ratio',
    ['limit'],
    'use of a limit by the owner that is nearest to it: 1 is all',
  ),
  sidekey_callers_memory_bytes: family('gauge', 'bytes', [], 'memory charged to callers'),
  sidekey_callers_memory_limit_bytes: family('gauge', 'bytes', [], 'the limit of that'),

  sidekey_admin_requests_total: family(
    'counter',
    '',
    ['route', 'method', 'status'],
    'requests to the admin API; route is the pattern of the path, and none for other paths',
  ),
  sidekey_log_lines_total: family('counter', '', ['level'], 'lines logged'),
  sidekey_log_lines_dropped_total: family(
    'counter',
    '',
    ['reason'],
    'lines left out: owner_budget (a caller caused too many), output (stdout did not take them)',
  ),

  sidekey_event_loop_lag_seconds: family('histogram', 'seconds', [], 'how late the event loop was, ten times a second'),
  sidekey_event_loop_active_seconds_total: family('counter', 'seconds', [], 'time that the event loop worked'),
  sidekey_heap_used_bytes: family('gauge', 'bytes', [], "JavaScript's heap in use"),
  sidekey_heap_limit_bytes: family('gauge', 'bytes', [], 'the limit of that'),
  process_cpu_seconds_total: family('counter', 'seconds', [], 'processor time of the process'),
  process_resident_memory_bytes: family('gauge', 'bytes', [], 'resident memory of the process'),
  process_start_time_seconds: family('gauge', 'seconds', [], 'when the process started'),
  process_open_fds: family('gauge', '', [], 'open file descriptors'),
  process_max_fds: family('gauge', '', [], 'the limit of that (RLIMIT_NOFILE)'),
} as const;

type CountedName = `sidekey_${CounterName}`;

const COUNTED = Object.fromEntries(
  Object.entries(COUNTERS).map(([name, meaning]) => [`sidekey_${name}`, family('counter', '', [], meaning)]),
) as Record<CountedName, Family>;

export type FamilyName = keyof typeof OWN | CountedName;

export const FAMILIES: Readonly<Record<FamilyName, Family>> = { ...OWN, ...COUNTED };
