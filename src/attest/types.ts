/** The callers on the pipe, and the facts about them. */

import type { Owner, SlotOwner } from '../limits/index.ts';
import type { Selector } from '../spiffe/index.ts';

/**
 * The caller as of its connect (SO_PEERCRED). `pid` is in Sidekey's pid namespace; 0 means that the caller is not in
 * it.
 */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** The process to attest. */
export interface CallingProcess extends PeerCredentials {
  /** Its supplementary groups, in the kernel's order. */
  readonly groups: readonly number[];
  /** The owner that is charged for the attestation; undefined if the admin API requests it. */
  readonly owner?: SlotOwner;
  /** Why it counts as contained; undefined if it does not. */
  readonly contained?: string | undefined;
  /** For callers on the pipe: what earlier attestations of the connection found out about the program. */
  readonly program?: ProgramMemory;
}

/**
 * What the attestations of one connection found out about its program, kept for later ones. It always concerns the same
 * file, because a process that executes another one loses its connection.
 */
export interface ProgramMemory {
  /** From the first attestation that could read it. */
  path: string | undefined;
  /** The file's former path, if the file was deleted or replaced before {@link path} could be read. */
  replaced: string | undefined;
  /**
   * The id of the caller's container at the last attestation; null: it was in none. It may be in another one by now.
   */
  container?: string | null;
}

/** A placeholder of a template, such as `{docker.label.app}`. */
export interface Placeholder {
  /** `docker.compose_service`, `docker.label.app`. */
  readonly name: string;
  /** The attestor's type: `docker`. */
  readonly type: string;
  readonly kind: string;
  /** The name of the label; undefined for other kinds. */
  readonly key: string | undefined;
}

/** The value of a placeholder for a caller, or the reason why there is none. */
export type PlaceholderValue = { readonly value: string } | { readonly why: string };

/** The result of one attestation. */
export interface Attestation {
  /** The caller's facts, sorted by type, then value, without duplicates. */
  readonly selectors: readonly Selector[];
  /**
   * The selectors as `type:value`; and the negative selectors of entries that the caller is known to satisfy, as
   * `!type:value`.
   */
  readonly keys: ReadonlySet<string>;
  /** The values of the placeholders in entries' templates, by name. One that no entry had then is missing. */
  readonly values: ReadonlyMap<string, PlaceholderValue>;
  /**
   * The reason why the caller counts as contained, so that entries with only unix selectors do not apply; else
   * undefined.
   */
  readonly contained: string | undefined;
  /** Equal for two attestations if and only if their keys, values and `contained` are equal. */
  readonly key: string;
}

/** Selectors of a caller that are cached from earlier attestations; for messages, not for decisions. */
export interface KnownSelectors {
  /** The selectors that an attestation would probably find. */
  readonly given: readonly Selector[];
  /**
   * A few other selectors of the caller, whose kind (for labels and variables: whose name) entries ask for with other
   * values.
   */
  readonly alike: readonly Selector[];
}

/** The selectors that entries ask for; the registry implements it. */
export interface AskedSelectors {
  /**
   * True if an entry asks for this kind (`unix:sha256`), or for a label or variable with this name
   * (`docker:label:app`).
   */
  asksFor(kind: string): boolean;
  /** The number of unexpired entries that have this selector, negative or not, as `type:value`. */
  askers(selector: string): number;
  /** The negative selectors of this type in unexpired entries. */
  negatives(type: string): readonly Selector[];
  /** The placeholders of this type in templates of unexpired entries. */
  placeholders(type: string): readonly Placeholder[];
  /** Grows when the set of selectors that entries ask for changes. */
  readonly askedRevision: number;
}

/** Facts that negative selectors and templates need, as of one attestation. Call its functions only then. */
export interface FurtherFacts {
  /**
   * True if the caller is known not to have the fact of this negative selector. False if it has it, or if that is not
   * known.
   */
  lacks(negative: Selector): boolean;
  valueFor(placeholder: Placeholder): PlaceholderValue;
}

/** Finds the selectors of a process. */
export interface Attestor {
  /** The type of its selectors: `unix`, `docker`. */
  readonly name: string;
  /**
   * @param everything true for `explain`: also returns selectors that no entry asks for, if they cost little to find
   * @param remark called with a note for the reader of `explain`
   * @param tell called with further facts, at most once; if it is not called, nothing further is known
   * @throws any error; it fails the whole attestation
   */
  attest(
    caller: CallingProcess,
    everything?: boolean,
    remark?: (text: string) => void,
    tell?: (facts: FurtherFacts) => void,
  ): Promise<Selector[]>;
  /**
   * The cached selectors of a caller, for messages only; undefined if none are cached.
   * @param program as the caller's last attestation left it
   */
  known?(program: ProgramMemory): KnownSelectors | undefined;
}

/** One connection on the pipe, and the process that opened it. */
export interface Peer {
  /** For the log; unique until Sidekey restarts. */
  readonly id: string;
  readonly credentials: PeerCredentials;
  /** The user or container that its use is charged to. */
  readonly owner: Owner;
  /** True once the process has ended or changed, or the connection has closed. */
  readonly gone: boolean;
  /**
   * Reads the facts again, then checks that the process is alive and unchanged. Concurrent calls share one attestation.
   * @throws ERR_PEER_GONE, ERR_PEER_CHANGED, ERR_PEER_UNATTESTABLE, ERR_ATTESTATION_FAILED
   */
  attest(): Promise<Attestation>;
  /**
   * Call immediately before a key is sent. Checks that the process is alive now, and that it runs the same program; the
   * latter is checked once per turn of the event loop. @throws ERR_PEER_GONE, ERR_PEER_CHANGED
   */
  verify(): void;
  /** The cached selectors of one type; see {@link Attestor.known}. */
  known(type: string): KnownSelectors | undefined;
  /** Calls the listener once, when {@link gone} becomes true, or in the next tick if it is. */
  onGone(listener: () => void): void;
  /** Closes the connection. */
  close(): void;
}
