/** The descriptors of the served protos, which the build has generated. */

import { inflateSync } from 'node:zlib';
import { DESCRIPTORS } from '../gen/descriptors.ts';

/** The build's description of one proto file. Names are full names without a leading dot. */
export interface FileDescription {
  /** As in an import. */
  readonly name: string;
  /** The encoded google.protobuf.FileDescriptorProto, in base64. */
  readonly descriptor: string;
  /** The names of the files that it imports. */
  readonly dependencies: readonly string[];
  readonly messages: readonly string[];
  /** The names of all symbols except messages. */
  readonly symbols: readonly string[];
  /** The extended message and the number of each extension. */
  readonly extensions: readonly { readonly type: string; readonly number: number }[];
}

/** A proto file. */
export interface DescribedFile {
  readonly name: string;
  /** An encoded google.protobuf.FileDescriptorProto. */
  readonly descriptor: Buffer;
  readonly dependencies: readonly string[];
}

export class ProtoDescriptors {
  readonly #files = new Map<string, DescribedFile>();
  readonly #symbols = new Map<string, DescribedFile>();
  /** The extensions of each message, by number. */
  readonly #extensions = new Map<string, Map<number, DescribedFile>>();

  constructor(files: readonly FileDescription[]) {
    for (const { name, descriptor, dependencies, messages, symbols, extensions } of files) {
      const file = { name, descriptor: Buffer.from(descriptor, 'base64'), dependencies };
      this.#files.set(name, file);
      for (const symbol of symbols) this.#symbols.set(symbol, file);
      for (const message of messages) {
        this.#symbols.set(message, file);
        this.#extensionsOf(message);
      }
      for (const { type, number } of extensions) this.#extensionsOf(type).set(number, file);
    }
  }

  /** The descriptors of the protos that Sidekey is built with. */
  static built(): ProtoDescriptors {
    const json = inflateSync(Buffer.from(DESCRIPTORS, 'base64')).toString();
    return new ProtoDescriptors(JSON.parse(json) as FileDescription[]);
  }

  named(name: string): DescribedFile | undefined {
    return this.#files.get(name);
  }

  /** The file that declares the symbol. */
  declaring(symbol: string): DescribedFile | undefined {
    return this.#symbols.get(symbol);
  }

  extending(message: string, number: number): DescribedFile | undefined {
    return this.#extensions.get(message)?.get(number);
  }

  /** The numbers of the message's extensions; undefined if there is no such message. */
  extensionNumbers(message: string): number[] | undefined {
    const extensions = this.#extensions.get(message);
    return extensions && [...extensions.keys()].sort((a, b) => a - b);
  }

  /**
   * The file and its direct and indirect dependencies, except those in `known`; adds the returned files to `known`.
   */
  withDependencies(file: DescribedFile, known: Set<string>): DescribedFile[] {
    const found = [file];
    known.add(file.name);
    // The list grows while it is read.
    for (const { dependencies } of found) {
      for (const name of dependencies) {
        const dependency = this.#files.get(name);
        if (dependency === undefined || known.has(name)) continue;
        known.add(name);
        found.push(dependency);
      }
    }
    return found;
  }

  #extensionsOf(message: string): Map<number, DescribedFile> {
    let extensions = this.#extensions.get(message);
    if (extensions === undefined) {
      extensions = new Map();
      this.#extensions.set(message, extensions);
    }
    return extensions;
  }
}
