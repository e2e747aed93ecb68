/**
 * A hostile client of the admin API on TCP, without a token or with a weak one. Each attack goes on until the program is
 * ended; a connection that is cut is made again.
 */

import net from 'node:net';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { obey } from './obey.ts';

interface Target {
  readonly port: number;
  /** How many connections at a time. */
  readonly connections: number;
  /** Of a role that may read; undefined: none. */
  readonly token?: string;
}

/** Connections that were made and that were cut so far. */
const counts = { made: 0, cut: 0 };

type Act = (socket: net.Socket) => void;

/** Holds so many connections; each begins with `act`. @param rest before a cut one is made again, in milliseconds */
async function hold({ port, connections }: Target, act: Act, rest = 20): Promise<void> {
  const one = (): void => {
    const socket = net.connect(port, '127.0.0.1').on('error', () => undefined);
    socket.once('connect', () => {
      counts.made += 1;
      act(socket);
    });
    socket.resume().once('close', () => {
      counts.cut += 1;
      setTimeout(one, rest);
    });
  };
  for (let i = 0; i < connections; i += 1) {
    one();
    if (i % 100 === 99) await pause(10);
  }
}

/** Writes a piece each 100 ms for as long as the connection lives. */
function drip(socket: net.Socket, piece: () => string): void {
  const drops = setInterval(() => socket.write(piece()), 100);
  socket.once('close', () => clearInterval(drops));
}

const HEAD = 'Host: localhost\r\nContent-Type: application/json\r\n';
const bearer = ({ token }: Target) => (token === undefined ? '' : `Authorization: Bearer ${token}\r\n`);

const ATTACKS: Readonly<Record<string, (target: Target) => Promise<void>>> = {
  /** Burns a processor and asks for nothing: what the others are compared with. */
  async nothing() {
    for (;;) {
      const end = performance.now() + 50;
      while (performance.now() < end);
      await turn();
    }
  },
  /** Connections that say nothing. */
  idle: (target) => hold(target, () => undefined),
  /** Headers that never end. */
  slowHeaders: (target) =>
    hold(target, (socket) => {
      socket.write('GET /v1/entries HTTP/1.1\r\nHost: localhost\r\n');
      drip(socket, () => 'x: y\r\n');
    }),
  /** Bodies that never end, of as many bytes as may be, where a token lets them begin. */
  slowBodies: (target) =>
    hold(target, (socket) => {
      socket.write(`POST /v1/entries HTTP/1.1\r\n${HEAD}${bearer(target)}Content-Length: 1000000\r\n\r\n`);
      drip(socket, () => ' ');
    }),
  /** Bodies of 1 MiB that are not JSON, one after the other. */
  largeBodies: (target) =>
    hold(target, (socket) => {
      const body = '['.repeat(1024 * 1024);
      socket.end(`POST /v1/entries HTTP/1.1\r\n${HEAD}${bearer(target)}Content-Length: ${body.length}\r\n\r\n${body}`);
    }),
  /** Wrong tokens, as fast as they are refused. */
  guesses: (target) =>
    hold(
      target,
      (socket) => {
        socket.write(`GET /v1/entries HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${Math.random()}\r\n\r\n`);
      },
      0,
    ),
};

obey({
  /** Answers at once, and the attack goes on. */
  attack: ({ attack, ...target }: Target & { attack: string }) => {
    void ATTACKS[attack]!(target);
  },
  counts: () => counts,
});
