/** Stores the JWT keys, one file each, and their states. Keys are encrypted if there is a passphrase. */

import { isDeepStrictEqual } from 'node:util';
import { type Actor, SERVER } from '../../audit/index.ts';
import type { SidekeyError } from '../../base/index.ts';
import type { OwnBundle } from '../bundle.ts';
import { areGone, type GoneAuthorities, goneAfter } from '../gone.ts';
import { type KeyCodec, PassphraseError, type ReadPrivateKey } from '../key-codec.ts';
import { areStoredSlots, type SlotState, type StoredSlots } from '../slot.ts';
import type { AuditedMove } from '../types.ts';
import { type JwtKey, jwtKeyFile, readJwtKey } from './jwt-key.ts';
import type { JwtPlan, JwtSlot } from './plan.ts';

/** What changes in the life of the JWT keys. */
export interface JwtKeyState {
  /** Of the first published bundle with the present JWT keys. */
  readonly sequenceNumber: number;
  /** The JWT keys of that bundle, sorted. */
  readonly keyIds: readonly string[];
  /** By the key's ID. */
  readonly slots: StoredSlots;
  /** The removed keys that have not expired. */
  readonly gone: GoneAuthorities;
  /** The ID of the signing key that an operator asked to be replaced. */
  readonly replace?: string | undefined;
}

/** The directory of the authorities. */
export interface JwtKeyFolder {
  readonly keys: KeyCodec;
  names(): Promise<string[]>;
  /** Undefined if the file does not exist. */
  read(name: string): Promise<string | undefined>;
  write(name: string, text: string): void;
  remove(name: string): Promise<void>;
  state(): JwtKeyState | undefined;
  saveState(state: JwtKeyState, moves?: readonly AuditedMove[]): Promise<void>;
  fault(name: string, problem: string, remedy: string, cause?: unknown): SidekeyError;
}

interface ReadKey {
  readonly key: JwtKey;
  readonly decoded: ReadPrivateKey;
}

export const JWT_KEY_FILE = /^jwt-([0-9a-f]{40})\.json$/;
const REMEDY =
  'restore the file from a backup; or remove it: another key then signs, and tokens that this one signed are refused';

/** A JWT key as it is stored. */
export interface InspectedJwtKey {
  readonly id: string;
  readonly keyType: JwtKey['keyType'];
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
  readonly isCurrent: boolean;
  /** Undefined if none is stored. */
  readonly state: SlotState | undefined;
}

/** @throws {Error} if a member is missing */
export function parseJwtKeyState(value: unknown): JwtKeyState {
  const { sequenceNumber, keyIds, slots, gone, replace } = value as JwtKeyState;
  const isGood =
    Number.isSafeInteger(sequenceNumber) && Array.isArray(keyIds) && areStoredSlots(slots) && areGone(gone);
  if (!isGood || !['string', 'undefined'].includes(typeof replace))
    throw new Error('the states of JWT keys are damaged');
  return { sequenceNumber, keyIds, slots, gone, replace };
}

export class JwtKeyStore {
  readonly #folder: JwtKeyFolder;

  constructor(folder: JwtKeyFolder) {
    this.#folder = folder;
  }

  state(): JwtKeyState {
    return this.#folder.state() ?? { sequenceNumber: 0, keyIds: [], slots: {}, gone: {} };
  }

  /**
   * Loads the keys, and stores those again that are not in the form that the passphrases require. Deletes the files of
   * keys that are gone, which a killed process may have left.
   * @throws ERR_CA with the file and the remedy
   */
  async load(): Promise<{ readonly slots: JwtSlot[]; readonly rewritten: number }> {
    const { gone } = this.state();
    // Without any states, the keys may have signed tokens that have not ended.
    const unknown = this.#folder.state() === undefined ? 'retired' : 'prepared';
    const slots: JwtSlot[] = [];
    let rewritten = 0;
    for (const { name, id } of await this.#files()) {
      if (id in gone) {
        await this.#folder.remove(name);
        continue;
      }
      const { key, decoded } = await this.#read(name, id);
      if (!decoded.isCurrent) {
        await this.save(key);
        rewritten += 1;
      }
      slots.push({ authority: key, ...(this.state().slots[id] ?? { state: unknown, since: key.notBefore }) });
    }
    return { slots, rewritten };
  }

