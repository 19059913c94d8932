// What lives here: the parser thread: it reads, cuts and encodes, and sends chunks as far as it has credits.
// Invariant: never more than its credits are under way; it ends after its last chunk or its first failure, and says which.
// Apart because a thread begins with a file of its own.
import { parentPort, workerData } from 'node:worker_threads';
import { CodedError, type Code } from '../model/failure.ts';
import { bytesOf, type Codec } from './parse/bytes.ts';
import { type CutterSettings, giveBack, newCutter } from './read/cutter.ts';
import { drive } from './read/drive.ts';
import type { Chunk, Range } from './types.ts';

/** What the thread is started with. */
export interface ParserWork {
  readonly fd: number;
  readonly codec: Codec;
  readonly ranges: readonly Range[];
  readonly settings: CutterSettings;
  /** Chunks that may be under way before the first one is taken. */
  readonly credits: number;
}

/** To the thread: one more chunk may come, or the memory of a chunk is free again. */
export type ToParser = { readonly kind: 'credit' } | { readonly kind: 'free'; readonly memory: ArrayBuffer };

export type FromParser =
  | { readonly kind: 'ready' }
  | { readonly kind: 'chunk'; readonly chunk: Chunk }
  | { readonly kind: 'end' }
  | { readonly kind: 'failure'; readonly text: string; readonly coded?: Code; readonly errno?: string };

async function work(port: NonNullable<typeof parentPort>, given: ParserWork): Promise<void> {
  const cutter = newCutter(given.settings);
  const flow: { credits: number; wake?: () => void } = { credits: given.credits };
  port.on('message', (message: ToParser) => {
    if (message.kind === 'free') giveBack(cutter, message.memory);
    else flow.credits++;
    flow.wake?.();
  });
  const say = (message: FromParser, memory: readonly ArrayBuffer[] = []): void =>
    port.postMessage(message, [...memory]);
  say({ kind: 'ready' });
  try {
    for await (const chunk of drive(cutter, bytesOf(given.fd, given.codec), given.ranges, () => false)) {
      while (flow.credits === 0) await new Promise<void>((resolve) => (flow.wake = resolve));
      flow.credits--;
      say(
        { kind: 'chunk', chunk },
        [chunk.tuples, chunk.offsets, chunk.lengths].map(({ buffer }) => buffer as ArrayBuffer),
      );
    }
    say({ kind: 'end' });
  } catch (error) {
    const { message, code } = error as { message: string; code?: unknown };
    say({
      kind: 'failure',
      text: message,
      ...(error instanceof CodedError ? { coded: error.failure.code } : {}),
      ...(typeof code === 'string' ? { errno: code } : {}),
    });
  } finally {
    port.close();
  }
}

if (parentPort !== null) await work(parentPort, workerData as ParserWork);
