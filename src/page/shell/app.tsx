/** The frame around every view: navigation, the state of the connection, and who is signed in. */

import { useEffect, useState } from 'preact/hooks';
import { Command, EmptyState, HostileText, Icon, Mark, span, Title } from '../parts/index.ts';
import { now } from './clock.ts';
import { connection, retryNow } from './live.ts';
import { href, match, place } from './router.ts';
import { ROUTES, type Route } from './routes.ts';
import { can, type Session, session, signOut } from './session.ts';
import { THEMES, type Theme, theme } from './theme.ts';
import type { ViewProps } from './view-props.ts';

export function App() {
  const state = session.value;
  if (state.kind === 'starting') return null;
  if (state.kind === 'out') return <SignedOut why={state.why} />;
  return <SignedIn session={state.session} />;
}

function SignedIn({ session: { name, role, trust_domain: trustDomain, version } }: { session: Session }) {
  const [open, setOpen] = useState(false);
  const { path, query, visit } = place.value;
  const found = routeOf(path);
  useVisit(found?.route.title ?? 'Not found', trustDomain, visit, () => setOpen(false));
  return (
    <div class="shell">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <button
          type="button"
          class="icon-button menu"
          aria-expanded={open}
          aria-controls="navigation"
          title="Menu"
          onClick={() => setOpen(!open)}
        >
          <Icon name={open ? 'close' : 'menu'} />
          <span class="unseen-label">Menu</span>
        </button>
        <a class="brand" href={href('/')}>
          <Logo />
          <span>Sidekey</span>
        </a>
        <bdi class="trust-domain" title={trustDomain}>
          {trustDomain}
        </bdi>
        <ConnectionMark />
      </header>
      <nav id="navigation" aria-label="Views" class={open ? 'open' : ''}>
        <ul>
          {ROUTES.filter(({ nav, needs = 'read' }) => nav !== undefined && can(needs)).map((route) => (
            <NavLine key={route.path} route={route} path={path} />
          ))}
        </ul>
        <div class="foot">
          <ThemeChoice />
          <p class="who">
            <HostileText text={name} short /> <span class="muted">{role}</span>
          </p>
          <button type="button" onClick={() => void signOut()}>
            Sign out
          </button>
          <p class="muted version">Sidekey {version}</p>
        </div>
      </nav>
      <main id="main" tabIndex={-1} class={found?.route.fill === true ? 'fill' : ''}>
        <ConnectionNote />
        <View found={found} query={query} />
      </main>
    </div>
  );
}

interface Found {
  readonly route: Route;
  readonly params: ViewProps['params'];
}

function routeOf(path: string): Found | undefined {
  for (const route of ROUTES) {
    const params = match(route.path, path);
    if (params !== undefined) return { route, params };
  }
  return undefined;
}

function View({ found, query }: { found: Found | undefined; query: URLSearchParams }) {
  if (found === undefined)
    return (
      <>
        <Title>Not found</Title>
        <EmptyState title="There is no view at this address">
          <p>
            <a href={href('/')}>To the overview</a>
          </p>
        </EmptyState>
      </>
    );
  const { route, params } = found;
  if (!can(route.needs ?? 'read'))
    return (
      <>
        <Title>{route.title}</Title>
        <EmptyState title={`This needs the role ${route.needs}`}>
          <p>Your session has a lower one. Open a session with that role:</p>
          <Command text={`sidekey page --role ${route.needs}`} />
        </EmptyState>
      </>
    );
  // A view starts anew for each thing that it shows.
  return <route.view key={`${route.path} ${Object.values(params).join('/')}`} params={params} query={query} />;
}

/** After a move to another view. */
function useVisit(title: string, trustDomain: string, visit: number, closeMenu: () => void): void {
  useEffect(() => {
    document.title = `${title} · ${trustDomain} · Sidekey`;
    closeMenu();
    document.getElementById('main')?.scrollTo(0, 0);
    scrollTo(0, 0);
  }, [visit, title]);
}

function NavLine({ route: { path, nav }, path: present }: { route: Route; path: string }) {
  const isPresent = path === '/' ? present === '/' : present === path || present.startsWith(`${path}/`);
  return (
    <li>
      <a href={href(path)} aria-current={isPresent ? 'page' : undefined}>
        <Icon name={nav!.icon} />
        <span>{nav!.label}</span>
      </a>
    </li>
  );
}

function ThemeChoice() {
  const names: Readonly<Record<Theme, string>> = { system: 'As the system', light: 'Light', dark: 'Dark' };
  return (
    <label class="theme">
      <span>Colours</span>
      <select value={theme.value} onChange={({ currentTarget: { value } }) => (theme.value = value as Theme)}>
        {THEMES.map((one) => (
          <option key={one} value={one}>
            {names[one]}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Always in view. */
function ConnectionMark() {
  const { state } = connection.value;
  return (
    <span class="connection" data-state={state}>
      {state === 'live' ? (
        <Mark tone="good">live</Mark>
      ) : state === 'lost' ? (
        <Mark tone="bad">connection lost</Mark>
      ) : (
        <Mark tone="busy">connecting</Mark>
      )}
    </span>
  );
}

/** Says since when what is shown is old, and when the next attempt is. */
function ConnectionNote() {
  const state = connection.value;
  // Stays in the document, so that screen readers hear when it gets a text.
  return (
    <div role="status" class="connection-note">
      {state.state === 'lost' && (
        <div class="note bad">
          <p>
            <b>The connection to the server is lost.</b> What you see is from before{' '}
            <Beat since={state.since} retryAt={state.retryAt} />
          </p>
          <button type="button" onClick={retryNow}>
            Try now
          </button>
        </div>
      )}
    </div>
  );
}

/** Changes each second, which screen readers need not hear. */
function Beat({ since, retryAt }: { since: number; retryAt: number }) {
  now.value;
  const wait = retryAt - Date.now();
  return (
    <span aria-hidden="true">
      ({span(Math.max(0, Date.now() - since))}); {wait < 1_000 ? 'trying again…' : `trying again in ${span(wait)}.`}
    </span>
  );
}

function SignedOut({ why }: { why: string | undefined }) {
  useEffect(() => {
    document.title = 'Sign in · Sidekey';
  }, []);
  return (
    <main class="signed-out">
      <p class="brand">
        <Logo />
        <span>Sidekey</span>
      </p>
      <h1>Sign in with a link</h1>
      {why !== undefined && (
        <p class="note" role="status">
          <HostileText text={why} />
        </p>
      )}
      <p>
        On the host of the server, run this command and open the link that it prints. It works once, within a minute.
      </p>
      <Command text="sidekey page" />
      <p class="muted">
        Root and the user who runs the server may use it. From elsewhere, give <code>--admin-url</code> and{' '}
        <code>--token-file</code>.
      </p>
    </main>
  );
}

function Logo() {
  return (
    <svg class="logo" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" focusable="false">
      <circle cx="8" cy="12" r="5" fill="none" stroke="currentColor" stroke-width="2.5" />
      <path d="M13 12h9M18 12v4M21.5 12v3" fill="none" stroke="currentColor" stroke-width="2.5" />
    </svg>
  );
}
