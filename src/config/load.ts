/** Loads the configuration of `sidekey serve`: a flag overrides a variable, a variable the file; all faults are reported at once. */

import { type Problem, SidekeyError } from '../base/index.ts';
import type { Surroundings } from './default-paths.ts';
import { federationProblems } from './federation-rules.ts';
import { type Flags, fromEnvironment, fromFlags, type Given } from './given.ts';
import { jwtProblems } from './jwt-rules.ts';
import { settingError } from './kinds.ts';
import { placeProblems } from './path-rules.ts';
import { nameProblems } from './sds-names.ts';
import type { ServeConfig } from './serve-config.ts';
import { flagOf, SETTING_KEYS, SETTINGS, type Setting, type SettingKey, variableOf } from './settings.ts';
import { tlsProblems } from './tls-rules.ts';
import { upstreamProblems } from './upstream-rules.ts';
import { fromYamlFile } from './yaml-file.ts';

export interface ConfigSources extends Surroundings {
  readonly flags: Flags;
  /** The base of relative paths in flags and variables. */
  readonly folder: string;
}

/** Reads the flags, the environment and, where one of them names it, the YAML file. @throws ERR_CONFIG with all problems */
export async function loadServeConfig(sources: ConfigSources): Promise<ServeConfig> {
  const flags = fromFlags(sources.flags, sources.folder);
  const environment = fromEnvironment(sources.env, sources.folder);
  const problems: Problem[] = [...flags.problems, ...environment.problems];
  const given = new Map([...environment.given, ...flags.given]);
  const values = new Map<SettingKey, unknown>();

  const settle = (key: SettingKey) => {
    try {
      values.set(key, readValue(key, given.get(key), sources, Object.fromEntries(values)));
    } catch (thrown) {
      problems.push(...problemsOf(thrown, given.get(key)?.where ?? flagOf(key)));
    }
  };
  settle('config');
  const file = values.get('config') as ServeConfig['config'];
  // If the file has faults, its settings are unknown, so missing settings are not reported.
  let wholeGiven = file !== undefined || !given.has('config');
  if (file !== undefined) {
    const yaml = await fromYamlFile(file, given.get('config')!.where);
    problems.push(...yaml.problems);
    wholeGiven = yaml.problems.length === 0;
    for (const [key, entry] of yaml.given) if (!given.has(key)) given.set(key, entry);
  }
  for (const key of SETTING_KEYS) if (key !== 'config' && (wholeGiven || given.has(key))) settle(key);

  const config = Object.fromEntries(values) as unknown as ServeConfig;
  problems.push(...placeProblems(config, (key) => given.get(key)?.where));
  problems.push(...nameProblems(config, (key) => given.get(key)?.where));
  if (wholeGiven) problems.push(...tlsProblems(config, (key) => given.get(key)?.where));
  problems.push(...jwtProblems(config, (key) => given.get(key)?.where, wholeGiven));
  problems.push(...federationProblems(config, (key) => given.get(key)?.where, wholeGiven));
  problems.push(...upstreamProblems(config, (key) => given.get(key)?.where, wholeGiven));
  if (config.watchEntries && config.entries === undefined && wholeGiven && !given.has('entries')) {
    const path = given.get('watchEntries')?.where ?? flagOf('watchEntries');
    problems.push({ path, problem: 'there is nothing to watch', rule: 'it goes with --entries FILE or DIR' });
  }
  if (problems.length > 0) throw SidekeyError.badInput(problems, 'ERR_CONFIG');
  return config;
}

function readValue(
  key: SettingKey,
  given: Given | undefined,
  sources: ConfigSources,
  settled: Partial<ServeConfig>,
): unknown {
  const { kind, fallback, optional }: Setting<unknown> = SETTINGS[key];
  if (given !== undefined) {
    const { texts, folder } = given;
    if (texts === undefined) throw settingError('its value is missing or not a plain value', 'give a plain value');
    if (texts.length !== 1 && kind.takes !== 'many')
      throw settingError(`it has ${texts.length} values`, 'give one value');
    return kind.read(texts, folder);
  }
  if (fallback?.from !== undefined && settled[fallback.from] === undefined) return undefined;
  const otherwise = fallback?.text(sources, settled);
  if (otherwise !== undefined) return kind.read([otherwise], sources.folder);
  if (kind.takes === 'many') return kind.read([], sources.folder);
  if (optional) return undefined;
  const problem =
    fallback?.needs === undefined
      ? 'it is not set'
      : `it is not set, and its default needs ${fallback.needs}, which is not set to an absolute path (as after su, sudo or cron)`;
  const rule = `give ${flagOf(key)}, ${variableOf(key)} or ${key} in the YAML file`;
  throw settingError(problem, rule);
}

function problemsOf(thrown: unknown, path: string): Problem[] {
  if (thrown instanceof SidekeyError) return thrown.problems.map((problem) => ({ ...problem, path }));
  throw thrown;
}
