/**
 * spiffe-helper's configuration file: all keys of version 0.11.0 and the former names of some.
 * @see https://github.com/spiffe/spiffe-helper/blob/v0.11.0/README.md
 */

import path from 'node:path';
import { type Problem, SidekeyError } from '../base/index.ts';
import { type HclObject, quoted, readHclFile } from '../hcl/index.ts';
import {
  type Argv,
  type FilesPlan,
  filesOf,
  type HealthPlan,
  modeProblem,
  nameProblem,
  readSignal,
  repeatedName,
  splitRecord,
} from '../svid-files/index.ts';
import { type Refuse, readSettings, type Settings, type SettingType, type Value } from './hcl-settings.ts';

export interface HelperConfig {
  readonly agentAddress: string | undefined;
  readonly plan: Omit<FilesPlan, 'owner'>;
  readonly isDaemon: boolean;
  readonly cmd: Argv | undefined;
  readonly renewSignal: NodeJS.Signals | undefined;
  /** Absolute. */
  readonly pidFile: string | undefined;
  readonly health: HealthPlan | undefined;
  /** About settings that have no effect, and former names. */
  readonly warnings: readonly string[];
}

const KEYS = {
  agent_address: 'string',
  cmd: 'string',
  cmd_args: 'string',
  pid_file_name: 'string',
  cert_dir: 'string',
  cert_file_mode: 'mode',
  key_file_mode: 'mode',
  jwt_bundle_file_mode: 'mode',
  jwt_svid_file_mode: 'mode',
  add_intermediates_to_bundle: 'boolean',
  include_federated_domains: 'boolean',
  omit_expired: 'boolean',
  renew_signal: 'string',
  daemon_mode: 'boolean',
  exit_when_ready: 'boolean',
  health_checks: 'object',
  hint: 'string',
  svid_file_name: 'string',
  svid_key_file_name: 'string',
  svid_bundle_file_name: 'string',
  jwt_svids: 'objects',
  jwt_bundle_file_name: 'string',
} as const satisfies Record<string, SettingType>;

const JWT_KEYS = {
  jwt_audience: 'string',
  jwt_extra_audiences: 'strings',
  jwt_svid_file_name: 'string',
} as const satisfies Record<string, SettingType>;

const HEALTH_KEYS = {
  listener_enabled: 'boolean',
  bind_port: 'number',
  liveness_path: 'string',
  readiness_path: 'string',
} as const satisfies Record<string, SettingType>;

/** Names of versions before 0.9, and their successors. */
const FORMER: Readonly<Record<string, keyof typeof KEYS>> = {
  agentAddress: 'agent_address',
  cmdArgs: 'cmd_args',
  certDir: 'cert_dir',
  renewSignal: 'renew_signal',
  svidFileName: 'svid_file_name',
  svidKeyFileName: 'svid_key_file_name',
  svidBundleFileName: 'svid_bundle_file_name',
  addIntermediatesToBundle: 'add_intermediates_to_bundle',
};

const MOST_PROBLEMS = 20;

/**
 * @param daemonMode of the command line; it beats that of the file
 * @throws ERR_CONFIG with `FILE:LINE` for each problem
 */
export async function readHelperConfig(file: string, daemonMode: boolean | undefined): Promise<HelperConfig> {
  const root = await readHclFile(file);
  const faults: { readonly line: number | undefined; readonly problem: string; readonly rule: string }[] = [];
  const config = readConfig(root, daemonMode, (line, problem, rule) => void faults.push({ line, problem, rule }));
  if (faults.length === 0) return config;
  // What the whole file lacks is perhaps there under a wrong name, so it comes last.
  const last = Number.POSITIVE_INFINITY;
  const problems = faults
    .sort((a, b) => (a.line ?? last) - (b.line ?? last))
    .slice(0, MOST_PROBLEMS)
    .map(({ line, ...fault }): Problem => ({ path: line === undefined ? file : `${file}:${line}`, ...fault }));
  const more = faults.length - problems.length;
  if (more > 0) problems.push({ path: file, problem: `there are ${more} more faults`, rule: 'mend these first' });
  throw SidekeyError.badInput(problems, 'ERR_CONFIG');
}

function readConfig(root: HclObject, daemonMode: boolean | undefined, refuse: Refuse): HelperConfig {
  const warnings: string[] = [];
  const settings = readSettings(root, KEYS, refuse, FORMER, (former, name) => {
    warnings.push(`${former} is the former name of ${name}: rename it`);
  });
  const { cmd, cmd_args, renew_signal, pid_file_name, daemon_mode, exit_when_ready } = settings;
  const isDaemon = daemonMode ?? daemon_mode?.value ?? exit_when_ready?.value !== true;
  const pidFile = text(pid_file_name);
  const signal = text(renew_signal) === undefined ? undefined : renew_signal;
  const renewSignal = signal && reading(signal, refuse, 'give a name such as SIGHUP', readSignal);
  if (pidFile !== undefined && signal === undefined) {
    refuse(pid_file_name!.line, 'pid_file_name has no effect without renew_signal', 'set both');
  }
  if (pidFile !== undefined && !isDaemon) {
    refuse(pid_file_name!.line, 'pid_file_name is set although daemon_mode is false', 'remove one of them');
  }
  if (!isDaemon) {
    for (const [name, value] of Object.entries({ cmd: text(cmd), renew_signal: text(renew_signal) })) {
      if (value !== undefined) warnings.push(`${name} has no effect, because daemon_mode is false`);
    }
  }
  const program = text(cmd);
  const args = cmd_args && reading(cmd_args, refuse, 'separate words by one blank, quote them by "', splitRecord);
  const { plan, health } = { plan: readPlan(settings, refuse), health: readHealth(settings.health_checks, refuse) };
  return {
    agentAddress: text(settings.agent_address),
    plan,
    isDaemon,
    cmd: program === undefined || !isDaemon ? undefined : [program, ...(args ?? [])],
    renewSignal,
    pidFile: pidFile === undefined ? undefined : path.resolve(pidFile),
    health,
    warnings,
  };
}

