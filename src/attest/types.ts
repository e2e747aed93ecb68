/** Who is on the other end of the pipe. */

import type { SlotOwner } from '../limits/fair-slots.ts';
import type { Owner } from '../limits/owner.ts';
import type { Selector } from '../spiffe/selector.ts';

/** The kernel's word at connect time (SO_PEERCRED). `pid` is in our pid namespace; 0: the caller is not in it. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** A process, as the attestors are given it. */
export interface CallingProcess extends PeerCredentials {
  /** Its supplementary groups, in the kernel's order. */
  readonly groups: readonly number[];
  /** Who pays for the attestation: owners have their turns. Undefined: a person asks. */
  readonly owner?: SlotOwner;
  /** Of a caller on the pipe: what is remembered of its program, as long as its connection lasts. */
  readonly program?: ProgramMemory;
}

/**
 * What a connection's attestations found out about the program, for those that come after. The peer sees to it that all of
 * them are of the same file: a process that executes another one loses its connection.
 */
export interface ProgramMemory {
  /** As of the first attestation that could read it. */
  path: string | undefined;
  /** The path that the file had before it was deleted or replaced, where that was so before {@link path} was known. */
  replaced: string | undefined;
  /** The id of the container that the last attestation found the caller in; null: in none. No proof of where it is now. */
  container?: string | null;
}

/** What the attestors found out, at one moment. */
export interface Attestation {
  /** Sorted by type, then value; no two the same. */
  readonly selectors: readonly Selector[];
  /** The selectors as `type:value`. */
  readonly keys: ReadonlySet<string>;
  /** Why the caller counts as contained: entries of unix selectors alone are not for it. Undefined where it does not. */
  readonly contained: string | undefined;
  /** Equal for two attestations if and only if their selectors are, and why they are contained or that they are not. */
  readonly key: string;
}

/** What is known of a caller without asking anybody. */
export interface KnownSelectors {
  /** The selectors that an attestation would likely find. */
  readonly given: readonly Selector[];
  /** A few that entries ask for with other values: of the same kind, or a label or variable of the same name. */
  readonly alike: readonly Selector[];
}

/** What entries ask for, as the registry knows it. */
export interface AskedSelectors {
  /** True if some entry asks for a label or variable of this name, whatever its value: `docker:label:app`. */
  asksFor(kind: string): boolean;
  /** How many entries that count now have this selector, as `type:value`. */
  askers(selector: string): number;
  /** Rises whenever a selector is asked for that was not, or is not any more. */
  readonly askedRevision: number;
}

/** Finds selectors for a process. */
export interface Attestor {
  /** The type of its selectors: `unix`, `docker`. */
  readonly name: string;
  /**
   * @param everything for a person to see: also what no entry asks for, where that costs little
   * @param remark told for that person what may surprise in what is found
   * @throws whatever went wrong: an attestor that is configured and fails makes the attestation fail
   */
  attest(caller: CallingProcess, everything?: boolean, remark?: (text: string) => void): Promise<Selector[]>;
  /**
   * What is remembered of a caller, for no decision; undefined where nothing is.
   * @param program of the caller's last attestation
   */
  known?(program: ProgramMemory): KnownSelectors | undefined;
}

/** A caller: one connection on the pipe and the process that opened it. */
export interface Peer {
  /** Unique in this process's life; for the log. */
  readonly id: string;
  readonly credentials: PeerCredentials;
  /** The user or container that its use is counted for. */
  readonly owner: Owner;
  /** True once the process has ended, or was found to be another, or the connection has closed. */
  readonly gone: boolean;
  /**
   * Reads the facts anew and checks that the process, afterwards, is alive and the same. Calls at the same time share one
   * reading. @throws ERR_PEER_GONE, ERR_PEER_CHANGED, ERR_PEER_UNATTESTABLE, ERR_ATTESTATION_FAILED
   */
  attest(): Promise<Attestation>;
  /**
   * To call right before a key leaves: throws ERR_PEER_GONE or ERR_PEER_CHANGED unless the process is the attested one: alive
   * at this moment, and running the same program when it was last looked at in this turn of the event loop.
   */
  verify(): void;
  /** What is remembered of selectors of one type; see {@link Attestor.known}. */
  known(type: string): KnownSelectors | undefined;
  /** Called once, when {@link gone} becomes true; at once (next tick) if it is. */
  onGone(listener: () => void): void;
  /** Cuts the connection. */
  close(): void;
}
