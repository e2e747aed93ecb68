/** Questions of the server that only this agent can answer: reads of its admin API, in bounded number, time and size. */

import type { Deadline } from '../base/index.ts';
import type { Answer, Question } from '../gen/sidekey/agent.ts';
import type { FeedParts } from './feed.ts';

const MOST_AT_ONCE = 8;
const MOST_CHARACTERS = 2_048;
const ANSWER_MS = 5_000;
/** Less than a server takes in one message. */
const MAX_BODY_BYTES = 1024 * 1024 - 1024;

export class Questions {
  readonly #parts: Pick<FeedParts, 'answer' | 'clock' | 'log'>;
  readonly #send: (answer: Answer) => void;
  readonly #open = new Set<Deadline>();

  constructor(parts: Pick<FeedParts, 'answer' | 'clock' | 'log'>, send: (answer: Answer) => void) {
    this.#parts = parts;
    this.#send = send;
  }

  ask({ id, path }: Question): void {
    if (path.length > MOST_CHARACTERS || !/^\/v1\/[!-~]*$/.test(path)) {
      this.#refuse(id, 400, 'a question is the path of a resource of the admin API');
    } else if (this.#open.size >= MOST_AT_ONCE) {
      this.#refuse(id, 503, `the agent answers ${MOST_AT_ONCE} questions at once`);
    } else this.#answer(id, path);
  }

  stop(): void {
    for (const late of this.#open) late.cancel();
    this.#open.clear();
  }

  #answer(id: bigint, path: string): void {
    const { answer, clock, log } = this.#parts;
    const end = (finish: () => void) => {
      late.cancel();
      if (this.#open.delete(late)) finish();
    };
    const late = clock.after(ANSWER_MS, () => {
      end(() => this.#refuse(id, 504, `the agent has no answer within ${ANSWER_MS / 1000} s`));
    });
    this.#open.add(late);
    // An `answer` that throws at once is a rejection too.
    Promise.resolve(path)
      .then(answer)
      .then(
        ({ status, body }) =>
          end(() => {
            if (body.length > MAX_BODY_BYTES)
              this.#refuse(id, 413, 'the answer of the agent is too large: ask for less');
            else this.#send({ id, status, body: Buffer.from(body) });
          }),
        (err: unknown) => {
          log.error({ err }, 'a question of the server could not be answered');
          end(() => this.#refuse(id, 500, 'the agent could not answer; its log has the reason'));
        },
      );
  }

  #refuse(id: bigint, status: number, detail: string): void {
    this.#send({ id, status, body: Buffer.from(JSON.stringify({ status, detail })) });
  }
}
