/** The page in a real browser, on a real server. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type { TestContext } from 'node:test';
import axe from 'axe-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { type BrowserForTests, browserForTests, startBrowser } from '../support/browser.ts';
import { ROOT, type Served, serve } from '../support/serve.ts';

export type Cleanup = Pick<TestContext, 'after'>;

export const BROWSER: BrowserForTests = browserForTests();

/** A server that has the page on TCP, and a way there that can be cut. */
export interface PageServer {
  readonly server: Served;
  readonly cable: Cable;
  readonly browser: Browser;
}

/** Flags of a server that has the page on TCP. */
export const PAGE_FLAGS = ['--admin-listen', '127.0.0.1:0'];

export async function servePage(t: Cleanup, flags: readonly string[] = []): Promise<PageServer> {
  return pageOf(t, await serve(t, { flags: [...PAGE_FLAGS, ...flags] }));
}

/** @param server one with {@link PAGE_FLAGS} */
export async function pageOf(t: Cleanup, server: Served): Promise<PageServer> {
  assert.ok(BROWSER.skip === false);
  return { server, cable: await layCable(t, await portOf(server)), browser: await startBrowser(t, BROWSER.program) };
}

/** Where the server listens on TCP. */
export async function portOf(server: Served): Promise<number> {
  return (await server.request('POST', '/v1/page/links', {})).body.listener.port;
}

/** Forwards TCP connections, until it is cut. */
export interface Cable {
  readonly port: number;
  /** Where it goes now. */
  to(port: number): void;
  /** Breaks all connections, and refuses new ones. */
  cut(): void;
  mend(): Promise<void>;
}

async function layCable(t: Cleanup, target: number): Promise<Cable> {
  let to = target;
  const open = new Set<net.Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(to, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as net.AddressInfo;
  const cut = () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
  t.after(cut);
  return {
    port,
    to: (other) => {
      to = other;
    },
    cut,
    mend: async () => {
      await once(server.listen(port, '127.0.0.1'), 'listening');
    },
  };
}

export interface OpenOptions {
  /** Below /ui. */
  readonly at?: string;
  readonly role?: 'read' | 'entries' | 'admin';
  readonly name?: string;
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: 'light' | 'dark';
  readonly timeZone?: string;
  readonly locale?: string;
  /** Errors on the console that the test provokes; connections that break are no errors of the page. */
  readonly expected?: RegExp;
}

export interface OpenPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** `http://<random>.localhost:PORT` */
  readonly origin: string;
}

/** A link with a new code; the host is one that no other page has. */
export async function linkTo(
  { server, cable }: Pick<PageServer, 'server' | 'cable'>,
  { role = 'admin', name }: Pick<OpenOptions, 'role' | 'name'> = {},
): Promise<{ origin: string; link: string }> {
  const { status, body } = await server.request('POST', '/v1/page/links', { role, ...(name && { name }) });
  assert.equal(status, 201, JSON.stringify(body));
  const origin = `http://${randomBytes(8).toString('hex')}.localhost:${cable.port}`;
  return { origin, link: `${origin}/#code=${body.code}` };
}

/** Signs in by a link and goes to a view. Errors on the console and violations of the policy fail the test. */
export async function openPage(t: Cleanup, served: PageServer, options: OpenOptions = {}): Promise<OpenPage> {
  const { at, width = 1280, height = 800, scheme = 'light', timeZone, locale = 'en-GB', expected } = options;
  const context = await served.browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    locale,
    ...(timeZone !== undefined && { timezoneId: timeZone }),
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  const errors: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(String(error.stack)));
  t.after(() => {
    const surprising = errors.filter((error) => !/net::ERR_/.test(error) && expected?.test(error) !== true);
    assert.deepEqual(surprising, [], 'errors in the browser');
  });
  const { origin, link } = await linkTo(served, options);
  await page.goto(link);
  await page.locator('nav').waitFor({ state: 'attached' });
  // The overview has asked for all that it shows, which leaving it at once would break off.
  if (at !== undefined) {
    await page.goto(`${origin}/ui${at}`);
    await page.locator('nav').waitFor({ state: 'attached' });
  }
  return { page, context, origin };
}

/** What axe-core finds that is serious or critical, as text. */
export async function accessibilityFaults(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: typeof import('axe-core') };
    return axe.run({ resultTypes: ['violations'] });
  });
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(
      ({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} (${failureSummary})`).join('; ')}`,
    );
}

/** The widths and colours in which every view must be right. */
export const LOOKS = [360, 1920, 3840].flatMap((width) =>
  (['light', 'dark'] as const).map((scheme) => ({
    width,
    height: width === 360 ? 740 : width === 1920 ? 1080 : 2160,
    scheme,
  })),
);

/** How far the document is wider than the window, in pixels: 0 unless the whole page scrolls sideways. */
export function overhang(page: Page): Promise<number> {
  return page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}

/** Checks a view that is open in all looks: nothing serious of axe-core, no sideways scrolling. */
export async function checkLooks(page: Page): Promise<void> {
  const before = page.viewportSize();
  for (const { width, height, scheme } of LOOKS) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme });
    assert.deepEqual(await accessibilityFaults(page), [], `${width} px, ${scheme}`);
    assert.equal(await overhang(page), 0, `sideways scrolling at ${width} px, ${scheme}`);
  }
  if (before !== null) await page.setViewportSize(before);
  await page.emulateMedia({ colorScheme: 'light' });
}

/** Screenshots for the documentation are written only by `npm run page:screenshots`. */
const WRITES = process.env.PAGE_SCREENSHOTS === '1';

/** Takes docs/page/NAME.png of what the window shows. */
export async function screenshot(page: Page, name: string): Promise<void> {
  if (!WRITES) return;
  mkdirSync(path.join(ROOT, 'docs/page'), { recursive: true });
  await page.screenshot({ path: path.join(ROOT, 'docs/page', `${name}.png`), animations: 'disabled', caret: 'hide' });
}

/** The text of the element that has the focus. */
export function focused(page: Page): Promise<string> {
  return page.evaluate('document.activeElement.textContent');
}

/** Presses Tab until the element with this text has the focus. @throws Error if it never has */
export async function tabTo(page: Page, text: string | RegExp, most = 60): Promise<void> {
  for (let i = 0; i < most; i += 1) {
    const now = await focused(page);
    if (typeof text === 'string' ? now === text : text.test(now)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`${text} does not get the focus by Tab`);
}
