/** Serializes errors for the log. */

import pino from 'pino';
import { SidekeyError } from '../base/index.ts';

/**
 * Like pino's serializer, but `type` is the error's name, because class names change in a bundle (`_SidekeyError`). An
 * error with a code of Sidekey's own has no stack: its message says what is wrong, unless it is internal.
 */
export function serializeError(error: Error): unknown {
  if (error instanceof SidekeyError && error.code !== 'ERR_INTERNAL') return briefError(error);
  const serialized = pino.stdSerializers.errWithCause(error);
  let shown: { type: string; cause?: unknown } | undefined = serialized;
  for (let one: unknown = error; one instanceof Error && shown !== undefined; one = one.cause) {
    shown.type = one.name;
    shown = shown.cause as typeof shown;
  }
  return serialized;
}

/** Maximum number of causes, characters of a message and stack frames in the log. */
const CAUSES = 4;
const MESSAGE_LENGTH = 1_024;
const FRAMES = 2;

/** An error's name, code, message and causes without its stack, for lines that callers can cause at will. */
export function briefError(error: unknown): unknown {
  return brief(error, CAUSES);
}

function brief(error: unknown, causes: number): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message, cause } = error;
  const code: unknown = Reflect.get(error, 'code');
  return {
    type: name,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    message: message.slice(0, MESSAGE_LENGTH),
    ...(isFault(error) ? { at: framesOf(error) } : {}),
    ...(cause instanceof Error && causes > 0 ? { cause: brief(cause, causes - 1) } : {}),
  };
}

/** These errors are bugs of Sidekey, so the log needs their place in the code. */
function isFault(error: Error): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
}

function framesOf({ stack = '' }: Error): string {
  const frames = stack.split('\n').filter((line) => line.startsWith('    at '));
  return frames
    .slice(0, FRAMES)
    .map((frame) => frame.trim())
    .join(' ');
}
