// What is promised here: the user's own data converter is used on both sides; with a codec no input, output or failure detail stands in history in the clear.
import type { Payload, PayloadCodec } from '@temporalio/common';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { serve } from '../../src/engine/worker.ts';
import { type Engine, openEngine, outcomes } from '../support/engine.ts';
import { line } from './pipelines.ts';

const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => byte ^ 0x5a);
/** Not encryption, but unreadable without the codec, which is all this test needs. */
const codec: PayloadCodec = {
  encode: async (payloads) =>
    payloads.map((payload): Payload => ({
      metadata: { encoding: Buffer.from('binary/flipped'), was: payload.metadata!['encoding']! },
      data: flip(payload.data ?? new Uint8Array()),
    })),
  decode: async (payloads) =>
    payloads.map((payload): Payload =>
      Buffer.from(payload.metadata?.['encoding'] ?? []).toString() === 'binary/flipped'
        ? { metadata: { encoding: payload.metadata!['was']! }, data: flip(payload.data ?? new Uint8Array()) }
        : payload,
    ),
};

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine(
    (stage) => [serve(line, { first: stage('first'), second: stage('second'), third: stage('third') })],
    { dataConverter: { payloadCodecs: [codec] } },
  );
  await engine.startWorker();
});
afterAll(() => engine?.close());

it('keeps values out of history, and decisions still arrive', async () => {
  engine.script('first', outcomes('canary-output-4711'));
  engine.script('second', outcomes('http_401', 'fine'));
  const handle = await engine.start('line', { dataDate: '2026-01-01', input: { word: 'canary-input-4711' } });
  const { token } = await engine.parked('second');
  expect(
    await engine.decide(handle, { kind: 'retry', token, actor: 'ann', reason: 'canary-reason-4711' }),
  ).toMatchObject({ taken: true });
  expect(await engine.result(handle)).toMatchObject({ state: 'done', result: 'third ok' });
  const history = JSON.stringify(await handle.fetchHistory()).replace(
    /"([A-Za-z0-9+/]{8,}=*)"/g,
    (_all, bytes: string) => Buffer.from(bytes, 'base64').toString('latin1'),
  );
  expect(history.includes('binary/flipped')).toBe(true);
  expect(history.includes('canary')).toBe(false);
});
