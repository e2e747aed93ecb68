/**
 * What the rest of Sidekey knows of an attestor. Each has a folder here with one description, which catalog.ts lists. A
 * description is data and small functions: it loads the attestor itself only to run it.
 */

import type { Clock } from '../base/clock.ts';
import type { UnmappedIds } from '../base/unmapped-ids.ts';
import type { Selector } from '../spiffe/selector.ts';
import type { Log } from '../telemetry/log.ts';
import type { Accounts } from './accounts.ts';
import type { AskedSelectors, Attestor } from './types.ts';

/** A kind of selectors, `<type>:<kind>:<value>`. */
export interface SelectorKind {
  /** True if a value has the form that such selectors have. */
  readonly fits: (value: string) => boolean;
  /** The form in words, for a person whose value has another one. */
  readonly rule: string;
  /** Whose word it is, for a person who looks for a fault. */
  readonly source: string;
  /**
   * When callers have such selectors, where they do not always: `kind`: while an entry asks for one of this kind, since to
   * find them out takes long; `selector`: while an entry asks for exactly that one, since a caller may have any number.
   */
  readonly onDemand?: 'kind' | 'selector';
  /** The value begins with a name, which ends here: a label's or a variable's. Values of other names are no alternative. */
  readonly nameEnd?: ':' | '=';
  /** What follows the name may be a secret, and is never shown. */
  readonly secret?: true;
  /** Any program of the caller's user can take it on: an entry needs a selector of another kind too. */
  readonly weak?: true;
  /** Whoever starts the caller chooses the value: an entry that has only such selectors is never proposed. */
  readonly chosen?: true;
  /** The value that every process of root has. */
  readonly ofRoot?: string;
}

/** By their names. */
export type SelectorKinds = Readonly<Record<string, SelectorKind>>;

/** A setting of `sidekey serve` that belongs to an attestor; see `config/settings.ts`. */
export interface AttestorSetting {
  /** What it is, for `--help`. */
  readonly about: string;
  /** The kind of value; see `config/kinds.ts`. */
  readonly kind: 'engineSocket';
}

/** @typeParam Settings what `serve` is told for this attestor, by the names of the settings; each may be undefined */
export interface AttestorDescription<Settings extends object = object> {
  /** The type of its selectors, before the first colon: `unix`. */
  readonly type: string;
  readonly kinds: SelectorKinds;
  /** A value that a selector of this type may have: `uid:1000`. */
  readonly example: string;
  /** Set if its selectors are facts about the container that a caller is in, by the word of whoever runs it. */
  readonly container?: ContainerRemedy;
  readonly settings: { readonly [K in keyof Settings]-?: AttestorSetting };
  /** True if it runs with these settings. */
  isOn(settings: Settings): boolean;
  /** Loads and begins it. */
  create(parts: AttestorParts, settings: Settings): Promise<RunningAttestor>;
  /**
   * The selectors that tell a caller with these best from others, for an entry; empty where there is nothing to say, and
   * undefined where what is known of the caller must make no entry.
   */
  propose?(selectors: readonly Selector[]): readonly Selector[] | undefined;
  /** For `sidekey doctor`, where {@link RunningAttestor.check} fails. */
  readonly failure?: AttestorFailure;
}

/** What people are told who are to make an entry for a container. */
export interface ContainerRemedy {
  /** Before they make the entry that is proposed. */
  readonly check: string;
  /** Why none is proposed. */
  readonly unknown: string;
}

export interface AttestorFailure {
  /** What comes of it. */
  readonly why: string;
  /** Where to look: the field of `GET /v1/doctor` that names it. */
  readonly place: 'docker_socket';
  /** @param error as the attestor tells it @param place what the field holds */
  fix(error: string, place: string): { readonly fix: string; readonly command?: string };
}

/** What attestors are given of the server. */
export interface AttestorParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly accounts: Accounts;
  readonly unmapped: UnmappedIds;
  /** What entries ask for. */
  readonly asked: AskedSelectors;
  /** To call when what it finds may be other than before. */
  readonly onChange: () => void;
}

/** An attestor that the server runs, with what only some of them can. */
export interface RunningAttestor extends Attestor {
  /** Says why nobody here ever has a selector with this value; undefined where somebody may. */
  whyNever?(value: string): string | undefined;
  /** The value that was likely meant by one that nobody has; undefined where that is not known. */
  meant?(value: string): string | undefined;
  /** Tries what it depends on. @throws ERR_ATTESTATION_FAILED */
  check?(): Promise<void>;
  /**
   * The main process of the running container of this name or id; undefined where there is none.
   * @throws ERR_ATTESTATION_FAILED
   */
  mainPid?(nameOrId: string): Promise<number | undefined>;
  /** The labels that give no selector though an entry asks for it. */
  ambiguousLabels?(): readonly AmbiguousLabel[];
  close?(): void;
}

/** A label that gives no selector though some entry asks for the one that it would give. */
export interface AmbiguousLabel {
  /** The container's id, 64 hexadecimal digits. */
  readonly container: string;
  readonly selector: Selector;
}
