/** What the server and its copying thread share. */

export interface CopyJob {
  readonly from: string;
  /** An existing empty file. */
  readonly to: string;
  /** Over shared memory, one number for each index below. */
  readonly control: Int32Array<SharedArrayBuffer>;
}

/** 1: the thread fixes the state now. */
export const GO = 0;
/** 1: the state is fixed. */
export const STAGE = 1;
/** 1: the thread stops. */
export const STOP = 2;

export type CopyMessage =
  | { readonly is: 'prepared' }
  | { readonly is: 'copied' }
  | { readonly is: 'failed'; readonly message: string; readonly code: string | undefined };
