/**
 * A hostile caller: uses all that it is allowed, of one kind after the other. Each attack goes on until the program is
 * ended; those that open things tell how many they have.
 */

import { spawn } from 'node:child_process';
import { closeSync, copyFileSync, ftruncateSync, openSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import {
  callHeaders,
  dataFrames,
  END_STREAM,
  FRAME_HEAD_BYTES,
  FrameType,
  frame,
  grpcMessage,
  PREFACE,
  readFrames,
  resetStream,
  uint32,
} from './http2-frames.ts';
import { obey } from './obey.ts';

const SDS = '/envoy.service.secret.v3.SecretDiscoveryService';
const STREAM = `${SDS}/StreamSecrets`;
const FETCH = `${SDS}/FetchSecrets`;
const LARGEST_WINDOW = 0x7fff_ffff;
/** NGROUPS_MAX. */
const MOST_GROUPS = 65_536;

interface Target {
  readonly socket: string;
  readonly uid: number;
  /** Where it may write, where it must. */
  readonly folder?: string;
  /** Of the admin API on TCP. */
  readonly port?: number;
}

let made = 0;
/** Names that were never asked for. */
const freshNames = (count: number): string[] => {
  made += 1;
  return Array.from({ length: count }, (_, i) => `spiffe://ilinux.io/hostile/${made}/${i}`);
};

/** @param extensions of the node: 450 make a message as large as a real Envoy's */
function requestFor(resourceNames: readonly string[], extensions = 0): Buffer {
  const node = {
    id: `hostile-${made}`,
    extensions: Array.from({ length: extensions }, (_, i) => ({
      name: `envoy.filters.http.extension_${i}`,
      category: 'envoy.filters.http',
      typeUrls: [`type.googleapis.com/envoy.extensions.filters.http.extension_${i}.v3.Config`],
    })),
  };
  return Buffer.from(
    DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ node, resourceNames: [...resourceNames] })).finish(),
  );
}

/** A connection that sends, reads and throws away what comes; made again when it is cut. */
class Raw {
  readonly #path: string;
  /** The window that it opens for each stream: with none, the server's answers wait. */
  readonly #streamWindow: number;
  #socket: net.Socket | undefined;
  #next = 1;
  #answered: () => void = () => undefined;

  constructor(socketPath: string, streamWindow = LARGEST_WINDOW) {
    this.#path = socketPath;
    this.#streamWindow = streamWindow;
  }

  get stream(): number {
    const stream = this.#next;
    this.#next += 2;
    return stream;
  }

  get open(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed;
  }

  close(): void {
    this.#socket?.destroy();
  }

