/** The settings of `serve`: their table, how they are read, and the default paths. */

export { adminSocketIn, defaultDataDir, defaultSocket, formerAdminSocket, SYSTEM_SOCKET } from './default-paths.ts';
export { isBundleFetched } from './federation-rules.ts';
export type { Flags } from './given.ts';
export { hostPort } from './kinds.ts';
export { loadServeConfig } from './load.ts';
export type { HostConfig, HostPort, ServeConfig } from './serve-config.ts';
export { flagOf, SETTING_KEYS, SETTINGS, type Setting, variableOf } from './settings.ts';
