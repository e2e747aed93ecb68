/**
 * Tells the service manager that started the server (systemd, with Type=notify) what the server does: the protocol of
 * sd_notify(3). Without NOTIFY_SOCKET it does nothing.
 */

import type { Readiness } from '../admin/index.ts';
import { type Clock, type Deadline, printable, SidekeyError } from '../base/index.ts';
import type { Log } from '../telemetry/index.ts';
import { notifyAddress, sendDatagram } from './notify-socket.ts';

/** Sends one message. Returns the error's name; undefined if it was sent. */
type Send = (text: string) => string | undefined;

export interface SupervisorOptions {
  readonly send: Send;
  /** After this long without a sign of life the manager ends the server, in milliseconds; undefined: never. */
  readonly watchdogMs?: number | undefined;
  /** Why variables of the manager are ignored, for the log. */
  readonly ignored?: readonly string[];
}

/** What the messages are about. */
export interface Supervised {
  readonly clock: Clock;
  readonly log: Log;
  readonly readiness: { look(): Readiness; onLook(listener: (readiness: Readiness) => void): void };
  /** One line about a server that is ready. */
  readonly summary: () => string;
  /** Rejects if the store does not answer. */
  readonly askStore: () => Promise<unknown>;
}

const VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const;
/** Maximum length of a status, in characters. */
const STATUS_CHARS = 500;
/** When a message that could not be sent is sent again, in milliseconds. */
const RETRY_MS = 100;
/** Maximum number of messages that wait to be sent; the oldest are dropped. */
const MOST_UNSENT = 32;
const NOT_TOLD = 'the service manager could not be told of the state of the server';
/** setTimeout fires at once for more. */
const LONGEST_MS = 86_400_000;

export class Supervisor {
  readonly #send: Send;
  readonly #watchdogMs: number | undefined;
  readonly #ignored: readonly string[];
  #unsent: string[] = [];
  #retry: NodeJS.Timeout | undefined;
  /** The error that the log has, so that it has one line for an outage. */
  #logged: string | undefined;
  #supervised: Supervised | undefined;
  #status = '';
  /** READY=1 was sent. It can't be withdrawn; later states are in the status. */
  #isReady = false;
  #isStopping = false;
  /** Reloads that have not ended. */
  #reloads = 0;
  #beat: Deadline | undefined;
  #isAskingStore = false;
  /** Why the store did not answer. */
  #storeProblem: string | undefined;

  constructor({ send, watchdogMs, ignored = [] }: SupervisorOptions) {
    this.#send = send;
    this.#watchdogMs = watchdogMs;
    this.#ignored = ignored;
  }

  /** Takes the manager's variables out of the environment, so that no child process can speak for the server. */
  static take(env: NodeJS.ProcessEnv, pid = process.pid): Supervisor {
    const [name, usec, watchdogPid] = VARIABLES.map((variable) => env[variable]);
    for (const variable of VARIABLES) delete env[variable];
    if (!name) return new Supervisor({ send: () => undefined });
    const address = notifyAddress(name);
    if (address === undefined) {
      const problem = `NOTIFY_SOCKET is ${JSON.stringify(name.slice(0, STATUS_CHARS))}, but must be an absolute path, or @ and a name, of at most 107 bytes`;
      return new Supervisor({ send: () => undefined, ignored: [problem] });
    }
    const isOurs = !watchdogPid || watchdogPid === String(pid);
    const isNumber = usec === undefined || /^[1-9]\d{0,19}$/.test(usec);
    return new Supervisor({
      send: (text) => sendDatagram(address, text),
      watchdogMs: usec && isNumber && isOurs ? Number(usec) / 1_000 : undefined,
      ignored: isNumber
        ? []
        : [`WATCHDOG_USEC is ${JSON.stringify(usec.slice(0, STATUS_CHARS))}, but must be a number of microseconds`],
    });
  }

  starting(): void {
    this.#tell('starting');
  }

