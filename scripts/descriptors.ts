/**
 * Describes proto files for server reflection: which file declares a symbol or an extension, and what each file depends on.
 * It is found out at build time, so that the server need not decode descriptors.
 */

import { type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import type { FileDescription } from '../src/standard/descriptors.ts';

/** @param set an encoded google.protobuf.FileDescriptorSet */
export function describeFiles(set: Uint8Array): FileDescription[] {
  return fromBinary(FileDescriptorSetSchema, set).file.map(describe);
}

function describe(file: FileDescriptorProto): FileDescription {
  const names = new Names();
  names.addMessages(file.package, file.messageType);
  names.addEnums(file.package, file.enumType);
  names.addExtensions(file.package, file.extension);
  for (const { name, method } of file.service) {
    const service = qualified(file.package, name);
    names.symbols.push(service, ...method.map((one) => qualified(service, one.name)));
  }
  const schema: DescMessage = FileDescriptorProtoSchema;
  return {
    name: file.name,
    descriptor: Buffer.from(toBinary(schema, file)).toString('base64'),
    dependencies: file.dependency,
    messages: names.messages,
    symbols: names.symbols,
    extensions: names.extensions,
  };
}

/** Collects the full names in a file. */
class Names {
  readonly messages: string[] = [];
  readonly symbols: string[] = [];
  readonly extensions: { type: string; number: number }[] = [];

  addMessages(scope: string, messages: readonly DescriptorProto[]): void {
    for (const message of messages) {
      const name = qualified(scope, message.name);
      this.messages.push(name);
      for (const { name: member } of [...message.field, ...message.oneofDecl])
        this.symbols.push(qualified(name, member));
      this.addMessages(name, message.nestedType);
      this.addEnums(name, message.enumType);
      this.addExtensions(name, message.extension);
    }
  }

  /** The values of an enum are declared beside it, not in it. */
  addEnums(scope: string, enums: readonly EnumDescriptorProto[]): void {
    for (const { name, value } of enums) {
      this.symbols.push(qualified(scope, name), ...value.map((one) => qualified(scope, one.name)));
    }
  }

  addExtensions(scope: string, extensions: readonly FieldDescriptorProto[]): void {
    for (const { name, extendee, number } of extensions) {
      this.symbols.push(qualified(scope, name));
      this.extensions.push({ type: extendee.replace(/^\./, ''), number });
    }
  }
}

function qualified(scope: string, name: string): string {
  return scope === '' ? name : `${scope}.${name}`;
}
