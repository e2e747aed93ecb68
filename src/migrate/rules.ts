/** What becomes of each setting of SPIRE 1.13. */

import { formatDuration, parseGoDuration } from '../base/index.ts';

export interface Rule {
  /** The setting of Sidekey; undefined: it becomes nothing. */
  readonly key?: string;
  /** Its value; undefined if this value of SPIRE has none. By default the text itself. */
  readonly value?: (text: string) => string | undefined;
  /** The reason, or what else is to be known. */
  readonly why: string;
}

const SAME = 'the same setting';
const same = (key: string, why = SAME): Rule => ({ key, why });
const none = (why: string): Rule => ({ why });
const duration = (key: string, why = SAME): Rule => ({
  key,
  value: (text) => {
    const seconds = (parseGoDuration(text) ?? 0) / 1_000;
    return Number.isSafeInteger(seconds) && seconds > 0 ? formatDuration(seconds) : undefined;
  },
  why,
});
const oneOf = (key: string, values: Readonly<Record<string, string>>, why = SAME): Rule => ({
  key,
  value: (text) => (Object.hasOwn(values, text.toLowerCase()) ? values[text.toLowerCase()] : undefined),
  why,
});
const ifTrue = (key: string, value: string, why: string): Rule => ({
  key,
  value: (text) => (text === 'true' ? value : undefined),
  why,
});
const KEY_TYPES = { 'ec-p256': 'ec-p256', 'ec-p384': 'ec-p384', 'rsa-2048': 'rsa-2048', 'rsa-4096': 'rsa-4096' };
const LEVELS = {
  ...{ trace: 'trace', debug: 'debug', info: 'info', warn: 'warn', warning: 'warn', error: 'error' },
  ...{ fatal: 'fatal', panic: 'fatal' },
};
export const DOCKER_SOCKET = '/var/run/docker.sock';
const socketPath = (text: string) => text.replace(/^unix:(?:\/\/)?/, '') || undefined;

const NO_AGENT = 'there is no agent: one process serves this host, so nothing attests to a server or syncs with it';
const NO_SERVER_PORT =
  'there are no agents on other hosts that would connect; REST is on a Unix socket, and on TCP with adminListen';
const NO_CACHE = 'SVIDs and entries are in one process: there is no cache to set';
const NO_PROFILING = 'Sidekey has no profiling port; /metrics has times and memory';
const LOG_OUT = 'the log goes to stdout: let systemd or the container engine keep it';
const METRICS = 'metrics are at /metrics of the admin API, for Prometheus alone';
const HEALTH =
  '/healthz and /readyz are on the admin API, grpc.health.v1 is on the pipe; sidekey healthcheck asks for it';
const BUNDLE_ENDPOINT =
  'Sidekey has --federation-listen: tell the others its URL and SPIFFE ID, and give them its bundle (docs/federation.md)';
const FEDERATES =
  'the next steps set the bundles; sidekey federation create, or sidekey apply -f federation.json, lets them be fetched again';

/** By the path of the setting in server.conf. */
export const SERVER_RULES: Readonly<Record<string, Rule>> = {
  'server.trust_domain': same('trustDomain', 'both servers are one trust domain'),
  'server.default_x509_svid_ttl': duration('x509SvidTtl'),
  'server.default_jwt_svid_ttl': duration('jwtSvidTtl'),
  'server.ca_ttl': duration('caTtl', 'the lifetime of the intermediate that signs the SVIDs'),
  'server.ca_key_type': oneOf('caKeyType', KEY_TYPES, 'SPIRE uses it for JWT keys too, unless jwt_key_type is set'),
  'server.jwt_key_type': oneOf('jwtKeyType', KEY_TYPES),
  'server.jwt_issuer': same('jwtIssuer', 'has to be a URL; serve --check says if it is not'),
  'server.log_level': oneOf('logLevel', LEVELS),
  'server.log_format': oneOf('logFormat', { text: 'text', json: 'json' }),
  'server.log_file': none(LOG_OUT),
  'server.log_source_location': none('log lines do not have it'),
  'server.data_dir': none('Sidekey has a data directory of its own (dataDir): /var/lib/sidekey as root'),
  'server.socket_path': none('the admin API has a socket of its own (adminSocket): admin.sock in the data directory'),
  'server.bind_address': none(NO_SERVER_PORT),
  'server.bind_port': none(NO_SERVER_PORT),
  'server.admin_ids': none('administrators use tokens with roles instead of SPIFFE IDs: sidekey token create'),
  'server.agent_ttl': none(NO_AGENT),
  'server.audit_log_enabled': none('the audit is always on: sidekey audit list'),
  'server.ratelimit.attestation': none(NO_AGENT),
  'server.ratelimit.signing': none('limits are per user and container of this host, see docs/limits.md'),
  'server.prune_attested_nodes_expired_for': none(NO_AGENT),
  'server.prune_tofu_nodes': none(NO_AGENT),
  'server.max_attested_node_info_staleness': none(NO_AGENT),
  'server.profiling_enabled': none(NO_PROFILING),
  'server.profiling_port': none(NO_PROFILING),
  'server.profiling_freq': none(NO_PROFILING),
  'server.profiling_names': none(NO_PROFILING),
  'server.experimental.cache_reload_interval': none(NO_CACHE),
  'server.experimental.full_cache_reload_interval': none(NO_CACHE),
  'server.experimental.events_based_cache': none(NO_CACHE),
  'server.experimental.prune_events_older_than': none(NO_CACHE),
  'server.experimental.event_timeout': none(NO_CACHE),
  'server.experimental.sql_transaction_timeout': none(NO_CACHE),
  'server.experimental.require_pq_kem': none('no port of Sidekey talks to other hosts for SPIRE'),
  'server.experimental.named_pipe_name': none('it is for Windows'),
  'server.experimental.feature_flags': none('they switch parts of SPIRE'),
  'server.experimental.auth_opa_policy_engine': none('access is decided by the roles of tokens: sidekey token create'),
};

