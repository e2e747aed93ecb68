/** Keeps the files of one directory up to date: fetches, writes, and calls what follows a change. */

import path from 'node:path';
import { backoff, type Clock, type Deadline, type SidekeyError } from '../base/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { Part } from './contents.ts';
import type { Feed } from './feeds.ts';
import { Generations } from './generation.ts';
import { type PartPlan, partsOf } from './parts.ts';
import type { FilesPlan } from './plan.ts';
import { type Kind, type Reaction, Reactor } from './reaction.ts';
import type { SvidSource } from './source.ts';

/** How long a first write, and one for another identity, waits for parts that have not come yet, in milliseconds. */
const GATHER_MS = 1_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
/** How often it checks that nobody has changed the files, in milliseconds. */
const CHECK_MS = 10_000;
/** The same problem is logged again after this time, in milliseconds. */
const REPEAT_MS = 600_000;

export type PartStatus = 'unwritten' | 'failed' | 'written';

export interface PartHealth {
  readonly kind: Kind;
  /** Absolute paths. */
  readonly files: readonly string[];
  /** `written` only while the files are in place and have not ended. */
  readonly status: PartStatus;
  readonly endsAt: number | undefined;
}

export interface FilesHealth {
  readonly parts: readonly PartHealth[];
  readonly problems: readonly string[];
}

interface PartState {
  readonly plan: PartPlan;
  feed?: Feed;
  part?: Part;
  /** A token of the former identity: the next write waits a moment for one of the new identity. */
  isFormer: boolean;
  /** The part that is on disk. */
  written?: Part;
  /** Why nothing newer comes. */
  problem: string | undefined;
}

