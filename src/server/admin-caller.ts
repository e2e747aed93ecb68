import type { Socket } from 'node:net';
import { readAdminCaller } from '../attest/admin-caller.ts';
import type { Host } from './host.ts';

/** (uid_t) -1, which no process has. */
const NOBODY = 0xffff_ffff;

/** Who is at the other end of a connection to the admin socket. */
export function adminCaller(socket: Socket, { kernel, unmapped, whyContained }: Host) {
  const { uid, contained } = readAdminCaller(socket, whyContained, !kernel.pinsPeers);
  // The overflow id may be any user's, so it is nobody's here: not the owner's either, where the owner reads as that.
  return { uid: uid === unmapped.uid ? NOBODY : uid, contained };
}
