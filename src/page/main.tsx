/** The page: signs in, connects, and mounts it into index.html. */

import { effect } from '@preact/signals';
import { render } from 'preact';
import { App } from './shell/app.tsx';
import { startClock } from './shell/clock.ts';
import { connect, disconnect, firstConnection } from './shell/live.ts';
import { startRouter } from './shell/router.ts';
import { session, signIn } from './shell/session.ts';
import { startTheme } from './shell/theme.ts';
import './styles/page.css';

/** How long the first view waits for the connection, after which what it reads misses no change, in milliseconds. */
const CONNECT_MS = 150;

startTheme();
startClock();
startRouter();
await signIn();
let connected: Promise<unknown> = Promise.resolve();
effect(() => {
  if (session.value.kind === 'in') connect();
  else disconnect();
});
if (session.peek().kind === 'in')
  connected = Promise.race([firstConnection, new Promise((resolve) => setTimeout(resolve, CONNECT_MS))]);
await connected;
render(<App />, document.getElementById('page')!);
