/** Saves an answer of the server as a file of the reader. */

import { send } from '../shell/api.ts';

/** @param accept the media type that is asked for @throws ApiError */
export async function download(path: string, accept: string, name: string): Promise<void> {
  const response = await send('GET', path, { headers: { accept } });
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // The browser has taken it by the next turn; some need a moment longer.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
