/** The page in a real Chromium: its first content, how soon a change is seen, and ten thousand streams. */

import { readFileSync } from 'node:fs';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { BROWSER, linkTo, PAGE_FLAGS, type PageServer, pageOf } from '../../test/page/support.ts';
import { SdsClient } from '../../test/support/sds-client.ts';
import { type Served, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import { serveStreams } from '../load/served-streams.ts';

const RUNS = 10;
const CHANGES = 40;
const STREAMS = 10_000;
const CONNECTIONS = 1_000;

export async function pageInBrowser(cleanup: Cleanup): Promise<Figure[]> {
  if (BROWSER.skip !== false) throw new Error(BROWSER.skip);
  return [...(await cleanup.within(few)), ...(await cleanup.within(many))];
}

/** With a hundred proxies: the first content, and how soon a change is seen. */
async function few(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serveStreams(cleanup, 100, 100, PAGE_FLAGS);
  const served = await pageOf(cleanup, server);
  const { origin, state } = await signIn(served);
  const overview: number[] = [];
  const proxies: number[] = [];
  const bare: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    bare.push(await firstContent(served.browser, state, `${origin}/healthz`, 'pre'));
    overview.push(await firstContent(served.browser, state, `${origin}/ui/`, 'table.counts tbody tr'));
    proxies.push(
      await firstContent(served.browser, state, `${origin}/ui/proxies`, 'table.data tbody tr:nth-child(20)'),
    );
  }
  const how = `median of ${RUNS} loads of a new browser profile that is signed in, with 100 proxies, from the start of the navigation`;
  return [
    {
      name: 'page-first-content',
      value: percentile(overview, 0.5),
      unit: 'ms',
      compared_with: {
        reach: 400,
        longest: round(Math.max(...overview)),
        'a document of a line': percentile(bare, 0.5),
      },
      how: `${how} to the counts of the overview in the document`,
    },
    {
      name: 'page-first-rows',
      value: percentile(proxies, 0.5),
      unit: 'ms',
      compared_with: {
        reach: 400,
        longest: round(Math.max(...proxies)),
        'a document of a line': percentile(bare, 0.5),
      },
      how: `${how} to the rows of the table in the document`,
    },
    await changes(cleanup, served, origin, state),
  ];
}

type State = Awaited<ReturnType<BrowserContext['storageState']>>;

async function signIn(served: PageServer): Promise<{ origin: string; state: State }> {
  const { origin, link } = await linkTo(served);
  const context = await served.browser.newContext();
  const page = await context.newPage();
  await page.goto(link);
  await page.locator('nav').waitFor({ state: 'attached' });
  const state = await context.storageState();
  await context.close();
  return { origin, state };
}

/** Notes in the page when an element that matches comes into the document, in milliseconds since the navigation began. */
const watch = (selector: string) => `
  new MutationObserver((_, observer) => {
    if (document.querySelector(${JSON.stringify(selector)}) === null) return;
    observer.disconnect();
    globalThis.seenAt = performance.now();
  }).observe(document, { childList: true, subtree: true });`;

