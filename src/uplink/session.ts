/** A connection with the agent's SVID, and the feed over it. */

import { hostname } from 'node:os';
import { status } from '@grpc/grpc-js';
import { version } from '../base/index.ts';
import { AgentMessage, ServerMessage } from '../gen/sidekey/agent.ts';
import { PostStatusRequest, PostStatusResponse } from '../gen/spire/api/server/agent.ts';
import { Connection, type ConnectionParts } from './connection.ts';
import { Failure } from './failure.ts';
import type { Feed, FeedParts } from './feed.ts';
import { CALL_MS, GREETING_MS } from './limits.ts';
import { API } from './paths.ts';
import { PollFeed } from './poll.ts';
import { PushFeed } from './push.ts';

export interface SessionParts {
  readonly connection: Omit<ConnectionParts, 'pings'>;
  readonly feed: FeedParts;
  /** What the server was when it was asked last. */
  readonly kind: Feed['kind'] | undefined;
  /** How long TCP and TLS may take, in milliseconds. */
  readonly connectMs: number;
  readonly host: string | undefined;
}

export interface Session {
  readonly connection: Connection;
  readonly feed: Feed;
}

/** Resolves when the first whole state of the server is in the mirror. @throws Failure */
export async function openSession(parts: SessionParts): Promise<Session> {
  const { kind } = parts;
  const first = await attach(parts, kind !== 'spire');
  if (first !== undefined) return whole(first);
  // Its pings would end a connection to a server in Go.
  if (kind !== 'spire') return openSession({ ...parts, kind: 'spire' });
  const connection = new Connection({ ...parts.connection, pings: false });
  return whole({ connection, feed: new PollFeed(connection, parts.feed) });
}

/** Undefined: the server has no push stream. @throws Failure */
async function attach(parts: SessionParts, pings: boolean): Promise<Session | undefined> {
  const { clock } = parts.feed;
  const connection = new Connection({ ...parts.connection, pings });
  const call = connection.converse(API.attach, AgentMessage, ServerMessage);
  const late = clock.after(GREETING_MS, () => connection.close());
  try {
    const greeting = { version: version(), host: hostOf(parts.host ?? hostname()) };
    call.send({ greeting, report: undefined, answer: undefined });
    const message = await connection.within(parts.connectMs, call.next());
    if (message?.greeting === undefined) throw Failure.protocol('its first message is no greeting');
    return { connection, feed: new PushFeed(call, message.greeting, parts.feed) };
  } catch (error) {
    call.cancel();
    connection.close();
    if (error instanceof Failure && error.code === status.UNIMPLEMENTED) return undefined;
    throw error;
  } finally {
    late.cancel();
  }
}

async function whole(session: Session): Promise<Session> {
  try {
    await session.feed.ready;
    return session;
  } catch (error) {
    closeSession(session);
    throw error;
  }
}

export function closeSession({ connection, feed }: Session): void {
  feed.stop();
  connection.close();
}

/** Lets requests end. */
export function leaveSession({ connection, feed }: Session): void {
  feed.stop();
  connection.leave();
}

/** Tells the server this agent's version. Servers without the method do not matter. */
export async function postStatus({ connection }: Session): Promise<void> {
  const request = { currentBundleSerial: 0n, agentVersion: version() };
  await connection.ask(API.postStatus, PostStatusRequest, PostStatusResponse, request, CALL_MS);
}

/** As servers accept it. */
function hostOf(name: string): string {
  return name.replaceAll(/[^!-~ ]/g, '?').slice(0, 255);
}
