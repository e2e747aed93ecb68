/**
 * Server reflection: tells clients such as grpcurl which services there are and how their messages are built.
 * @see https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
 */

import { ServerReflectionRequest, ServerReflectionResponse } from '../gen/grpc/reflection/v1/reflection.ts';
import { decodeRequest, type Method, Status, StatusError, type Stream, type StreamHandler } from '../wire/index.ts';
import { type DescribedFile, ProtoDescriptors } from './descriptors.ts';
import { quoted } from './quoted.ts';

/** The messages of both versions are the same. */
const SERVICES = ['grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'];

/** The part of a response that answers the request. */
type ReflectionAnswer = Omit<
  Parameters<typeof ServerReflectionResponse.fromPartial>[0],
  'validHost' | 'originalRequest'
>;

/** @param services full names of the services besides reflection itself */
export function reflectionMethods(services: readonly string[]): Method[] {
  const names = [...services, ...SERVICES].sort();
  let built: ProtoDescriptors | undefined;
  const descriptors = () => {
    built ??= ProtoDescriptors.built();
    return built;
  };
  return SERVICES.map((service) => ({
    path: `/${service}/ServerReflectionInfo`,
    kind: 'bidirectional',
    open: (stream) => new ReflectionStream(stream, names, descriptors()),
  }));
}

class ReflectionStream implements StreamHandler {
  readonly #stream: Stream;
  readonly #services: readonly string[];
  readonly #descriptors: ProtoDescriptors;
  /** The names of the files that were sent on this stream. */
  readonly #sent = new Set<string>();

  constructor(stream: Stream, services: readonly string[], descriptors: ProtoDescriptors) {
    this.#stream = stream;
    this.#services = services;
    this.#descriptors = descriptors;
  }

  message(bytes: Uint8Array): void {
    const request = decodeRequest(ServerReflectionRequest, 'ServerReflectionRequest', bytes);
    const answer = this.#answer(request);
    const response = { validHost: request.host, originalRequest: request, ...answer };
    this.#stream.send(ServerReflectionResponse.encode(ServerReflectionResponse.fromPartial(response)).finish());
  }

  halfClose(): void {
    this.#stream.end(Status.OK, '');
  }

  closed(): void {}

  #answer(request: ServerReflectionRequest): ReflectionAnswer {
    const { fileByFilename, fileContainingSymbol, fileContainingExtension, allExtensionNumbersOfType } = request;
    if (request.listServices !== undefined) {
      return { listServicesResponse: { service: this.#services.map((name) => ({ name })) } };
    }
    if (fileByFilename !== undefined) {
      return this.#fileOr(this.#descriptors.named(fileByFilename), `file ${quoted(fileByFilename)}`);
    }
    if (fileContainingSymbol !== undefined) {
      return this.#fileOr(this.#descriptors.declaring(fileContainingSymbol), `symbol ${quoted(fileContainingSymbol)}`);
    }
    if (fileContainingExtension !== undefined) {
      const { containingType, extensionNumber } = fileContainingExtension;
      const file = this.#descriptors.extending(containingType, extensionNumber);
      return this.#fileOr(file, `extension ${extensionNumber} of ${quoted(containingType)}`);
    }
    if (allExtensionNumbersOfType !== undefined) {
      const extensionNumber = this.#descriptors.extensionNumbers(allExtensionNumbersOfType);
      if (extensionNumber === undefined) return notFound(`message type ${quoted(allExtensionNumbersOfType)}`);
      return { allExtensionNumbersResponse: { baseTypeName: allExtensionNumbersOfType, extensionNumber } };
    }
    throw new StatusError(Status.INVALID_ARGUMENT, 'the ServerReflectionRequest asks for nothing that is known here');
  }

  #fileOr(file: DescribedFile | undefined, what: string): ReflectionAnswer {
    if (file === undefined) return notFound(what);
    const files = this.#descriptors.withDependencies(file, this.#sent);
    return { fileDescriptorResponse: { fileDescriptorProto: files.map(({ descriptor }) => descriptor) } };
  }
}

function notFound(what: string): ReflectionAnswer {
  return { errorResponse: { errorCode: Status.NOT_FOUND, errorMessage: `there is no ${what}` } };
}
