/** Asks a running SPIRE server through its own command line. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { fault, type JsonInput, MAX_OUTPUT_BYTES, parseJson } from './json-input.ts';

const run = promisify(execFile);
/** How long one command may take, in milliseconds. */
const TIMEOUT_MS = 60_000;

/**
 * The JSON that `spire-server WORDS -output json` prints.
 * @param program spire-server, by a path or a name in PATH
 * @param socket the server's socket; undefined: its default
 * @throws ERR_CONFIG with the command and what it said
 */
export async function askSpire(
  program: string,
  words: readonly string[],
  socket: string | undefined,
): Promise<JsonInput> {
  const args = [...words, '-output', 'json', ...(socket === undefined ? [] : ['-socketPath', socket])];
  const from = `${program} ${words.join(' ')}`;
  try {
    const { stdout } = await run(program, args, {
      ...{ encoding: 'buffer', timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES },
      ...{ env: { PATH: process.env.PATH ?? '' } },
    });
    return parseJson(stdout, from);
  } catch (thrown) {
    const { stderr, message, name } = thrown as Error & { stderr?: Buffer };
    if (name === 'SidekeyError') throw thrown;
    const said = stderr === undefined || stderr.length === 0 ? message : stderr.toString('utf8').slice(0, 1_000).trim();
    throw fault(
      from,
      `it failed: ${said}`,
      "run it as the user that may use the server's socket, or give files instead",
    );
  }
}
