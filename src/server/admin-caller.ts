import type { Socket } from 'node:net';
import { readAdminCaller } from '../attest/index.ts';
import type { Host } from './host.ts';

/** (uid_t) -1, which no process has. */
const NOBODY = 0xffff_ffff;

/** The uid and pid of the process at the other end of an admin connection, and whether it is in a container. */
export function adminCaller(socket: Socket, { kernel, unmapped, whyContained }: Host) {
  const { uid, pid, contained } = readAdminCaller(socket, whyContained, !kernel.pinsPeers);
  // The overflow id may stand for any user, so it never counts as the owner, even if the owner has it too.
  return { uid: uid === unmapped.uid ? NOBODY : uid, pid, contained };
}
