/** A log that the test can read. */

import pino from 'pino';
import type { Log } from '../../src/telemetry/log.ts';
import { serializeError } from '../../src/telemetry/serialize-error.ts';

export interface RecordingLog {
  readonly log: Log;
  /** One object a line, with `level` as a number. */
  readonly lines: Record<string, unknown>[];
}

export function recordingLog(): RecordingLog {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: 'trace', base: null, serializers: { err: serializeError } },
    { write: (line: string) => void lines.push(JSON.parse(line)) },
  );
  return { log, lines };
}
