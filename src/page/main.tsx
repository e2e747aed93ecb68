/** The page: signs in, connects, and mounts it into index.html. */

import { effect } from '@preact/signals';
import { render } from 'preact';
import { App } from './shell/app.tsx';
import { startClock } from './shell/clock.ts';
import { connect, disconnect, firstConnection } from './shell/live.ts';
import { startRouter } from './shell/router.ts';
import { hasCode, session, signIn } from './shell/session.ts';
import { startTheme } from './shell/theme.ts';
import './styles/page.css';

/** How long the first view waits for the connection, after which what it reads misses no change, in milliseconds. */
const CONNECT_MS = 150;

startTheme();
startClock();
startRouter();
// Whoever has a session already need not wait for it and for the connection one after the other.
if (!hasCode()) connect();
await signIn();
effect(() => {
  const { kind } = session.value;
  if (kind === 'in') connect();
  else disconnect();
});
if (session.peek().kind === 'in')
  await Promise.race([firstConnection, new Promise((resolve) => setTimeout(resolve, CONNECT_MS))]);
render(<App />, document.getElementById('page')!);