/** By the path of the setting in agent.conf. */
export const AGENT_RULES: Readonly<Record<string, Rule>> = {
  'agent.trust_domain': same('trustDomain', 'both servers are one trust domain'),
  'agent.socket_path': none('the pipe has another path (socket), because both run until the last Envoy has moved'),
  'agent.data_dir': none(NO_AGENT),
  'agent.admin_socket_path': none(
    'the admin API has a socket of its own; there is no Debug and no Delegated Identity API',
  ),
  'agent.authorized_delegates': none('there is no Delegated Identity API'),
  'agent.server_address': none(NO_AGENT),
  'agent.server_port': none(NO_AGENT),
  'agent.join_token': none(NO_AGENT),
  'agent.join_token_file': none(NO_AGENT),
  'agent.insecure_bootstrap': none(NO_AGENT),
  'agent.retry_bootstrap': none(NO_AGENT),
  'agent.rebootstrap_mode': none(NO_AGENT),
  'agent.rebootstrap_delay': none(NO_AGENT),
  'agent.trust_bundle_path': none(NO_AGENT),
  'agent.trust_bundle_url': none(NO_AGENT),
  'agent.trust_bundle_format': none(NO_AGENT),
  'agent.trust_bundle_unix_socket': none(NO_AGENT),
  'agent.workload_x509_svid_key_type': oneOf('x509SvidKeyType', { 'ec-p256': 'ec-p256', 'rsa-2048': 'rsa-2048' }),
  'agent.allow_unauthenticated_verifiers': ifTrue(
    ...(['bundleFor', 'anyone', 'callers without an identity get the bundle'] as const),
  ),
  'agent.allowed_foreign_jwt_claims': none('validation gives no further claims of tokens of other domains'),
  'agent.availability_target': none('SVIDs are renewed at half of their life: set a longer TTL instead'),
  'agent.x509_svid_cache_max_size': none(NO_CACHE),
  'agent.jwt_svid_cache_max_size': none('cached tokens are limited per SPIFFE ID: maxCachedJwtSvidsPerId'),
  'agent.log_level': oneOf('logLevel', LEVELS, "the server's counts, if both are set"),
  'agent.log_format': oneOf('logFormat', { text: 'text', json: 'json' }, "the server's counts, if both are set"),
  'agent.log_file': none(LOG_OUT),
  'agent.log_source_location': none('log lines do not have it'),
  'agent.sds.default_svid_name': same('sdsDefaultName'),
  'agent.sds.default_bundle_name': same('sdsBundleName'),
  'agent.sds.default_all_bundles_name': same('sdsAllBundlesName'),
  'agent.sds.disable_spiffe_cert_validation': ifTrue('disableSpiffeCertValidation', 'true', SAME),
  'agent.profiling_enabled': none(NO_PROFILING),
  'agent.profiling_port': none(NO_PROFILING),
  'agent.profiling_freq': none(NO_PROFILING),
  'agent.profiling_names': none(NO_PROFILING),
  'agent.experimental.sync_interval': none(NO_AGENT),
  'agent.experimental.use_sync_authorized_entries': none(NO_AGENT),
  'agent.experimental.named_pipe_name': none('it is for Windows'),
  'agent.experimental.admin_named_pipe_name': none('it is for Windows'),
  'agent.experimental.require_pq_kem': none(NO_AGENT),
  'agent.experimental.feature_flags': none('they switch parts of SPIRE'),
};

const DISK = 'plugins.UpstreamAuthority.disk.plugin_data';
const VAULT = 'plugins.UpstreamAuthority.vault.plugin_data';
const VAULT_LOGIN =
  'give the credentials in files: vaultTokenFile, or vaultApproleRoleIdFile and vaultApproleSecretIdFile';
const UNIX = 'plugins.WorkloadAttestor.unix';
const DOCKER = 'plugins.WorkloadAttestor.docker';

