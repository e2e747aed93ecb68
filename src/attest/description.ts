/**
 * The description of an attestor, which is all that other rooms know about it. Each attestor has a folder here with one
 * description, listed in catalog.ts. It consists of data and small functions, and loads the attestor only to run it.
 */

import type { Clock, UnmappedIds } from '../base/index.ts';
import type { Selector } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { Accounts } from './accounts.ts';
import type { AskedSelectors, Attestor } from './types.ts';

/** A kind of selectors: `<type>:<kind>:<value>`. */
export interface SelectorKind {
  /** True if the value has the form of this kind. */
  readonly fits: (value: string) => boolean;
  /** The form in words, for error messages. */
  readonly rule: string;
  /** The source of the fact, for `explain`. */
  readonly source: string;
  /**
   * Set if an attestation finds these selectors only on demand. `kind`: only while an entry asks for this kind, because
   * they are slow to find. `selector`: only those that an entry asks for exactly, because a caller may have any number.
   */
  readonly onDemand?: 'kind' | 'selector';
  /**
   * Set if the value begins with a name (of a label or variable): the character after it. Only selectors with the same
   * name are alternatives to each other.
   */
  readonly nameEnd?: ':' | '=';
  /** The value after the name may be a secret, and is never shown. */
  readonly secret?: true;
  /** Any program of the caller's user can acquire it, so an entry needs a selector of another kind as well. */
  readonly weak?: true;
  /** The value is chosen by whoever starts the caller, so no entry with only such selectors is proposed. */
  readonly chosen?: true;
  /** The value that all processes of root have. */
  readonly ofRoot?: string;
  /**
   * Set if the fact may fill a placeholder of a template (docs/templates.md): who chooses it. Only kinds of which a
   * caller has at most one value, for labels one for each name.
   */
  readonly rendered?: string;
}

/** Kinds by name. */
export type SelectorKinds = Readonly<Record<string, SelectorKind>>;

/** A setting of `sidekey serve` that belongs to an attestor; see `config/settings.ts`. */
export interface AttestorSetting {
  /** What it is, for `--help`. */
  readonly about: string;
  /** The kind of value; see `config/kinds.ts`. */
  readonly kind: 'socket';
}

/** @typeParam Settings this attestor's settings of `serve` by name; each may be undefined */
export interface AttestorDescription<Settings extends object = object> {
  /** The type of its selectors, before the first colon: `unix`. */
  readonly type: string;
  readonly kinds: SelectorKinds;
  /** The value of an example selector: `uid:1000`. */
  readonly example: string;
  /** Set if its selectors are facts about the caller's container, from the software that runs the container. */
  readonly container?: ContainerRemedy;
  readonly settings: { readonly [K in keyof Settings]-?: AttestorSetting };
  /** True if these settings enable it. */
  isOn(settings: Settings): boolean;
  /** Loads and starts it. */
  create(parts: AttestorParts, settings: Settings): Promise<RunningAttestor>;
  /**
   * Selects the caller's most distinctive selectors, to propose an entry. Empty: the attestor has none to contribute.
   * Undefined: no entry may be proposed, because the known facts are not distinctive enough.
   */
  propose?(selectors: readonly Selector[]): readonly Selector[] | undefined;
  /** How `sidekey doctor` reports a failure of {@link RunningAttestor.check}. */
  readonly failure?: AttestorFailure;
}

/** Texts for an operator who makes an entry for a container. */
export interface ContainerRemedy {
  /** What to check before making the proposed entry. */
  readonly check: string;
  /** Why no entry is proposed, and what it would need. */
  readonly unknown: string;
}

export interface AttestorFailure {
  /** The consequence. */
  readonly why: string;
  /** The field of `GET /v1/doctor` that names the failing part. */
  readonly place: 'docker_socket';
  /**
   * The remedy.
   * @param error the attestor's message
   * @param place the value of that field
   */
  fix(error: string, place: string): { readonly fix: string; readonly command?: string };
}

/** The parts of the server that attestors use. */
export interface AttestorParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly accounts: Accounts;
  readonly unmapped: UnmappedIds;
  readonly asked: AskedSelectors;
  /** Call it when callers may have other selectors than before. */
  readonly onChange: () => void;
}

/** An attestor that the server runs, with functions that only some attestors have. */
export interface RunningAttestor extends Attestor {
  /** Returns the reason why no caller on this host can have a selector with this value; undefined if one can. */
  whyNever?(value: string): string | undefined;
  /** Returns the value that was likely meant by one that no caller can have; undefined if that is not known. */
  meant?(value: string): string | undefined;
  /** Tests what the attestor depends on. @throws ERR_ATTESTATION_FAILED */
  check?(): Promise<void>;
  /**
   * The pid of the main process of the running container with this name or id; undefined if there is no such container.
   * @throws ERR_ATTESTATION_FAILED
   */
  mainPid?(nameOrId: string): Promise<number | undefined>;
  ambiguousLabels?(): readonly AmbiguousLabel[];
  close?(): void;
}

/**
 * A label whose key contains a colon, so that `label:KEY:VALUE` could also be read as a label with a shorter key. It
 * gives no selector, although an entry asks for the one that it would give.
 */
export interface AmbiguousLabel {
  /** The container's id: 64 hexadecimal digits. */
  readonly container: string;
  /** The selector that it would give. */
  readonly selector: Selector;
}
