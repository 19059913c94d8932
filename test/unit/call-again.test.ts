// What is promised here: what Temporal itself asks to be sent again is sent again, and another answer is final.
import { createServer, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import * as sdk from '@temporalio/client';
import { afterEach, expect, test } from 'vitest';
import { callAgain } from '../../src/connect.ts';

const INTERNAL = 13;
const UNIMPLEMENTED = 12;
let server: Http2Server | undefined;
afterEach(() => server?.close());

/** A server that answers the first two calls with INTERNAL and these words, and then as an old server answers the client's greeting. */
async function connect(words: string): Promise<{ calls: number; error?: unknown }> {
  const seen: { calls: number; error?: unknown } = { calls: 0 };
  server = createServer();
  server.on('stream', (stream) => {
    const status = ++seen.calls <= 2 ? INTERNAL : UNIMPLEMENTED;
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': status,
        'grpc-message': encodeURI(status === INTERNAL ? words : 'no'),
      },
      { endStream: true },
    );
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const connected = sdk.Connection.connect({ address, interceptors: callAgain(sdk), connectTimeout: 30_000 });
  await connected.then(
    (connection) => connection.close(),
    (error: unknown) => (seen.error = error),
  );
  return seen;
}

test('an answer that asks for it is followed by another call', async () => {
  expect(await connect('something went wrong, please retry (c27988bd)')).toEqual({ calls: 3 });
});

test('an answer that does not is an error', async () => {
  expect(await connect('cannot decode')).toMatchObject({ calls: 1, error: expect.anything() as unknown });
});
