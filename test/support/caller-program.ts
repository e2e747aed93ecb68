/**
 * A process that connects to the pipe and does what it is told on stdin, one JSON array a line; it answers each with a
 * line. Run by `startCaller`.
 */

import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import readline from 'node:readline';

const sockets: net.Socket[] = [];
/** The descriptor of the last one; http2 hides it once it has taken the socket over. */
let descriptor = -1;

const commands: Record<string, (...args: never[]) => unknown> = {
  /** Opens connections, one or more. */
  async connect(path: string, count = 1) {
    for (let at = 0; at < count; at += 1) {
      const socket = net.connect(path).on('error', () => {});
      await once(socket, 'connect');
      sockets.push(socket);
      descriptor = (socket as unknown as { _handle: { fd: number } })._handle.fd;
    }
  },
  /** Opens a gRPC stream on the last connection, sends an empty message and reads what comes. */
  async stream(method: string) {
    await once(openStream(method), 'data');
  },
  /** Opens gRPC streams on the last connection, sends an empty message on each, and waits for nothing. */
  open(method: string, count: number) {
    const session = openSession();
    for (let at = 0; at < count; at += 1) openStream(method, session);
  },
  /** The same, but reads nothing, so that the window is soon full. */
  async stall(method: string) {
    await once(openStream(method), 'response');
  },
  /** Gives the last connection to a child as its stdin: one that reads until it is cut, or another program. Answers its pid. */
  share(file = '/bin/cat', ...args: string[]) {
    const child = spawn(file, args, { stdio: [descriptor, 'ignore', 'ignore'] });
    child.unref();
    return child.pid;
  },
  /** Sends the last connection to a child, a program of Node, by SCM_RIGHTS. Answers its pid. */
  async send(file: string, ...args: string[]) {
    const child = fork(file, args, { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    await new Promise((resolve) => child.send('yours', sockets.at(-1)!, { keepOpen: true }, resolve));
    child.disconnect();
    child.unref();
    return child.pid;
  },
  /** Becomes another program; never answers. */
  execute(file: string, ...args: string[]) {
    process.execve!(file, [file, ...args]);
  },
  /** Has the process (its main thread) named so, in the kernel's eyes: at most 15 bytes, in hexadecimal. */
  async name(hex: string) {
    const { default: koffi } = await import('koffi');
    const PR_SET_NAME = 15;
    koffi.load(null).func('int prctl(int option, const uint8_t *name)')(PR_SET_NAME, Buffer.from(`${hex}00`, 'hex'));
  },
  setgroups: (groups: number[]) => process.setgroups!(groups),
  setgid: (gid: number) => process.setgid!(gid),
  setuid: (uid: number) => process.setuid!(uid),
  close() {
    for (const socket of sockets.splice(0)) socket.destroy();
  },
  exit: () => process.exit(0),
};

function openSession(): http2.ClientHttp2Session {
  return http2.connect('http://pipe', { createConnection: () => sockets.at(-1)! });
}

function openStream(method: string, session = openSession()): http2.ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': method,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.write(Buffer.alloc(5));
  return stream;
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line) as [string, ...never[]];
  const answer = await commands[name]!(...args);
  console.log(JSON.stringify(answer ?? null));
}
