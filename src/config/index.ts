/** The settings of `serve` and `agent run`: their tables, how they are read, and the default paths. */

export type { AgentConfig } from './agent-config.ts';
export { AGENT_SETTINGS } from './agent-settings.ts';
export {
  adminSocketIn,
  defaultAgentDataDir,
  defaultDataDir,
  defaultSocket,
  formerAdminSocket,
  SYSTEM_SOCKET,
} from './default-paths.ts';
export { isBundleFetched } from './federation-rules.ts';
export type { Flags } from './given.ts';
export { hostPort } from './kinds.ts';
export { loadAgentConfig, loadServeConfig } from './load.ts';
export type { HostConfig, HostPort, ServeConfig } from './serve-config.ts';
export { flagOf, SERVE_SETTINGS, type SettingsTable, variableOf } from './settings.ts';