  /** Sends READY=1 as soon as `/readyz` answers 200, the status whenever it changes, and signs of life. */
  follow(supervised: Supervised): { close(): void } {
    this.#supervised = supervised;
    const { clock, log, readiness } = supervised;
    for (const problem of this.#ignored) log.warn({ problem }, 'a variable of the service manager is ignored');
    readiness.onLook((seen) => this.#look(seen));
    this.#look(readiness.look());
    const each = this.#watchdogMs === undefined ? undefined : Math.min(this.#watchdogMs / 2, LONGEST_MS);
    if (each !== undefined) {
      const beat = () => {
        this.#beat = clock.after(each, beat);
        void this.#showLife();
      };
      beat();
    }
    return { close: () => this.#beat?.cancel() };
  }

  /** @param done resolves when the reload has ended, whether or not it has changed anything */
  reloading(done: Promise<void>): void {
    // The start is not over before READY=1, and a reload would end it.
    if (!this.#isReady || this.#isStopping) return;
    this.#reloads += 1;
    // systemd compares it with the time at which it asked for the reload, by the same clock: CLOCK_MONOTONIC.
    const now = process.hrtime.bigint() / 1_000n;
    this.#status = 'reloading';
    this.#queue(`RELOADING=1\nMONOTONIC_USEC=${now}\nSTATUS=${this.#status}`);
    void done.finally(() => {
      this.#reloads -= 1;
      if (this.#reloads > 0 || this.#isStopping) return;
      this.#status = this.#statusOf(this.#supervised!.readiness.look());
      this.#queue(`READY=1\nSTATUS=${this.#status}`);
    });
  }

  stopping(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#queue('STOPPING=1\nSTATUS=stopping');
  }

  /** The start has failed: the reason stays visible in `systemctl status`. */
  failed(thrown: unknown): void {
    const { code, message } = SidekeyError.from(thrown);
    this.#tell(`the start failed: ${message.split('\n', 1)[0]} (${code})`);
  }

  #look(seen: Readiness): void {
    if (this.#isStopping || this.#reloads > 0) return;
    const status = this.#statusOf(seen);
    if (seen.ready && !this.#isReady) {
      this.#isReady = true;
      this.#status = status;
      this.#queue(`READY=1\nSTATUS=${status}`);
    } else if (status !== this.#status) this.#tell(status);
  }

  #statusOf({ ready, parts }: Readiness): string {
    const waiting = parts.flatMap(({ name, reason }) => (reason === undefined ? [] : [`${name}: ${reason}`]));
    const text = ready ? this.#supervised!.summary() : `waiting for ${waiting.join('; ')}`;
    return line(this.#storeProblem === undefined ? text : `the store does not answer: ${this.#storeProblem}; ${text}`);
  }

  /** A status alone is not repeated: the next change sends another one. */
  #tell(status: string): void {
    this.#status = line(status);
    if (this.#unsent.length === 0) this.#note(this.#send(`STATUS=${this.#status}`));
    else this.#queue(`STATUS=${this.#status}`);
  }

  /** Sends WATCHDOG=1 if the store answers. That this runs shows that the event loop turns. */
  async #showLife(): Promise<void> {
    if (this.#isAskingStore || this.#isStopping) return;
    this.#isAskingStore = true;
    const { askStore, log } = this.#supervised!;
    try {
      await askStore();
      this.#storeProblem = undefined;
      this.#note(this.#send('WATCHDOG=1'));
    } catch (err) {
      if (this.#isStopping) return;
      if (this.#storeProblem === undefined) {
        log.error({ err }, 'the store does not answer: the service manager gets no sign of life until it does');
      }
      this.#storeProblem = (err as Error).message;
    } finally {
      this.#isAskingStore = false;
    }
  }

  /** Sends it after all messages before it; again later, if the manager does not read now. */
  #queue(text: string): void {
    this.#unsent.push(text);
    if (this.#unsent.length > MOST_UNSENT) this.#unsent.shift();
    if (this.#retry === undefined) this.#flush();
  }

  #flush(): void {
    this.#retry = undefined;
    while (this.#unsent.length > 0) {
      if (!this.#note(this.#send(this.#unsent[0]!))) {
        this.#retry = setTimeout(() => this.#flush(), RETRY_MS);
        this.#retry.unref();
        return;
      }
      this.#unsent.shift();
    }
  }

  /** Returns whether it was sent. */
  #note(failure: string | undefined): boolean {
    // Before the start has a log, nothing is logged; the messages that follow meet the same error.
    if (failure !== this.#logged && this.#supervised !== undefined) {
      this.#logged = failure;
      if (failure !== undefined) this.#supervised.log.warn({ error: failure }, NOT_TOLD);
    }
    return failure === undefined;
  }
}

function line(text: string): string {
  return printable(text).slice(0, STATUS_CHARS);
}