/** By the path of the setting of a plugin. */
const PLUGIN_RULES: Readonly<Record<string, Rule>> = {
  [`${DISK}.cert_file_path`]: same('upstreamCertFile', 'the same upstream authority: peers trust both without more'),
  [`${DISK}.key_file_path`]: same('upstreamKeyFile', 'the same upstream authority'),
  [`${DISK}.bundle_file_path`]: same('upstreamBundleFile', 'the same upstream authority'),
  [`${VAULT}.vault_addr`]: same('vaultAddr', `the same upstream authority; ${VAULT_LOGIN}`),
  [`${VAULT}.pki_mount_point`]: same('vaultMount', 'the same upstream authority'),
  [`${VAULT}.namespace`]: same('vaultNamespace', 'the same upstream authority'),
  [`${VAULT}.ca_cert_path`]: same('vaultCaFile', 'the same upstream authority'),
  [UNIX]: none('selectors of the type unix are always there'),
  [`${UNIX}.plugin_data`]: none('selectors of the type unix are always there'),
  [`${UNIX}.plugin_data.discover_workload_path`]: none('unix:path and unix:sha256 are there if an entry asks for them'),
  [`${UNIX}.plugin_data.workload_size_limit`]: none(
    'a program of any size is hashed once, if an entry asks for its hash',
  ),
  [DOCKER]: { key: 'dockerSocket', value: () => DOCKER_SOCKET, why: "SPIRE's default socket" },
  [`${DOCKER}.plugin_data`]: { key: 'dockerSocket', value: () => DOCKER_SOCKET, why: "SPIRE's default socket" },
  [`${DOCKER}.plugin_data.docker_socket_path`]: { key: 'dockerSocket', value: socketPath, why: SAME },
  [`${DOCKER}.plugin_data.docker_version`]: none('the version of the API is negotiated'),
  [`${DOCKER}.plugin_data.container_id_cgroup_matchers`]: none('containers are found by all known layouts of cgroups'),
  [`${DOCKER}.plugin_data.use_new_container_locator`]: none('containers are found by all known layouts of cgroups'),
  [`${DOCKER}.plugin_data.verbose_container_locator_logs`]: none(
    'sidekey explain --pid says how the container was found',
  ),
};

/** By the type of a plugin, for what has no rule of its own; `.name` for one plugin. */
const PLUGIN_TYPES: Readonly<Record<string, string>> = {
  DataStore: "Sidekey's database is SQLite in its data directory; entries come from the file of entries",
  KeyManager: 'keys are files in the data directory, encrypted with keyPassphraseFile; those of SPIRE stay with SPIRE',
  NodeAttestor: NO_AGENT,
  SVIDStore: 'SVIDs go to the workloads of this host alone',
  Notifier: 'proxies and streams get each bundle as it changes; sidekey bundle show writes it',
  BundlePublisher: 'publish the output of sidekey bundle show yourself',
  CredentialComposer: 'SVIDs have the fields of their entry; other programs cannot change them',
  'UpstreamAuthority.disk': 'the files are read again at each signature',
  'UpstreamAuthority.vault': VAULT_LOGIN,
  UpstreamAuthority:
    'Sidekey has no such upstream; a program of yours may sign instead (upstream: command). Until then it has an own root, and carries those of SPIRE',
  'WorkloadAttestor.systemd': 'selectors of the type systemd are always there, where systemd runs',
  'WorkloadAttestor.docker': 'Sidekey does not have this option',
  WorkloadAttestor: 'Sidekey has no such attestor: entries with its selectors are not taken',
};

/** The rule of a setting; undefined if SPIRE has no such setting. */
export function ruleOf(path: string): Rule | undefined {
  const plain = path.replaceAll(/\[\d+\]/g, '');
  const known = SERVER_RULES[plain] ?? AGENT_RULES[plain] ?? PLUGIN_RULES[plain];
  if (known !== undefined) return known;
  const [top, second = '', third = ''] = plain.split('.');
  if (top === 'plugins') {
    const why = PLUGIN_TYPES[`${second}.${third}`] ?? PLUGIN_TYPES[second];
    return why === undefined ? undefined : none(why);
  }
  if (top === 'telemetry') return none(METRICS);
  if (top === 'health_checks') return none(HEALTH);
  if (plain.startsWith('server.ca_subject.')) return none('part of caSubject');
  if (plain.startsWith('server.federation.bundle_endpoint')) return none(BUNDLE_ENDPOINT);
  if (plain.startsWith('server.federation.federates_with')) return none(FEDERATES);
  const group = /^((?:server|agent)\.experimental\.(?:feature_flags|auth_opa_policy_engine))\./.exec(plain)?.[1];
  return group === undefined ? undefined : (SERVER_RULES[group] ?? AGENT_RULES[group]);
}

/** Whether the name is that of a setting of SPIRE. A plugin's settings count if they have a rule of their own. */
export function isKnownSetting(path: string): boolean {
  const plain = path.replaceAll(/\[\d+\]/g, '');
  return plain.startsWith('plugins.') ? Object.hasOwn(PLUGIN_RULES, plain) : ruleOf(plain) !== undefined;
}

/** All names of settings, for what is mistyped. */
export const KNOWN_PATHS: readonly string[] = [SERVER_RULES, AGENT_RULES, PLUGIN_RULES].flatMap(Object.keys);
