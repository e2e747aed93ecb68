/** Asks on the terminal for a secret, without showing what is typed. */

import { StringDecoder } from 'node:string_decoder';

/** Whether a person can be asked. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

const [CTRL_C, CTRL_D, BACKSPACE, DELETE] = ['\x03', '\x04', '\b', '\x7f'];

/** What is typed until Enter. Ctrl-C ends the process, as it does without this. */
export async function askSecretly(question: string): Promise<string> {
  const { stdin, stderr } = process;
  // Before the question, so that what is typed at once is not shown either.
  stdin.setRawMode(true);
  stderr.write(question);
  stdin.resume();
  const decoder = new StringDecoder('utf8');
  try {
    return await new Promise<string>((resolve, reject) => {
      let typed: string[] = [];
      const onData = (bytes: Buffer) => {
        for (const character of decoder.write(bytes)) {
          if (character === '\r' || character === '\n') return end(() => resolve(typed.join('')));
          if (character === CTRL_C) return end(() => process.kill(process.pid, 'SIGINT'));
          if (character === CTRL_D) return end(() => reject(new Error('no passphrase was typed')));
          if (character === BACKSPACE || character === DELETE) typed = typed.slice(0, -1);
          else typed.push(character);
        }
      };
      const end = (then: () => void) => {
        stdin.off('data', onData);
        stdin.setRawMode(false);
        stderr.write('\n');
        then();
      };
      stdin.on('data', onData);
    });
  } finally {
    stdin.pause();
  }
}
