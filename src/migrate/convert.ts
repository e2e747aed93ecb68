/** Sidekey's settings out of SPIRE's, and for each setting of SPIRE what becomes of it, or why not. */

import path from 'node:path';
import { nearest, type Problem, SidekeyError } from '../base/index.ts';
import { DOCKER_SOCKET, isKnownSetting, KNOWN_PATHS, ruleOf } from './rules.ts';
import { type SpireSetting, shownValue, withoutCredentials } from './settings.ts';

export interface SettingRow {
  readonly file: string;
  readonly line: number;
  readonly setting: string;
  /** For a person: secrets are left out. */
  readonly value: string;
  /** `caTtl: 24h`; empty: nothing. */
  readonly becomes: string;
  readonly why: string;
}

export interface Converted {
  readonly rows: readonly SettingRow[];
  /** The settings of Sidekey by their keys in the YAML file. */
  readonly config: ReadonlyMap<string, string>;
}

const PATH_KEYS = new Set(['upstreamCertFile', 'upstreamKeyFile', 'upstreamBundleFile', 'vaultCaFile', 'dockerSocket']);
/** The agent's settings that give way to the server's. */
const OF_SERVER_FIRST = new Set(['logLevel', 'logFormat']);
const UPSTREAM = /^plugins\.UpstreamAuthority\.(disk|vault)\b/;
const REFERENCE = /\$(?:\{|[A-Za-z_])/;

/** For how many unknown settings the nearest known one is looked for, which takes a fraction of a millisecond each. */
const MOST_MEANT = 100;

/**
 * @param settings those of server.conf, then those of agent.conf
 * @param base where relative paths begin: the directory in which SPIRE was started
 * @throws ERR_CONFIG if two settings contradict each other
 */
export function convertSettings(settings: readonly SpireSetting[], base: string): Converted {
  const config = new Map<string, string>();
  const from = new Map<string, SpireSetting>();
  const problems: Problem[] = [];
  let unknown = 0;
  const rows = settings.map((setting): SettingRow => {
    const rule = ruleOf(setting.path);
    const { file, line, path: name } = setting;
    const row = { file, line, setting: name, value: shownValue(setting, isKnownSetting(name)) };
    if (rule === undefined) {
      unknown += 1;
      return { ...row, becomes: '', why: whyUnknown(name, unknown <= MOST_MEANT) };
    }
    if (rule.key === undefined) return { ...row, becomes: '', why: rule.why };
    if ((setting.texts ?? []).some((text) => REFERENCE.test(text))) {
      return { ...row, becomes: '', why: 'it refers to an environment variable: give --expand-env, or the value' };
    }
    const [text = ''] = setting.texts ?? [];
    const read = setting.isList || text === '' ? rule.value?.('') : rule.value === undefined ? text : rule.value(text);
    if (read === undefined) {
      const isDefault = text === '' || text === 'false';
      const why = isDefault ? "it is SPIRE's default" : `Sidekey has no such value of ${rule.key}: its default counts`;
      return { ...row, becomes: '', why };
    }
    const isRelative = PATH_KEYS.has(rule.key) && !path.isAbsolute(read);
    const value = isRelative ? path.resolve(base, read) : read;
    const earlier = from.get(rule.key);
    if (earlier !== undefined && config.get(rule.key) !== value) {
      const isSettled = OF_SERVER_FIRST.has(rule.key) || earlier.path.startsWith(`${name}.`);
      if (isSettled) return { ...row, becomes: '', why: rule.why };
      const [now, before] = [value, config.get(rule.key)!].map(withoutCredentials);
      const what = `${rule.key} would be ${now}, and by ${earlier.file}:${earlier.line} ${before}`;
      problems.push({ path: `${file}:${line} ${name}`, problem: what, rule: 'both files are of one trust domain' });
    }
    config.set(rule.key, value);
    from.set(rule.key, setting);
    const where = isRelative ? `; the path is relative to ${base}, see --base` : '';
    return { ...row, becomes: `${rule.key}: ${withoutCredentials(value)}`, why: `${rule.why}${where}` };
  });
  if (problems.length > 0) throw SidekeyError.badInput(problems, 'ERR_CONFIG');
  const upstreams = new Set(settings.flatMap((one) => UPSTREAM.exec(one.path)?.[1] ?? []));
  if (upstreams.size === 1) config.set('upstream', [...upstreams][0]!);
  const hasDocker = settings.some((one) => one.path.startsWith('plugins.WorkloadAttestor.docker.'));
  if (hasDocker && !config.has('dockerSocket')) config.set('dockerSocket', DOCKER_SOCKET);
  const subject = subjectOf(settings);
  if (subject !== undefined) config.set('caSubject', subject);
  if (config.has('caKeyType') && !config.has('jwtKeyType')) config.set('jwtKeyType', config.get('caKeyType')!);
  const isSubject = (row: SettingRow) =>
    row.setting.startsWith('server.ca_subject.') && !/^(?:\[?\]?|\{\})$/.test(row.value);
  const shown = rows.map((row) =>
    isSubject(row) ? { ...row, becomes: `caSubject: ${subject}`, why: 'the same subject' } : row,
  );
  return { rows: shown, config };
}

function whyUnknown(name: string, mayBeMistyped: boolean): string {
  const near = mayBeMistyped ? nearest(name, KNOWN_PATHS) : undefined;
  return `SPIRE 1.13 has no such setting${near === undefined ? '' : `; did you mean ${near}?`}`;
}

/** `C=US,O=Example`. A comma in a value gets a backslash. */
function subjectOf(settings: readonly SpireSetting[]): string | undefined {
  const parts = (['C', 'O', 'CN'] as const).flatMap((type) => {
    const name = { C: 'country', O: 'organization', CN: 'common_name' }[type];
    const texts = settings.find((one) => one.path === `server.ca_subject.${name}`)?.texts ?? [];
    return texts.filter((text) => text !== '').map((text) => `${type}=${text.replaceAll(/[,+"<>;\\]/g, '\\$&')}`);
  });
  return parts.length === 0 ? undefined : parts.join(',');
}