  /** Reads the keys, and changes nothing. @throws ERR_CA */
  async inspect(): Promise<InspectedJwtKey[]> {
    const { gone, slots } = this.state();
    const files = (await this.#files()).filter(({ id }) => !(id in gone));
    return Promise.all(
      files.map(async ({ name, id }) => {
        const { key, decoded } = await this.#read(name, id);
        const { keyType, notAfter } = key;
        return { id, keyType, notAfter, isCurrent: decoded.isCurrent, state: slots[id]?.state };
      }),
    );
  }

  async save(key: JwtKey): Promise<void> {
    this.#folder.write(jwtFileName(key), jwtKeyFile(key, await this.#folder.keys.write(key.privateKey)));
  }

  async remove(key: Pick<JwtKey, 'id'>): Promise<void> {
    await this.#folder.remove(jwtFileName(key));
  }

  /** Deletes keys that count as tainted, for a restore. */
  async drop(keys: readonly InspectedJwtKey[]): Promise<void> {
    if (keys.length === 0) return;
    const { slots, gone, keyIds, ...state } = this.state();
    const ids = new Set(keys.map(({ id }) => id));
    const lost = keys.map(({ id, notAfter }) => [id, { notAfter, tainted: true }] as const);
    for (const key of keys) await this.remove(key);
    await this.#folder.saveState({
      ...state,
      slots: Object.fromEntries(Object.entries(slots).filter(([id]) => !ids.has(id))),
      keyIds: keyIds.filter((id) => !ids.has(id)),
      gone: { ...gone, ...Object.fromEntries(lost) },
    });
  }

  /**
   * Stores the states after a plan, and the moves that lead to them, in one write, if anything has changed.
   * @returns the stored states and the moves
   */
  async savePlan(plan: JwtPlan, change: StateChange): Promise<{ state: JwtKeyState; moves: readonly AuditedMove[] }> {
    const before = this.#folder.state();
    const state = stateAfter(this.state(), plan, change);
    const moves = movesBetween(this.state().slots, state.slots, change);
    if (!isDeepStrictEqual(state, before)) await this.#folder.saveState(state, moves);
    return { state, moves };
  }

  async #files(): Promise<{ name: string; id: string }[]> {
    return (await this.#folder.names()).sort().flatMap((name) => {
      const id = JWT_KEY_FILE.exec(name)?.[1];
      return id === undefined ? [] : [{ name, id }];
    });
  }

  async #read(name: string, id: string): Promise<ReadKey> {
    try {
      const read = await readJwtKey((await this.#folder.read(name)) ?? '', (pem) => this.#folder.keys.read(pem));
      if (read.key.id === id) return read;
      throw new Error(`contains the key ${read.key.id}`);
    } catch (error) {
      const remedy = error instanceof PassphraseError ? error.remedy : REMEDY;
      throw this.#folder.fault(name, (error as Error).message, remedy, error);
    }
  }
}

export interface StateChange {
  readonly now: number;
  /** The IDs of the keys that were declared tainted since the last plan, and who did. */
  readonly tainting: ReadonlyMap<string, Actor>;
  readonly replace: string | undefined;
  readonly bundle: Pick<OwnBundle, 'nextNumber'>;
}

function stateAfter(before: JwtKeyState, plan: JwtPlan, { now, tainting, replace, bundle }: StateChange): JwtKeyState {
  const slots = Object.fromEntries(plan.slots.map(({ authority, state, since }) => [authority.id, { state, since }]));
  const keyIds = plan.slots.map(({ authority }) => authority.id).sort();
  const isSame = isDeepStrictEqual(keyIds, before.keyIds);
  const gone = goneAfter(before.gone, slots, now);
  for (const { authority } of plan.gone) {
    if (now < authority.notAfter) {
      gone[authority.id] = { notAfter: authority.notAfter, tainted: tainting.has(authority.id) };
    }
  }
  return {
    sequenceNumber: isSame ? before.sequenceNumber : bundle.nextNumber(now),
    keyIds,
    slots,
    gone,
    replace: replace === plan.active.authority.id ? replace : undefined,
  };
}

/** Of the stored states, so that the moves of a review that failed, or of a process that was killed, are not lost. */
function movesBetween(before: StoredSlots, after: StoredSlots, { now: at, tainting }: StateChange): AuditedMove[] {
  const role = 'jwt';
  const entered = Object.entries(after)
    .filter(([id, { state }]) => before[id]?.state !== state)
    .map(([id, { state }]): AuditedMove => ({ at, id, role, state, before: before[id]?.state, by: SERVER }));
  const left = Object.entries(before)
    .filter(([id]) => after[id] === undefined)
    .flatMap(([id, { state: former }]): AuditedMove[] => {
      const by = tainting.get(id);
      if (by === undefined) return [{ at, id, role, state: 'gone', before: former, by: SERVER }];
      return [
        { at, id, role, state: 'tainted', before: former, by },
        { at, id, role, state: 'gone', before: 'tainted', by: SERVER },
      ];
    });
  return [...entered, ...left];
}

/** The name of a key's file. */
export function jwtFileName({ id }: Pick<JwtKey, 'id'>): string {
  return `jwt-${id}.json`;
}
