/**
 * A process that connects to the pipe and does what it is told on stdin, one JSON array a line; it answers each with a
 * line. Run by `startCaller`.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import readline from 'node:readline';

const sockets: net.Socket[] = [];

const commands: Record<string, (...args: never[]) => unknown> = {
  /** Opens connections, one or more. */
  async connect(path: string, count = 1) {
    for (let at = 0; at < count; at += 1) {
      const socket = net.connect(path).on('error', () => {});
      await once(socket, 'connect');
      sockets.push(socket);
    }
  },
  /** Opens a gRPC stream on the last connection and sends an empty message. */
  async stream(method: string) {
    const socket = sockets.at(-1)!;
    const session = http2.connect('http://pipe', { createConnection: () => socket });
    const stream = session.request({
      ':method': 'POST',
      ':path': method,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.write(Buffer.alloc(5));
    await once(stream, 'data');
  },
  /** Gives the last connection to a child as its stdin; the child reads until it is cut. Answers with the child's pid. */
  share() {
    const { fd } = (sockets.at(-1) as unknown as { _handle: { fd: number } })._handle;
    const child = spawn('/bin/cat', { stdio: [fd, 'ignore', 'ignore'] });
    child.unref();
    return child.pid;
  },
  /** Becomes another program; never answers. */
  execute(file: string, ...args: string[]) {
    process.execve!(file, [file, ...args]);
  },
  setgroups: (groups: number[]) => process.setgroups!(groups),
  setgid: (gid: number) => process.setgid!(gid),
  setuid: (uid: number) => process.setuid!(uid),
  close() {
    for (const socket of sockets.splice(0)) socket.destroy();
  },
  exit: () => process.exit(0),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [name, ...args] = JSON.parse(line) as [string, ...never[]];
  const answer = await commands[name]!(...args);
  console.log(JSON.stringify(answer ?? null));
}
