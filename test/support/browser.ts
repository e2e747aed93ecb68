/** A real Chromium for tests. */

import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { type Browser, chromium } from 'playwright-core';

/** Where Debian, Ubuntu, Fedora and Chrome's own packages put it. */
const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/opt/google/chrome/chrome',
];

/** The program, and no reason to skip, or why there is none. */
export type BrowserForTests = { readonly program: string; readonly skip: false } | { readonly skip: string };

export function browserForTests(): BrowserForTests {
  const { CHROMIUM } = process.env;
  const program = (CHROMIUM === undefined ? PLACES : [CHROMIUM]).find((place) => existsSync(place));
  if (program === undefined) return { skip: 'no Chromium: install the package chromium, or name one by CHROMIUM' };
  return { program, skip: false };
}

/** Starts it, with further flags; it ends with the test. */
export async function startBrowser(
  t: Pick<TestContext, 'after'>,
  program: string,
  flags: readonly string[] = [],
): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: program,
    args: [
      // Chromium's sandbox refuses to run as root; the tests load pages of this machine only.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      // A small /dev/shm, as containers have it, would crash it.
      '--disable-dev-shm-usage',
      '--disable-background-networking',
      ...flags,
    ],
  });
  t.after(() => browser.close());
  return browser;
}