/** An empty text counts as not set, as for spiffe-helper. */
function text(setting: Value<string> | undefined): string | undefined {
  return setting === undefined || setting.value === '' ? undefined : setting.value;
}

function reading<T>({ value, line }: Value<string>, refuse: Refuse, rule: string, read: (text: string) => T) {
  try {
    return read(value);
  } catch (thrown) {
    refuse(line, (thrown as Error).message, rule);
    return undefined;
  }
}

const X509_NAMES = ['svid_file_name', 'svid_key_file_name', 'svid_bundle_file_name'] as const;

function readPlan(settings: Settings<typeof KEYS>, refuse: Refuse): Omit<FilesPlan, 'owner'> {
  const mode = (
    name: 'cert_file_mode' | 'key_file_mode' | 'jwt_bundle_file_mode' | 'jwt_svid_file_mode',
    by: number,
  ) => {
    const { value, line } = settings[name] ?? { value: 0, line: undefined };
    const problem = modeProblem('', value);
    if (problem !== undefined) refuse(line, `${name}: ${problem.problem}`, problem.rule);
    return value === 0 ? by : value;
  };
  const file = (setting: Value<string>, fileMode: number) => {
    const problem = nameProblem('', setting.value);
    if (problem !== undefined) refuse(setting.line, problem.problem, problem.rule);
    return { name: setting.value, mode: fileMode };
  };
  const certMode = mode('cert_file_mode', 0o644);
  const keyMode = mode('key_file_mode', 0o600);
  const bundleMode = mode('jwt_bundle_file_mode', 0o600);
  const jwtMode = mode('jwt_svid_file_mode', 0o600);
  const [certificate, key, bundle] = X509_NAMES.map((name) => {
    const setting = settings[name];
    return text(setting) === undefined ? undefined : setting;
  });
  const isX509 = certificate !== undefined && key !== undefined && bundle !== undefined;
  if (!isX509 && (certificate ?? key ?? bundle) !== undefined) {
    refuse((certificate ?? key ?? bundle)!.line, `not all of ${X509_NAMES.join(', ')} are set`, 'set all or none');
  }
  const jwtBundle = text(settings.jwt_bundle_file_name) === undefined ? undefined : settings.jwt_bundle_file_name;
  const plan: Omit<FilesPlan, 'owner'> = {
    directory: path.resolve(settings.cert_dir?.value ?? '.'),
    allowShared: true,
    choice: { hint: text(settings.hint) },
    x509: !isX509
      ? undefined
      : {
          certificate: file(certificate, certMode),
          key: file(key, keyMode),
          bundle: file(bundle, certMode),
          intermediatesInBundle: settings.add_intermediates_to_bundle?.value === true,
          federated: settings.include_federated_domains?.value === true,
          omitExpired: settings.omit_expired?.value === true,
        },
    jwts: (settings.jwt_svids?.value ?? []).flatMap((one) => readJwt(one, refuse, (name) => file(name, jwtMode))),
    jwtBundle: jwtBundle === undefined ? undefined : { file: file(jwtBundle, bundleMode), form: 'by-domain' },
  };
  const repeated = repeatedName(filesOf(plan));
  if (repeated !== undefined)
    refuse(undefined, `two files have the name ${quoted(repeated)}`, 'give each file its own name');
  if (filesOf(plan).length === 0 && certificate === undefined && key === undefined && bundle === undefined) {
    refuse(
      undefined,
      'there is nothing to write',
      `set ${X509_NAMES.join(', ')}, or jwt_svids, or jwt_bundle_file_name`,
    );
  }
  return plan;
}

function readJwt<F>(one: HclObject, refuse: Refuse, file: (name: Value<string>) => F) {
  const { jwt_audience, jwt_extra_audiences, jwt_svid_file_name } = readSettings(one, JWT_KEYS, refuse);
  const audience = text(jwt_audience);
  if (audience === undefined) refuse(one.line, 'jwt_audience is missing', 'each of jwt_svids has one');
  if (text(jwt_svid_file_name) === undefined) {
    refuse(one.line, 'jwt_svid_file_name is missing', 'each of jwt_svids has one');
    return [];
  }
  return [{ audiences: [audience ?? '', ...(jwt_extra_audiences?.value ?? [])], file: file(jwt_svid_file_name!) }];
}

const DEFAULT_PORT = 8081;

function readHealth(block: Value<HclObject> | undefined, refuse: Refuse): HealthPlan | undefined {
  if (block === undefined) return undefined;
  const settings = readSettings(block.value, HEALTH_KEYS, refuse);
  const { bind_port } = settings;
  const port = bind_port?.value || DEFAULT_PORT;
  if (port < 0 || port > 65_535) refuse(bind_port!.line, `bind_port: ${port} is no port`, 'a port is 1 to 65535');
  const place = (name: 'liveness_path' | 'readiness_path', byDefault: string) => {
    const value = text(settings[name]) ?? byDefault;
    if (!value.startsWith('/'))
      refuse(settings[name]!.line, `${name} has no slash at its beginning`, 'give /live or the like');
    return value;
  };
  const livenessPath = place('liveness_path', '/live');
  const readinessPath = place('readiness_path', '/ready');
  return settings.listener_enabled?.value === true ? { host: undefined, port, livenessPath, readinessPath } : undefined;
}