  connect(): void {
    const socket = net.connect(this.#path).on('error', () => socket.destroy());
    let unread = Buffer.alloc(0);
    socket.on('data', (bytes) => {
      // As much may come as will.
      if (!socket.destroyed) socket.write(frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(1_000_000)));
      unread = Buffer.concat([unread, bytes]);
      for (const { type, flags, payload } of readFrames(unread)) {
        unread = unread.subarray(FRAME_HEAD_BYTES + payload.length);
        if (type === FrameType.PING && flags === 1) this.#answered();
      }
    });
    this.#socket = socket;
    this.#next = 1;
    const window = Buffer.concat([Buffer.of(0, 4), uint32(this.#streamWindow)]);
    socket.write(Buffer.concat([PREFACE, frame(FrameType.SETTINGS, 0, 0, window), frame(FrameType.SETTINGS, 1, 0)]));
  }

  /** Waits until the server has read everything. */
  async settled(): Promise<void> {
    if (!this.open) this.connect();
    const socket = this.#socket!;
    const answer = new Promise<void>((resolve) => {
      this.#answered = resolve;
      socket.once('close', resolve);
    });
    await this.write(frame(FrameType.PING, 0, 0, Buffer.alloc(8)));
    await answer;
    socket.off('close', this.#answered);
  }

  /** Waits while the kernel takes no more. */
  async write(...parts: readonly Buffer[]): Promise<void> {
    if (!this.open) this.connect();
    const socket = this.#socket!;
    if (socket.write(Buffer.concat(parts))) return turn();
    await new Promise<void>((resolve) => {
      const done = () => {
        socket.off('drain', done).off('close', done);
        resolve();
      };
      socket.on('drain', done).on('close', done);
    });
  }
}

/** A window of the server's has 64 KiB: what is larger goes bit by bit. */
const PIECE = 48 * 1024;

async function large(raw: Raw, message: Buffer): Promise<number> {
  const { stream } = raw;
  const bytes = grpcMessage(message);
  await raw.write(callHeaders(stream, STREAM));
  for (let at = 0; at < bytes.length; at += PIECE) {
    await raw.settled();
    await raw.write(dataFrames(stream, bytes.subarray(at, at + PIECE)));
  }
  return stream;
}

async function call(
  raw: Raw,
  method: string,
  message: Buffer,
  headers: readonly [string, string][] = [],
  compressed = false,
  last = false,
): Promise<number> {
  const { stream } = raw;
  await raw.write(
    callHeaders(stream, method, headers),
    dataFrames(stream, grpcMessage(message, compressed), last ? END_STREAM : 0),
  );
  return stream;
}

/** As many frames as there may be, of a kind that belongs to no call, on many connections. */
function control({ socket }: Target, ...one: readonly Buffer[]): Promise<void> {
  const some = Buffer.concat(Array.from({ length: 20 }, () => one).flat());
  return onConnections(
    1_000,
    () => new Raw(socket),
    (raw) => raw.write(some),
  );
}

/** The same, as fast as a few connections can. */
function controlFast({ socket }: Target, ...one: readonly Buffer[]): Promise<void> {
  const many = Buffer.concat(Array.from({ length: 4_000 }, () => one).flat());
  return onConnections(
    4,
    () => new Raw(socket),
    (raw) => raw.write(many),
  );
}

const PING = frame(FrameType.PING, 0, 0, Buffer.alloc(8));
const SETTINGS = frame(FrameType.SETTINGS, 0, 0);
const WINDOW_UPDATE = frame(FrameType.WINDOW_UPDATE, 0, 0, uint32(1));
const PRIORITY = frame(FrameType.PRIORITY, 0, 1, Buffer.alloc(5));
const UNKNOWN = frame(0x77, 0, 0);

/** In turn on some connections, until the program is ended. */
async function onConnections(count: number, raw: () => Raw, attack: (raw: Raw) => Promise<unknown>): Promise<void> {
  const one = async () => {
    const connection = raw();
    for (;;) await attack(connection);
  };
  await Promise.all(Array.from({ length: count }, one));
}

function fetchAnew({ socket }: Target): Promise<void> {
  return onConnections(
    4,
    () => new Raw(socket),
    async (raw) => {
      await call(raw, FETCH, requestFor(['default']), [], false, true);
      await raw.settled();
      raw.close();
    },
  );
}

const ATTACKS: Readonly<Record<string, (target: Target) => Promise<void>>> = {
  /** Burns a processor and asks for nothing: what the others are compared with. */
  async nothing() {
    for (;;) {
      const end = performance.now() + 50;
      while (performance.now() < end);
      await turn();
    }
  },
  /** Streams that each ask for as many names as one may, which nobody may have. */
  memory: ({ socket }) =>
    onConnections(
      4,
      () => new Raw(socket),
      (raw) => large(raw, requestFor(freshNames(10_000))),
    ),
  /** The same, on streams that are given up at once. */
  names: ({ socket }) =>
    onConnections(
      1,
      () => new Raw(socket),
      async (raw) => {
        const stream = await large(raw, requestFor(freshNames(10_000)));
        await raw.settled();
        await raw.write(resetStream(stream));
      },
    ),
  /** As many streams as there may be, each with a real Envoy's node. */
  streams: ({ socket }) =>
    onConnections(
      10,
      () => new Raw(socket),
      (raw) => call(raw, STREAM, requestFor(['default'], 450)),
    ),
  /** Streams whose answers are never read. */
  unread: ({ socket }) =>
    onConnections(
      10,
      () => new Raw(socket, 0),
      (raw) => call(raw, STREAM, requestFor(['default', 'ROOTCA'])),
    ),
  /** Messages that never end. */
  unfinished: ({ socket }) =>
    onConnections(
      10,
      () => new Raw(socket),
      async (raw) => {
        const begun = grpcMessage(Buffer.alloc(60_000)).subarray(0, 8_000);
        await raw.write(callHeaders(raw.stream, STREAM), dataFrames(raw.stream - 2, begun));
      },
    ),
  pings: (target) => control(target, PING),
  pingsFast: (target) => controlFast(target, PING),
  settings: (target) => control(target, SETTINGS),
  settingsFast: (target) => controlFast(target, SETTINGS),
  windows: (target) => control(target, WINDOW_UPDATE),
  windowsFast: (target) => controlFast(target, WINDOW_UPDATE),
  priorities: (target) => control(target, PRIORITY),
  prioritiesFast: (target) => controlFast(target, PRIORITY),
  unknown: (target) => control(target, UNKNOWN),
  unknownFast: (target) => controlFast(target, UNKNOWN),
  /** Small messages that would inflate to the largest that there may be. */
  async gzip({ socket }) {
    const bomb = gzipSync(Buffer.alloc(1024 * 1024));
    await onConnections(
      1,
      () => new Raw(socket),
      (raw) => call(raw, FETCH, bomb, [['grpc-encoding', 'gzip']], true, true),
    );
  },
  /** As many fetches as there may be, with a real Envoy's node. */
  fetches: ({ socket }) => {
    const request = requestFor(['spiffe://ilinux.io/none'], 450);
    return onConnections(
      20,
      () => new Raw(socket),
      (raw) => call(raw, FETCH, request, [], false, true),
    );
  },
  /** Fetches, each on a connection of its own, which is attested. */
  attested: fetchAnew,
  /** The same of a process in as many groups as there may be. */
  groups: fetchAnew,
  /** Idle connections to the admin API on TCP, made again when they are cut. */
  async admin({ port }) {
    const idle = (): void => {
      const socket = net.connect(port!, '127.0.0.1').on('error', () => undefined);
      socket.once('close', () => setTimeout(idle, 20));
    };
    for (let i = 0; i < 4_500; i += 1) {
      idle();
      if (i % 100 === 0) await pause(10);
    }
  },
  /** Requests that are no requests, each on a stream of its own. */
  garbage: ({ socket }) =>
    onConnections(
      1,
      () => new Raw(socket),
      (raw) => call(raw, STREAM, Buffer.alloc(99, 255)),
    ),
  /** Connects and hangs up, 15,000 times a second; ends with this program. */
  async connects({ socket }) {
    const program = `use Socket; use Time::HiRes qw(usleep);
      my $to = pack_sockaddr_un($ARGV[0]);
      my $parent = getppid();
      while (getppid() == $parent) {
        for (1..30) { socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, $to); close $s }
        usleep(1600);
      }`;
    const child = spawn('perl', ['-e', program, socket], { stdio: ['ignore', 'ignore', 'ignore'] });
    await new Promise((resolve) => child.once('exit', resolve));
  },
  /** Programs of 512 MiB, of which each is to be hashed for its first connection. */
  async hashes({ socket, folder }) {
    const perl = `use IO::Socket::UNIX; my @open;
      for (1..3) { push @open, IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $ARGV[0]) or die }
      my $hello = pack('H*', $ARGV[1]);
      for (@open) { syswrite $_, $hello } sleep 5`;
    const hello = Buffer.concat([
      PREFACE,
      frame(FrameType.SETTINGS, 0, 0),
      callHeaders(1, FETCH),
      dataFrames(1, grpcMessage(requestFor(['default'])), END_STREAM),
    ]);
    for (let i = 0; ; i += 1) {
      const file = path.join(folder!, `perl-${i % 40}`);
      const fresh = `${file}.new-${i}`;
      copyFileSync('/usr/bin/perl', fresh);
      const fd = openSync(fresh, 'r+');
      ftruncateSync(fd, 512 * 1024 * 1024);
      closeSync(fd);
      const child = spawn(fresh, ['-e', perl, socket, hello.toString('hex')], { stdio: 'ignore' });
      child.on('error', () => undefined);
      await pause(100);
    }
  },
};

obey({
  /** Becomes the uid and begins; answers at once, and the attack goes on. */
  attack({ attack, ...target }: Target & { attack: string }) {
    process.setgroups!(attack === 'groups' ? Array.from({ length: MOST_GROUPS }, (_, i) => 100_000 + i) : []);
    process.setgid!(target.uid);
    process.setuid!(target.uid);
    void ATTACKS[attack]!(target);
  },
});
