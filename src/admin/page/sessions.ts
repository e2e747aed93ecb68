/**
 * Sessions of the page, and the one-time codes that make them. Both are in memory only: a restart ends them. Of a code and
 * of a session's cookie only the SHA-256 is kept, so that the time of a look-up reveals nothing.
 */

import { createHash, randomBytes } from 'node:crypto';
import type { Clock, Deadline, Role } from '../../base/index.ts';

/** What made a link, and so its session: a user on the Unix socket, or a token. */
export type Maker = { readonly kind: 'unix'; readonly uid: number } | { readonly kind: 'token'; readonly name: string };

/** The roles that a session may have. */
export const SESSION_ROLES = ['read', 'entries', 'admin'] as const satisfies Role[];
export type SessionRole = (typeof SESSION_ROLES)[number];

export interface PageSession {
  /** Names the session in lists; it gives no right. */
  readonly id: string;
  /** Given by the maker; not checked. */
  readonly name: string;
  readonly role: SessionRole;
  readonly maker: Maker;
  /** What a request that changes something must repeat in a header. */
  readonly csrf: string;
  /** Times in milliseconds since the epoch. */
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly lastUsedAt: number;
}

export interface LinkInput {
  readonly name: string;
  readonly role: SessionRole;
  readonly maker: Maker;
  /** When the maker's own right ends, in milliseconds since the epoch; 0: never. */
  readonly until: number;
}

/** A code works for this long, in milliseconds. */
export const CODE_MS = 60_000;
/** A session ends after this long, in milliseconds. */
export const SESSION_MS = 12 * 3_600_000;
/** A session without requests and event streams ends after this long, in milliseconds. */
export const IDLE_MS = 3_600_000;
export const MAX_CODES = 100;
export const MAX_SESSIONS = 100;

interface Timed {
  /** SHA-256 of the code or cookie. */
  readonly key: string;
  readonly maker: Maker;
  timer: Deadline | undefined;
}

interface Code extends Timed {
  readonly link: LinkInput;
  readonly expiresAt: number;
}

interface Session extends Timed, PageSession {
  lastUsedAt: number;
  /** Event streams that are open; they keep it from being idle. */
  streams: number;
}

export class PageSessions {
  readonly #clock: Clock;
  readonly #onEnd: (session: PageSession) => void;
  readonly #codes = new Map<string, Code>();
  readonly #sessions = new Map<string, Session>();

