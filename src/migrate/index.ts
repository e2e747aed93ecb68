/** From SPIRE to Sidekey: settings, entries and bundles. docs/migrate-spire.md is the user's side. */

export { foreignBundles, ownRoots, relationships, type SpireRelationship } from './bundles.ts';
export { convertSettings } from './convert.ts';
export { agentSelectors, type EntryRow, pickEntries } from './entries.ts';
export { expandEnv } from './expand-env.ts';
export { type JsonInput, readJsonFile } from './json-input.ts';
export { askSpire } from './live.ts';
export { settingsOf } from './settings.ts';