async function firstContent(browser: Browser, state: State, url: string, selector: string): Promise<number> {
  const context = await browser.newContext({ storageState: state, viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  await page.addInitScript(watch(selector));
  await page.goto(url);
  await page.locator(selector).first().waitFor();
  const took = await page.evaluate<number>('globalThis.seenAt');
  await context.close();
  return took;
}

/** From an ACK, which changes the state of a proxy, to its changed row. */
async function changes(cleanup: Cleanup, served: PageServer, origin: string, state: State): Promise<Figure> {
  const { server, browser } = served;
  const name = `spiffe://${TRUST_DOMAIN}/web`;
  const waiting = [];
  for (let i = 0; i < CHANGES; i += 1) {
    const client = new SdsClient(server.socket);
    cleanup.after(() => client.close());
    const stream = client.stream();
    stream.send({ resourceNames: [name], node: { id: `change-${i}-`, cluster: 'bench' } });
    waiting.push({ stream, response: await stream.next() });
  }
  const context = await browser.newContext({ storageState: state, viewport: { width: 1280, height: 2_000 } });
  const page = await context.newPage();
  await page.goto(`${origin}/ui/proxies?q=change-`);
  await page.getByText(`${CHANGES} of ${CHANGES + 100} proxies`).waitFor();
  await page.evaluate(`
    globalThis.seen = {};
    new MutationObserver(() => {
      for (const row of document.querySelectorAll('table.data tbody tr')) {
        const node = /change-\\d+-/.exec(row.textContent)?.[0];
        if (node !== undefined && row.textContent.includes('in sync'))
          seen[node] ??= performance.timeOrigin + performance.now();
      }
    }).observe(document.querySelector('.table-box'), { childList: true, subtree: true, characterData: true });`);
  const took: number[] = [];
  for (const [i, { stream, response }] of waiting.entries()) {
    const at = performance.timeOrigin + performance.now();
    stream.ack(response);
    await page
      .getByRole('row')
      .filter({ hasText: `change-${i}-` })
      .getByText('in sync')
      .waitFor();
    took.push((await page.evaluate<number>(`seen['change-${i}-']`)) - at);
  }
  await context.close();
  return {
    name: 'page-event-to-row',
    value: percentile(took, 0.5),
    unit: 'ms',
    compared_with: { reach: 150, '95th percentile': percentile(took, 0.95) },
    how: `median of ${CHANGES} ACKs on a server with ${CHANGES + 100} proxies: from before the client sends it to the changed row in the document`,
  };
}

async function many(cleanup: Cleanup): Promise<Figure[]> {
  const server: Served = await serveStreams(cleanup, STREAMS, CONNECTIONS, PAGE_FLAGS);
  const served = await pageOf(cleanup, server);
  const { origin, state } = await signIn(served);
  const took: number[] = [];
  const bare: number[] = [];
  let memory = { renderer: 0, heap: 0 };
  for (let run = 0; run < RUNS; run += 1) {
    bare.push(await firstContent(served.browser, state, `${origin}/healthz`, 'pre'));
    const context = await served.browser.newContext({ storageState: state, viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    const selector = 'table.data tbody tr:nth-child(20)';
    await page.addInitScript(watch(selector));
    await page.goto(`${origin}/ui/proxies`);
    await page.locator(selector).waitFor();
    took.push(await page.evaluate<number>('globalThis.seenAt'));
    if (run === RUNS - 1) memory = await memoryOf(served.browser, page);
    await context.close();
  }
  const what = `${STREAMS} streams on ${CONNECTIONS} connections`;
  return [
    {
      name: 'page-10000-streams',
      value: percentile(took, 0.5),
      unit: 'ms',
      compared_with: { reach: 1_000, longest: round(Math.max(...took)), 'a document of a line': percentile(bare, 0.5) },
      how: `median of ${RUNS} loads of a new browser profile that is signed in, ${what}: from the start of the navigation to the rows of the table`,
    },
    {
      name: 'page-10000-streams-memory',
      value: memory.renderer,
      unit: 'MiB',
      compared_with: { reach: 150, 'of it the heap of JavaScript': memory.heap },
      how: `${what}: the proportional set size of the page's process, after scrolling to the end of the table and a collection`,
    },
  ];
}

async function memoryOf(browser: Browser, page: Page): Promise<{ renderer: number; heap: number }> {
  await page.locator('.table-box').evaluate('(box) => { box.scrollTop = box.scrollHeight; }');
  await page.evaluate('new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))');
  const session = await page.context().newCDPSession(page);
  await session.send('HeapProfiler.collectGarbage');
  await session.send('Performance.enable');
  const { metrics } = await session.send('Performance.getMetrics');
  const heap = metrics.find(({ name }) => name === 'JSHeapUsedSize')!.value;
  const whole = await browser.newBrowserCDPSession();
  const { processInfo } = await whole.send('SystemInfo.getProcessInfo');
  // Spare processes are smaller than that of the page.
  const sizes = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => proportionalSize(id));
  return { renderer: round(Math.max(...sizes) / 1024), heap: round(heap / 1024 / 1024) };
}

/** In KiB. */
function proportionalSize(pid: number): number {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))![1]);
}
