/** What other sites can do to somebody who is signed in to the page: nothing. In a real Chromium, before a real server. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { browserForTests, startBrowser } from '../support/browser.ts';
import { ROOT, type Served, serve } from '../support/serve.ts';

const BROWSER = browserForTests();

/** Code for the browser. */
function script(body: string, argument?: unknown): string {
  return `(${body})(${JSON.stringify(argument)})`;
}

describe('a browser that is signed in to the page', { timeout: 120_000, skip: BROWSER.skip }, () => {
  const cleanups: (() => unknown)[] = [];
  const t = { after: (step: () => unknown) => void cleanups.push(step) };
  let server: Served;
  let browser: Browser;
  let context: BrowserContext;
  /** The page's own origin and port, and its host without the port. */
  let origin: string;
  let port: string;
  let host: string;
  let csrf: string;
  /** The port of a site that answers under any name. */
  let evilPort: number;
  /** The cookies that it got, one text for each request. */
  const evilCookies: string[] = [];

  before(async () => {
    server = await serve(t, { logLevel: 'info' });
    const command = ['page', '--no-open', '--admin-socket', server.adminSocket];
    const child = spawn(path.join(ROOT, 'bin/sidekey'), command, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    let link = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      link += chunk as string;
      if (link.includes('\n')) break;
    }
    const match = /^((?:http:\/\/)(sidekey-\w+\.localhost):(\d+))\/#code=([\w-]+)\n$/.exec(link);
    const [, ownOrigin, ownHost, ownPort, code] = match as unknown as [string, string, string, string, string];
    [origin, host, port] = [ownOrigin, ownHost, ownPort];
    const evil = createServer(({ headers }, response) => {
      evilCookies.push(headers.cookie ?? '');
      response.setHeader('content-type', 'text/html').end('<p>evil</p>');
    });
    evil.listen(0, '127.0.0.1');
    t.after(() => {
      evil.close();
      evil.closeAllConnections();
    });
    await new Promise((resolve) => evil.once('listening', resolve));
    evilPort = (evil.address() as AddressInfo).port;
    assert.ok(BROWSER.skip === false);
    const rules = '--host-resolver-rules=MAP evil.example 127.0.0.1, MAP rebound.example 127.0.0.1';
    browser = await startBrowser(t, BROWSER.program, [rules]);
    context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${origin}/healthz`);
    const session = await page.evaluate<{ role: string; csrf: string }>(
      script(
        `async (given) => {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch('/v1/page/session', {
        method: 'POST',
        headers,
        body: JSON.stringify({ code: given }),
      });
      return answer.json();
    }`,
        code,
      ),
    );
    assert.equal(session.role, 'admin', JSON.stringify(session));
    csrf = session.csrf;
    await page.close();
  });
  after(async () => {
    for (const step of cleanups.toReversed()) await step();
  });

  /** A tab at this address. */
  async function at(url: string): Promise<Page> {
    const page = await context.newPage();
    await page.goto(url);
    return page;
  }

  /** A stranger, and the same host under another port, which is the same site and gets the cookie. */
  const others = () => [`http://evil.example:${evilPort}/`, `http://${host}:${evilPort}/`];

  async function entries(): Promise<number> {
    return (await server.request('GET', '/v1/entries')).body.entries.length;
  }

  it('has a session that works, whose cookie no script sees', async () => {
    const page = await at(`${origin}/healthz`);
    const got = await page.evaluate<{ hello: string; status: number; cookie: string }>(
      script(`async () => {
      const events = new EventSource('/v1/page/events');
      const hello = await new Promise((resolve, reject) => {
        events.addEventListener('hello', (event) => resolve(event.data));
        events.onerror = () => reject(new Error('no events'));
      });
      events.close();
      const { status } = await fetch('/v1/page/session');
      return { hello, status, cookie: document.cookie };
    }`),
    );
    assert.match(String(got.hello), /"instance"/);
    assert.deepEqual([got.status, got.cookie], [200, '']);
    await page.close();
  });

  it('changes nothing for another site (CSRF)', async () => {
    const entry = { spiffe_id: 'spiffe://ilinux.io/evil', selectors: ['unix:uid:0'] };
    for (const from of others()) {
      const page = await at(from);
      await page.evaluate(
        script(
          `async ({ target, token, text }) => {
          const { parse } = JSON;
          const send = (init) =>
            fetch(\`\${target}/v1/entries\`, { method: 'POST', credentials: 'include', body: text, ...init }).catch(
              () => undefined,
            );
          await send({ mode: 'no-cors', headers: { 'content-type': 'text/plain' } });
          await send({ headers: { 'content-type': 'application/json' } });
          await send({ headers: { 'content-type': 'application/json', 'x-sidekey-csrf': token } });
          await fetch(\`\${target}/v1/page/session\`, { method: 'DELETE', credentials: 'include' }).catch(() => undefined);
          navigator.sendBeacon(\`\${target}/v1/entries\`, text);
          // A form whose one field makes its body JSON.
          const form = document.createElement('form');
          Object.assign(form, {
            method: 'post',
            enctype: 'text/plain',
            action: \`\${target}/v1/entries\`,
            target: 'frame',
          });
          const input = document.createElement('input');
          input.name = \`\${JSON.stringify({ ...parse(text), hint: 'x' }).slice(0, -2)}\`;
          input.value = '"}';
          const frame = document.createElement('iframe');
          frame.name = 'frame';
          document.body.append(frame);
          form.append(input);
          document.body.append(form);
          const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
          form.submit();
          await loaded;
        }`,
          { target: origin, token: csrf, text: JSON.stringify(entry) },
        ),
      );
      await page.close();
      assert.equal(await entries(), 0, from);
    }
    const { body } = await server.request('GET', '/v1/page/sessions');
    assert.equal(body.sessions.length, 1, 'and nobody is signed out');
  });

  it('shows nothing to another site: not by fetch, script, or EventSource', async () => {
    for (const from of others()) {
      const page = await at(from);
      const got = await page.evaluate(
        script(
          `async (target) => {
        const read = async (url, init) => {
          try {
            const answer = await fetch(\`\${target}\${url}\`, { credentials: 'include', ...init });
            return answer.type === 'opaque' ? '' : await answer.text();
          } catch {
            return '';
          }
        };
        const heard = [];
        const events = (url) =>
          new Promise((resolve) => {
            const source = new EventSource(\`\${target}\${url}\`, { withCredentials: true });
            source.onopen = () => heard.push(\`open \${url}\`);
            source.addEventListener('hello', () => heard.push(\`hello \${url}\`));
            source.onerror = () => {
              source.close();
              resolve();
            };
          });
        await Promise.all([events('/v1/page/events'), events('/v1/events')]);
        const script = document.createElement('script');
        const scriptEnd = new Promise((resolve) => {
          script.onload = () => resolve('loaded');
          script.onerror = () => resolve('');
        });
        script.src = \`\${target}/v1/page/overview\`;
        document.head.append(script);
        const texts = [await read('/v1/entries', {}), await read('/v1/page/session', { mode: 'no-cors' })];
        return { heard, texts, script: await scriptEnd };
      }`,
          origin,
        ),
      );
      assert.deepEqual(got, { heard: [], texts: ['', ''], script: '' }, from);
      await page.close();
    }
  });

  it('gets no cookie from another name below localhost, and gives it none', async () => {
    evilCookies.length = 0;
    const page = await at(`http://evil.localhost:${evilPort}/`);
    await page.evaluate(
      script(`() => {
      for (const domain of ['localhost', '.localhost', '${host}']) {
        for (const path of ['/', '/v1']) {
          document.cookie = \`sidekey_session=tossed; domain=\${domain}; path=\${path}\`;
          document.cookie = \`=sidekey_session=tossed; domain=\${domain}; path=\${path}\`;
        }
      }
      document.cookie = 'sidekey_session=own';
    }`),
    );
    await page.reload();
    assert.equal(evilCookies.at(-1), 'sidekey_session=own');
    assert.doesNotMatch(evilCookies.join('\n'), /sidekey_session=[\w-]{43}/);
    await page.goto(`${origin}/healthz`);
    assert.equal(await page.evaluate(script(`async () => (await fetch('/v1/page/session')).status`)), 200);
    await page.close();
  });

  it('is framed by nobody', async () => {
    for (const from of others()) {
      for (const url of ['/', '/ui/', '/v1/entries']) {
        const page = await at(from);
        await page.evaluate(
          script(
            `async (source) => {
          const frame = document.createElement('iframe');
          frame.src = source;
          const loaded = new Promise((resolve) => frame.addEventListener('load', resolve));
          document.body.append(frame);
          await loaded;
        }`,
            `${origin}${url}`,
          ),
        );
        const frame = page.frames()[1]!;
        const content = await frame.content().catch(() => '');
        assert.doesNotMatch(content, /id="page"|next_cursor/, `${url} in ${from}`);
        await page.close();
      }
    }
  });

  it('leaves nothing of itself to a window that opened it', async () => {
    const page = await at(`http://evil.example:${evilPort}/`);
    const [opened] = await Promise.all([
      context.waitForEvent('page'),
      page.evaluate(script(`(target) => void window.open(\`\${target}/\`, 'victim')`, origin)),
    ]);
    await opened.waitForLoadState();
    assert.equal(await opened.evaluate(script(`() => window.opener`)), null);
    await opened.close();
    await page.close();
  });

  it('gives nothing to a name that was bound to this host later (DNS rebinding)', async () => {
    const page = await context.newPage();
    const first = await page.goto(`http://rebound.example:${port}/`);
    assert.equal(first!.status(), 403);
    const got = await page.evaluate(
      script(`async () => {
      const answer = await fetch('/v1/entries');
      const events = await fetch('/v1/page/events');
      return [answer.status, (await answer.json()).code, events.status];
    }`),
    );
    assert.deepEqual(got, [403, 'ERR_FORBIDDEN_HOST', 403]);
    await page.close();
  });

  it('loads nothing from elsewhere, and runs no script of a text', async () => {
    const page = await context.newPage();
    const asked: string[] = [];
    page.on('request', (request) => void asked.push(request.url()));
    await page.goto(`${origin}/ui/`);
    await page.waitForLoadState('load');
    for (const url of asked) assert.ok(url.startsWith(`${origin}/`) || url.startsWith('data:'), url);
    const ran = await page.evaluate(
      script(`async () => {
      document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="window.ran = 1">');
      const script = document.createElement('script');
      script.textContent = 'window.ran = 2';
      document.body.append(script);
      await new Promise((resolve) => setTimeout(resolve, 100));
      return window.ran ?? 0;
    }`),
    );
    assert.equal(ran, 0);
    await page.close();
  });
});
