/** A service manager's end of NOTIFY_SOCKET. */

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { closeSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import koffi from 'koffi';
import { notifyAddress } from '../../src/server/notify-socket.ts';
import { tempDir } from './temp-dir.ts';

const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int fd, const uint8_t *address, unsigned int size)');
const recv = libc.func('long recv(int fd, _Out_ uint8_t *data, unsigned long size, int flags)');

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
/** Longer messages are cut, and so not the ones that a test expects. */
const LONGEST = 4_096;

export interface NotifySocket {
  /** The value of NOTIFY_SOCKET. */
  readonly name: string;
  /** What has been received, in order. */
  readonly messages: string[];
  /** Reads what has come. */
  read(): void;
  /** The first message that is like this, from `from` on. */
  next(like: RegExp, from?: number): Promise<string>;
}

/** Opens one, as a file or in the abstract namespace; it is read only while a test waits. */
export function openNotifySocket(t: TestContext, isAbstract = false): NotifySocket {
  const name = isAbstract ? `@sidekey-test-${randomUUID()}` : path.join(tempDir(t), 'notify');
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const address = notifyAddress(name)!;
  assert.equal(bind(fd, address, address.length), 0, `bind: errno ${koffi.errno()}`);
  let isOpen = true;
  t.after(() => {
    isOpen = false;
    closeSync(fd);
  });
  const messages: string[] = [];
  const buffer = Buffer.alloc(LONGEST);
  const read = () => {
    // The descriptor may be another's once it is closed.
    while (isOpen) {
      const length = Number(recv(fd, buffer, buffer.length, MSG_DONTWAIT));
      if (length < 0) return;
      messages.push(buffer.toString('utf8', 0, length));
    }
  };
  return {
    name,
    messages,
    read,
    async next(like, from = 0) {
      while (isOpen) {
        read();
        const found = messages.slice(from).find((message) => like.test(message));
        if (found !== undefined) return found;
        await pause(5);
      }
      throw new Error('the test has ended');
    },
  };
}