  /** @param onEnd called when a session has ended, for whatever reason */
  constructor(clock: Clock, onEnd: (session: PageSession) => void) {
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  /** Makes a code that becomes one session within {@link CODE_MS}. */
  makeCode(link: LinkInput): { readonly code: string; readonly expiresAt: number } {
    const text = newSecret();
    const expiresAt = earlier(this.#clock.now() + CODE_MS, link.until);
    const code: Code = { key: keyOf(text), link, maker: link.maker, expiresAt, timer: undefined };
    // Both a delay and an instant: the clock may be set back, and timers stop while the machine sleeps.
    code.timer = this.#clock.after(CODE_MS, () => this.#codes.delete(code.key));
    this.#codes.set(code.key, code);
    if (this.#codes.size > MAX_CODES) this.#drop(oldestOfMost(this.#codes.values()));
    return { code: text, expiresAt };
  }

  /** Makes a code useless. */
  dropCode(text: string): void {
    const code = this.#codes.get(keyOf(text));
    if (code !== undefined) this.#drop(code);
  }

  /** Turns a code into a session. @returns its cookie; undefined if the code was used, has expired or never was */
  redeem(text: string): { readonly session: PageSession; readonly cookie: string } | undefined {
    const code = this.#codes.get(keyOf(text));
    if (code === undefined) return undefined;
    this.#drop(code);
    const now = this.#clock.now();
    if (now >= code.expiresAt) return undefined;
    const { name, role, maker, until } = code.link;
    const cookie = newSecret();
    const session: Session = {
      key: keyOf(cookie),
      id: randomBytes(8).toString('hex'),
      ...{ name, role, maker, csrf: newSecret() },
      createdAt: now,
      expiresAt: earlier(now + SESSION_MS, until),
      lastUsedAt: now,
      streams: 0,
      timer: undefined,
    };
    this.#sessions.set(session.key, session);
    this.#watch(session);
    if (this.#sessions.size > MAX_SESSIONS) this.#end(oldestOfMost(this.#sessions.values()));
    return { session, cookie };
  }

  /** The session with this cookie, which counts as used. */
  use(cookie: string): PageSession | undefined {
    const session = this.#sessions.get(keyOf(cookie));
    if (session === undefined) return undefined;
    if (this.#isOver(session)) {
      this.#end(session);
      return undefined;
    }
    session.lastUsedAt = this.#clock.now();
    return session;
  }

  /** Says that a session has an event stream open. @returns a function that says that the stream has ended */
  hold(id: string): () => void {
    const session = this.#byId(id);
    if (session === undefined) return () => undefined;
    session.streams += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      session.streams -= 1;
      session.lastUsedAt = this.#clock.now();
    };
  }

  /** Oldest first. */
  list(): PageSession[] {
    for (const session of [...this.#sessions.values()]) if (this.#isOver(session)) this.#end(session);
    return [...this.#sessions.values()];
  }

  /** @returns false if there is no such session */
  end(id: string): boolean {
    const session = this.#byId(id);
    if (session !== undefined) this.#end(session);
    return session !== undefined;
  }

  /** Ends the sessions and codes that a token made. */
  endOfToken(name: string): void {
    const isOf = ({ maker }: Timed) => maker.kind === 'token' && maker.name === name;
    for (const code of [...this.#codes.values()]) if (isOf(code)) this.#drop(code);
    for (const session of [...this.#sessions.values()]) if (isOf(session)) this.#end(session);
  }

  close(): void {
    for (const code of [...this.#codes.values()]) this.#drop(code);
    for (const session of [...this.#sessions.values()]) this.#end(session);
  }

  #byId(id: string): Session | undefined {
    for (const session of this.#sessions.values()) if (session.id === id) return session;
    return undefined;
  }

  #isOver({ expiresAt, lastUsedAt, streams }: Session): boolean {
    const now = this.#clock.now();
    return now >= expiresAt || (streams === 0 && now - lastUsedAt >= IDLE_MS);
  }

  /** Ends it in time, so that its event streams end too. */
  #watch(session: Session): void {
    const { expiresAt, createdAt } = session;
    const whole = this.#clock.after(Math.min(expiresAt - createdAt, SESSION_MS), () => this.#end(session));
    let idle: Deadline;
    const lookAgain = () => {
      if (this.#isOver(session)) return this.#end(session);
      const used = session.streams > 0 ? this.#clock.now() : session.lastUsedAt;
      idle = this.#clock.at(Math.min(used + IDLE_MS, expiresAt), lookAgain);
    };
    lookAgain();
    session.timer = {
      cancel: () => {
        whole.cancel();
        idle.cancel();
      },
    };
  }

  #drop(code: Code): void {
    code.timer?.cancel();
    this.#codes.delete(code.key);
  }

  #end(session: Session): void {
    if (!this.#sessions.delete(session.key)) return;
    session.timer?.cancel();
    this.#onEnd(session);
  }
}

/** `unix:0` or `token:ci`, as the audit names them. */
export function makerName(maker: Maker): string {
  return maker.kind === 'unix' ? `unix:${maker.uid}` : `token:${maker.name}`;
}

/**
 * The oldest one of the maker that has the most: whoever makes many pushes out their own, not those of others.
 * @param all oldest first, at least one
 */
function oldestOfMost<T extends Timed>(all: Iterable<T>): T {
  const byMaker = Map.groupBy(all, ({ maker }) => makerName(maker));
  const most = [...byMaker.values()].reduce((one, other) => (other.length > one.length ? other : one));
  return most[0]!;
}

/** 256 random bits, which nobody can guess; a slow hash would gain nothing. */
function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

function keyOf(secret: string): string {
  return createHash('sha256').update(secret).digest('base64');
}

function earlier(instant: number, until: number): number {
  return until === 0 ? instant : Math.min(instant, until);
}
