/** The thread that parses long YAML; `yaml-apart.ts` starts it. */

import { parentPort, workerData } from 'node:worker_threads';
import { parseYaml, YamlFault } from './yaml.ts';
import type { WorkerAnswer } from './yaml-apart.ts';

function answer(text: string): WorkerAnswer {
  try {
    return { documents: parseYaml(text).map(({ value, lines }) => ({ value, lines: lines() })) };
  } catch (thrown) {
    if (thrown instanceof YamlFault) return { fault: { message: thrown.message, line: thrown.line } };
    throw thrown;
  }
}

parentPort!.postMessage(answer(workerData as string));
