/** Loads the configuration of a server or an agent: a flag overrides a variable, a variable the file; all faults are reported at once. */

import { type Problem, SidekeyError } from '../base/index.ts';
import type { AgentConfig } from './agent-config.ts';
import { agentProblems } from './agent-rules.ts';
import { AGENT_SETTINGS } from './agent-settings.ts';
import type { Surroundings } from './default-paths.ts';
import { federationProblems } from './federation-rules.ts';
import { type Flags, fromEnvironment, fromFlags, type Given } from './given.ts';
import { jwtProblems } from './jwt-rules.ts';
import { settingError } from './kinds.ts';
import { placeProblems } from './path-rules.ts';
import { nameProblems } from './sds-names.ts';
import type { ServeConfig } from './serve-config.ts';
import { flagOf, SERVE_SETTINGS, type Setting, type SettingsTable, variableOf } from './settings.ts';
import { tlsProblems } from './tls-rules.ts';
import { upstreamProblems } from './upstream-rules.ts';
import { fromYamlFile } from './yaml-file.ts';

export interface ConfigSources extends Surroundings {
  readonly flags: Flags;
  /** The base of relative paths in flags and variables. */
  readonly folder: string;
}

/** What was read, and what is wrong with it. */
interface Settled {
  readonly values: Readonly<Record<string, unknown>>;
  readonly problems: readonly Problem[];
  /** False if a file has faults: its settings are unknown, so missing settings are not reported. */
  readonly wholeGiven: boolean;
  /** The setting as its user wrote it; undefined if it has its default. */
  readonly where: (key: string) => string | undefined;
}

/** Reads the flags, the environment and, where one of them names it, the YAML file. */
async function settleAll(table: SettingsTable, sources: ConfigSources): Promise<Settled> {
  const flags = fromFlags(table, sources.flags, sources.folder);
  const environment = fromEnvironment(table, sources.env, sources.folder);
  const problems: Problem[] = [...flags.problems, ...environment.problems];
  const given = new Map([...environment.given, ...flags.given]);
  const values = new Map<string, unknown>();

  const settle = (key: string) => {
    try {
      const setting = table.settings[key]!;
      values.set(key, readValue([key, setting], given.get(key), sources, Object.fromEntries(values)));
    } catch (thrown) {
      problems.push(...problemsOf(thrown, given.get(key)?.where ?? flagOf(key)));
    }
  };
  settle('config');
  const file = values.get('config') as string | undefined;
  let wholeGiven = file !== undefined || !given.has('config');
  if (file !== undefined) {
    const yaml = await fromYamlFile(table, file, given.get('config')!.where);
    problems.push(...yaml.problems);
    wholeGiven = yaml.problems.length === 0;
    for (const [key, entry] of yaml.given) if (!given.has(key)) given.set(key, entry);
  }
  for (const key of Object.keys(table.settings)) {
    if (key !== 'config' && (wholeGiven || given.has(key))) settle(key);
  }
  return { values: Object.fromEntries(values), problems, wholeGiven, where: (key) => given.get(key)?.where };
}

/** The settings of a server. @throws ERR_CONFIG with all problems */
export async function loadServeConfig(sources: ConfigSources): Promise<ServeConfig> {
  const { values, problems: first, wholeGiven, where } = await settleAll(SERVE_SETTINGS, sources);
  const config = values as unknown as ServeConfig;
  const problems = [...first, ...placeProblems(config, where), ...nameProblems(config, where)];
  if (wholeGiven) problems.push(...tlsProblems(config, where));
  problems.push(...jwtProblems(config, where, wholeGiven));
  problems.push(...federationProblems(config, where, wholeGiven));
  problems.push(...upstreamProblems(config, where, wholeGiven));
  if (config.watchEntries && config.entries === undefined && wholeGiven && where('entries') === undefined) {
    const path = where('watchEntries') ?? flagOf('watchEntries');
    problems.push({ path, problem: 'there is nothing to watch', rule: 'it goes with --entries FILE or DIR' });
  }
  if (problems.length > 0) throw SidekeyError.badInput(problems, 'ERR_CONFIG');
  return config;
}

/** The settings of an agent. @throws ERR_CONFIG with all problems */
export async function loadAgentConfig(sources: ConfigSources): Promise<AgentConfig> {
  const { values, problems: first, where } = await settleAll(AGENT_SETTINGS, sources);
  const config = values as unknown as AgentConfig;
  const problems = [...first, ...placeProblems(config, where), ...nameProblems(config, where)];
  problems.push(...agentProblems(config, where));
  if (problems.length > 0) throw SidekeyError.badInput(problems, 'ERR_CONFIG');
  return config;
}

function readValue(
  [key, { kind, fallback, optional }]: readonly [string, Setting<unknown>],
  given: Given | undefined,
  sources: ConfigSources,
  settled: Readonly<Record<string, unknown>>,
): unknown {
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
