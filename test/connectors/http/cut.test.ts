// What is promised here: an answer that is cut at any byte, in any framing, is never taken for a whole one; neither is one that was damaged.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { type HttpAnswer, type HttpOptions, type OpenHttp, openHttp } from '../../../src/connectors/http/index.ts';
import { CodedError } from '../../../src/model/failure.ts';
import { end, plainUpstream, reset, type Script, type ScriptServer, startScripts } from '../../support/http.ts';

const value = {
  features: [
    { id: 'us2000cr', mag: 4.7 },
    { id: 'ü', place: 'Küste 🌊' },
  ],
  count: 2,
};
const content = Buffer.from(JSON.stringify(value));
const lines = (...all: readonly string[]): Buffer => Buffer.from(`${all.join('\r\n')}\r\n\r\n`);
const chunks = (bytes: Buffer, size: number): Buffer => {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const part = bytes.subarray(at, at + size);
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
};
const encodings = { plain: content, gzip: gzipSync(content), br: brotliCompressSync(content) };
const framings = {
  length: (bytes: Buffer, ...more: readonly string[]) =>
    Buffer.concat([lines('HTTP/1.1 200 OK', ...more, `Content-Length: ${bytes.length}`), bytes]),
  chunked: (bytes: Buffer, ...more: readonly string[]) =>
    Buffer.concat([lines('HTTP/1.1 200 OK', ...more, 'Transfer-Encoding: chunked'), chunks(bytes, 17)]),
  close: (bytes: Buffer, ...more: readonly string[]) => Buffer.concat([lines('HTTP/1.1 200 OK', ...more), bytes]),
  'HTTP/1.0': (bytes: Buffer, ...more: readonly string[]) => Buffer.concat([lines('HTTP/1.0 200 OK', ...more), bytes]),
};

let server: ScriptServer;
let http: OpenHttp;
let script: Script = [];
beforeAll(async () => {
  server = await startScripts(() => script);
  http = openHttp(plainUpstream('http:x', { address: server.address, timeout: '5 seconds' }), { readSecret: () => '' });
});
afterAll(async () => {
  await http.close();
  await server.close();
});

/** The answer, or the code it ended with. */
const ask = async (plays: Script, options?: HttpOptions): Promise<HttpAnswer | string> => {
  script = plays;
  return http.get('/', options).catch((error: unknown) => {
    if (error instanceof CodedError) return error.failure.code;
    throw error;
  });
};

const combinations = Object.keys(framings).flatMap((framing) =>
  Object.keys(encodings).map((encoding) => ({ framing, encoding })),
);

describe('an answer', () => {
  it.each(combinations)(
    'by $framing in $encoding, cut at any byte, is never a success',
    async ({ framing, encoding }) => {
      const bytes = encodings[encoding as keyof typeof encodings];
      const whole = framings[framing as keyof typeof framings](
        bytes,
        ...(encoding === 'plain' ? [] : [`Content-Encoding: ${encoding}`]),
      );
      const sound = await ask([whole, end]);
      expect((sound as HttpAnswer).json()).toEqual(value);
      const codes = new Set<string>();
      for (let cut = 0; cut < whole.length; cut++)
        for (const how of cut % 7 === 0 ? [end, reset] : [end]) {
          const got = await ask([whole.subarray(0, cut), how]);
          if (typeof got !== 'string') throw new Error(`Cut at byte ${cut} of ${whole.length} it was taken for whole.`);
          codes.add(got);
        }
      expect([...codes].filter((code) => !['answer_cut', 'net_reset', 'answer_unreadable'].includes(code))).toEqual([]);
      expect(codes).toContain('answer_cut');
    },
  );

  it('that is text with a length, or packed, cut at any byte, is never a success', async () => {
    for (const make of [
      (): Buffer => framings.length(content),
      (): Buffer => framings.chunked(content),
      (): Buffer => framings.close(encodings.gzip, 'Content-Encoding: gzip'),
    ]) {
      const whole = make();
      for (let cut = 0; cut < whole.length; cut += 3)
        expect(typeof (await ask([whole.subarray(0, cut), end], { accept: 'text' })), `cut at ${cut}`).toBe('string');
      expect(typeof (await ask([whole, end], { accept: 'text' }))).toBe('object');
    }
  });

  it('that came in any pieces is the same', async () => {
    const whole = framings.chunked(encodings.gzip, 'Content-Encoding: gzip');
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(whole.length), { maxLength: 6 }), async (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), whole.length];
        const pieces = places.slice(1).flatMap((to, i) => [whole.subarray(places[i], to), { waitMs: 1 }]);
        expect(((await ask(pieces)) as HttpAnswer).json()).toEqual(value);
      }),
      { numRuns: 60 },
    );
  });

  it('with any one byte changed inside its packed content is never another answer', async () => {
    const from = 10; // Behind gzip's own head, whose time stamp and system mean nothing.
    for (let at = from; at < encodings.gzip.length; at++) {
      const damaged = Buffer.from(encodings.gzip);
      damaged[at]! ^= 0x10;
      const got = await ask([framings.length(damaged, 'Content-Encoding: gzip')]);
      if (typeof got !== 'string') expect(got.json(), `byte ${at}`).toEqual(value);
    }
  });

  it('made of any bytes ends with a code or as JSON, and never hangs', async () => {
    const line = fc.constantFrom(
      'HTTP/1.1 200 OK',
      'HTTP/1.0 200 OK',
      'HTTP/1.1 204 No',
      'HTTP/1.1 999 x',
      'HTTP/9.9 200 OK',
      '',
    );
    const header = fc.constantFrom(
      'Content-Length: 5',
      'Content-Length: 0',
      'Content-Length: 05',
      'Content-Length: +5',
      'Content-Length: 5,5',
      'Transfer-Encoding: chunked',
      'Transfer-Encoding: chunked, identity',
      'Content-Encoding: gzip',
      'Content-Encoding: br',
      'Connection: close',
      'X: \u00ff',
      ' folded',
      'no colon',
      'Content-Type: application/json; charset=x',
    );
    await fc.assert(
      fc.asyncProperty(
        line,
        fc.array(header, { maxLength: 4 }),
        fc.uint8Array({ maxLength: 40 }),
        fc.boolean(),
        async (first, headers, body, json) => {
          const got = await ask([lines(first, ...headers), json ? '[1,2]' : body, end]);
          if (typeof got === 'string' || got.status === 204) return;
          expect(got.json(), 'what is accepted is JSON to its last byte').toEqual(JSON.parse(got.bytes.toString()));
        },
      ),
      { numRuns: 400 },
    );
  });
});
