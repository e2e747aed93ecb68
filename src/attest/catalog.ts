/** The attestors. To add one, write its folder and a line here; docs/architecture.md says more. */

import type { AttestorDescription, AttestorSetting } from './description.ts';
import { DOCKER } from './docker/docker.ts';
import { SYSTEMD } from './systemd/systemd.ts';
import { UNIX } from './unix/unix.ts';

/** In the order in which people are told of them. */
const CATALOG = [UNIX, DOCKER, SYSTEMD] as const;

/** The settings of all of them, by their names. */
export type AttestorSettings = Together<SettingsOf<(typeof CATALOG)[number]>>;

/** One of them, to be run with the settings of all. */
export type ListedAttestor = Omit<AttestorDescription<AttestorSettings>, 'settings'>;

export const ATTESTORS: readonly ListedAttestor[] = CATALOG;

export const ATTESTOR_SETTINGS: { readonly [K in keyof AttestorSettings]: AttestorSetting } = Object.assign(
  {},
  ...CATALOG.map(({ settings }) => settings),
);

/** The attestor whose selectors have this type; undefined where there is none. */
export function attestorOf(type: string): ListedAttestor | undefined {
  return ATTESTORS.find((attestor) => attestor.type === type);
}

/** Those that run with these settings. */
export function runningWith(settings: AttestorSettings): readonly ListedAttestor[] {
  return ATTESTORS.filter((attestor) => attestor.isOn(settings));
}

type SettingsOf<D> = D extends AttestorDescription<infer Settings> ? [Settings] : never;
type Together<U> = (U extends [infer One] ? (one: One) => void : never) extends (all: infer All) => void ? All : never;
