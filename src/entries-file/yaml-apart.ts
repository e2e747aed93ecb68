/** Parses YAML in a thread of its own: the parser takes about a second for two million characters. */

import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Lines } from './lines.ts';
import { type YamlDocument, YamlFault } from './yaml.ts';

export type WorkerAnswer =
  | { readonly documents: readonly { readonly value: unknown; readonly lines: Lines }[] }
  | { readonly fault: { readonly message: string; readonly line: number } };

/** Time limit, in milliseconds. */
const TIMEOUT_MS = 30_000;
/** Memory limit of the thread, in MiB: the parser needs about 100 bytes for each character. */
const MEMORY_MB = 768;

/** The same as `parseYaml`, without blocking the event loop. @throws YamlFault; Error if the thread fails */
export async function parseYamlApart(text: string): Promise<YamlDocument[]> {
  const isSource = import.meta.filename.endsWith('.ts');
  const file = path.join(import.meta.dirname, isSource ? 'yaml-worker.ts' : 'yaml-worker.cjs');
  const worker = new Worker(file, {
    workerData: text,
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
    // Not the server's flags.
    execArgv: [],
  });
  const { promise, resolve, reject } = Promise.withResolvers<WorkerAnswer>();
  const late = setTimeout(
    () => reject(new YamlFault(`it takes longer than ${TIMEOUT_MS / 1_000} s to parse`, 1)),
    TIMEOUT_MS,
  );
  worker.on('message', resolve).on('error', (error: NodeJS.ErrnoException) => {
    const isMemory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
    reject(isMemory ? new YamlFault('it needs too much memory to parse', 1) : error);
  });
  worker.on('exit', (code) => reject(new Error(`the thread that parses YAML ended (${code})`)));
  try {
    const answer = await promise;
    if ('fault' in answer) throw new YamlFault(answer.fault.message, answer.fault.line);
    return answer.documents.map(({ value, lines }) => ({ value, lines: () => lines }));
  } finally {
    clearTimeout(late);
    void worker.terminate();
  }
}
