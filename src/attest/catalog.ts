/** The attestors. To add one, write its folder and add a line here; see docs/architecture.md. */

import type { AttestorDescription, AttestorSetting } from './description.ts';
import { DOCKER } from './docker/docker.ts';
import { SYSTEMD } from './systemd/systemd.ts';
import { UNIX } from './unix/unix.ts';

/** In the order of `--help` and of reports. */
const CATALOG = [UNIX, DOCKER, SYSTEMD] as const;

/** The settings of all attestors by name. */
export type AttestorSettings = Together<SettingsOf<(typeof CATALOG)[number]>>;

/** An attestor that takes the settings of all. */
export type ListedAttestor = Omit<AttestorDescription<AttestorSettings>, 'settings'>;

export const ATTESTORS: readonly ListedAttestor[] = CATALOG;

export const ATTESTOR_SETTINGS: { readonly [K in keyof AttestorSettings]: AttestorSetting } = Object.assign(
  {},
  ...CATALOG.map(({ settings }) => settings),
);

/** The attestor whose selectors have this type; undefined if there is none. */
export function attestorOf(type: string): ListedAttestor | undefined {
  return ATTESTORS.find((attestor) => attestor.type === type);
}

/** The attestors that these settings enable. */
export function runningWith(settings: AttestorSettings): readonly ListedAttestor[] {
  return ATTESTORS.filter((attestor) => attestor.isOn(settings));
}

type SettingsOf<D> = D extends AttestorDescription<infer Settings> ? [Settings] : never;
/** The intersection of a union of `[Settings]`. */
type Together<U> = (U extends [infer One] ? (one: One) => void : never) extends (all: infer All) => void ? All : never;