export interface KeeperOptions {
  readonly plan: FilesPlan;
  readonly source: SvidSource;
  /** With the kinds of changes that each one follows. */
  readonly reactions: readonly { readonly reaction: Reaction; readonly kinds: readonly Kind[] }[];
  readonly log: Log;
  readonly clock: Clock;
}

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #generations: Generations;
  readonly #reactors: readonly { readonly reactor: Reactor; readonly kinds: readonly Kind[] }[];
  readonly #states: readonly PartState[];
  readonly #told = new Map<unknown, { readonly message: string; readonly at: number }>();
  #write: Deadline | undefined;
  #check: Deadline | undefined;
  #failures = 0;
  #problem: string | undefined;
  #isFirst = true;

  /** Opens the directory. @throws ERR_FILES */
  constructor(options: KeeperOptions) {
    const { plan, source, reactions, log, clock } = options;
    this.#options = options;
    this.#generations = new Generations(plan);
    const warning = this.#generations.check();
    if (warning !== undefined) log.warn(warning);
    this.#reactors = reactions.map(({ reaction, kinds }) => ({ reactor: new Reactor(reaction, log, clock), kinds }));
    const parts = partsOf(plan, source, clock, () => this.#states.find(({ plan: { kind } }) => kind === 'x509')?.part);
    this.#states = parts.map((one) => ({ plan: one, isFormer: false, problem: undefined }));
  }

  start(): void {
    for (const state of this.#states) {
      state.feed = state.plan.start({
        part: (part) => this.#received(state, part),
        problem: ({ message }) => {
          state.problem = message;
          this.#tell(state, message);
        },
      });
    }
    this.#watch();
  }

  async close(): Promise<void> {
    for (const { feed } of this.#states) feed?.close();
    this.#write?.cancel();
    this.#check?.cancel();
    await Promise.all(this.#reactors.map(({ reactor }) => reactor.close()));
    this.#generations.close();
  }

  health(): FilesHealth {
    const { plan, clock } = this.#options;
    const now = clock.now();
    const isIntact = this.#generations.isIntact();
    const parts = this.#states.map(({ plan: { kind, files }, part, written }): PartHealth => {
      const endsAt = written?.endsAt;
      const isThere = written !== undefined && isIntact && (endsAt === undefined || endsAt > now);
      // What is newer than the files could not be written.
      const hasFailed = this.#problem !== undefined && written !== part;
      return {
        kind,
        files: files.map(({ name }) => path.join(plan.directory, name)),
        status: hasFailed ? 'failed' : isThere ? 'written' : written === undefined ? 'unwritten' : 'failed',
        endsAt,
      };
    });
    const problems = [
      this.#problem,
      ...this.#states.map(({ problem }) => problem),
      ...this.#reactors.map(({ reactor }) => reactor.problem),
    ].filter((one) => one !== undefined);
    return { parts, problems: [...new Set(problems)] };
  }

  #received(state: PartState, part: Part): void {
    const former = state.part;
    state.part = part;
    state.isFormer = false;
    state.problem = undefined;
    this.#told.delete(state);
    if (state.plan.kind === 'x509' && former?.spiffeId !== part.spiffeId) this.#identityChanged(state, former);
    const isWaiting = this.#states.some((one) => one.isFormer || (this.#isFirst && one.part === undefined));
    this.#schedule(isWaiting ? GATHER_MS : 0);
  }

  /** Tokens and the own trust domain follow the identity of the certificate. What was refused before it came may be had now. */
  #identityChanged(x509: PartState, former: Part | undefined): void {
    for (const state of this.#states) {
      const isDue = former !== undefined || state.problem !== undefined || state.plan.kind === 'jwt-bundle';
      if (state === x509 || !isDue) continue;
      state.isFormer = state.plan.kind === 'jwt' && state.part !== undefined;
      state.feed?.again();
    }
  }

  #schedule(delay: number): void {
    this.#write?.cancel();
    this.#write = this.#options.clock.after(delay, () => this.#writeNow());
  }

  #writeNow(): void {
    const { log, plan } = this.#options;
    const here = this.#states.filter(({ part }) => part !== undefined);
    const kept = this.#states.filter(({ part }) => part === undefined).flatMap((state) => state.plan.files);
    this.#isFirst = false;
    for (const state of this.#states) state.isFormer = false;
    try {
      const files = here.flatMap(({ part }) => part!.files);
      const changed = here
        .filter(({ part, written }) => !haveSameFiles(part!, written))
        .map((state) => state.plan.kind);
      const hasWritten = this.#generations.write(files, kept);
      for (const state of here) state.written = state.part!;
      this.#failures = 0;
      this.#problem = undefined;
      this.#told.delete(this);
      if (hasWritten) this.#tellWritten(files.map(({ name }) => name));
      const kinds = [...new Set(changed)];
      for (const { reactor, kinds: of } of this.#reactors) {
        const own = kinds.filter((kind) => of.includes(kind));
        if (own.length > 0) reactor.changed(own);
      }
    } catch (thrown) {
      const { message, code } = thrown as SidekeyError;
      this.#failures += 1;
      this.#problem = message;
      const delay = backoff(this.#failures, FIRST_RETRY_MS, LAST_RETRY_MS);
      if (this.#isNews(this, message)) {
        log.error(
          { code, directory: plan.directory, retry_in_ms: delay },
          `the files could not be written: ${message}`,
        );
      }
      this.#schedule(delay);
    }
  }

  #tellWritten(files: readonly string[]): void {
    const { log, plan } = this.#options;
    const { part } = this.#states.find(({ plan: { kind } }) => kind === 'x509') ?? {};
    const identity =
      part === undefined ? {} : { spiffe_id: part.spiffeId, expires_at: new Date(part.endsAt!).toISOString() };
    log.info({ directory: plan.directory, files, ...identity }, 'files written');
  }

  /** Writes the files anew if they were changed or removed. */
  #watch(): void {
    const { clock, log } = this.#options;
    this.#check = clock.after(CHECK_MS, () => {
      const isWritten = this.#states.some(({ written }) => written !== undefined);
      if (isWritten && this.#problem === undefined && !this.#generations.isIntact()) {
        log.warn('somebody changed or removed files; they are written again');
        this.#writeNow();
      }
      this.#watch();
    });
  }

  #tell(about: PartState, message: string): void {
    if (this.#isNews(about, message)) this.#options.log.warn({ kind: about.plan.kind }, message);
  }

  #isNews(about: unknown, text: string): boolean {
    // Each refusal has a decision of its own.
    const message = text.replaceAll(/\bd-[0-9a-f]{12}\b/g, '');
    const told = this.#told.get(about);
    const now = this.#options.clock.now();
    if (told?.message === message && now - told.at < REPEAT_MS) return false;
    this.#told.set(about, { message, at: now });
    return true;
  }
}

function haveSameFiles(part: Part, other: Part | undefined): boolean {
  return part.files.every(({ content }, at) => content === other?.files[at]?.content);
}
