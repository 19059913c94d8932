// What is promised here: whatever an operator types, a decision is read or refused in a sentence; nothing that was read can stop a run.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decisionKinds, readDecision, readTrouble } from '../../src/model/messages.ts';

describe('a decision', () => {
  it('is read with what is known of it, and the rest left out', () => {
    expect(
      readDecision({ kind: 'skip', stage: 'load', token: 't', reason: 'r', actor: 'ann', other: 1, attempts: null }),
    ).toEqual({ kind: 'skip', stage: 'load', token: 't', reason: 'r', actor: 'ann' });
  });

  it.each([undefined, null, '', 'please go on', [], {}])('by a signal that names it needs nothing else: %j', (raw) => {
    const read = readDecision(raw, 'retry');
    expect(read).toMatchObject({ kind: 'retry' });
    if (typeof raw === 'string') expect(read).toEqual({ kind: 'retry', reason: raw });
  });

  it('by a signal is what the signal says, whatever its input claims', () => {
    expect(readDecision({ kind: 'abort' }, 'skip')).toEqual({ kind: 'skip' });
  });

  it.each([
    [{}, 'needs a kind: retry, skip, extend-budget, accept-loss, abort'],
    [{ kind: 'toString' }, 'needs a kind'],
    [{ kind: 'skip', stage: 5 }, '"stage"'],
    [{ kind: 'skip', reason: 'x'.repeat(501) }, '"reason"'],
    [{ kind: 'extend-budget', attempts: '4' }, '"attempts"'],
    [{ kind: 'extend-budget', attempts: 1.5 }, '"attempts"'],
    [{ kind: 'extend-budget', attempts: -1 }, '"attempts"'],
    [{ kind: 'extend-budget', attempts: 3e9 }, '"attempts"'],
    [{ kind: 'extend-budget', timeMs: Number.NaN }, '"timeMs"'],
    [{ kind: 'extend-budget', timeMs: 1e14 }, '"timeMs"'],
  ])('%j is refused: %s', (raw, why) => expect(readDecision(raw)).toContain(why));

  it('may name a stage as long as a file name can be', () => {
    const stage = `ingest[${'\\x41'.repeat(255)}]`;
    expect(readDecision({ kind: 'retry', stage })).toEqual({ kind: 'retry', stage });
  });

  it('holds no text that a database refuses', () => {
    expect(readDecision({ kind: 'retry', reason: 'a\0b\ud800c', actor: 'x' })).toEqual({
      kind: 'retry',
      reason: 'ab\ufffdc',
      actor: 'x',
    });
  });

  it('from anything is a decision in plain JSON that Temporal and Postgres take, or a sentence', () => {
    const field = fc.oneof(fc.string({ unit: 'binary' }), fc.double(), fc.anything());
    const raw = fc.record(
      {
        kind: fc.oneof(fc.constantFrom(...decisionKinds), field),
        stage: field,
        token: field,
        reason: field,
        actor: field,
        attempts: field,
        timeMs: field,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.oneof(raw, fc.anything()),
        fc.option(fc.constantFrom(...decisionKinds), { nil: undefined }),
        (value, kind) => {
          const read = readDecision(value, kind);
          if (typeof read === 'string') {
            expect(read).toMatch(/^["A-Z].*\.$/);
            return;
          }
          expect(JSON.parse(JSON.stringify(read))).toEqual(read);
          expect(JSON.stringify(read)).not.toMatch(/\\u0000|\\ud[89a-f]/);
          if (read.attempts !== undefined)
            expect(Number.isInteger(read.attempts) && read.attempts <= 10_000).toBe(true);
          if (read.timeMs !== undefined) expect(Number.isInteger(read.timeMs)).toBe(true);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('trouble', () => {
  const told = { stage: 'load', attempt: 1, attemptsMax: 8, code: 'http_503', text: '', nextTryAt: 1_795_000_000_000 };

  it('is read as the guard tells it', () => {
    expect(readTrouble(told)).toEqual(told);
  });

  it('typed by hand is shown or left out, and never a moment that cannot be written', () => {
    for (const value of [null, 'load', { stage: 'load' }, { ...told, nextTryAt: NaN }, { ...told, nextTryAt: 1e16 }])
      expect(readTrouble(value)).toBeUndefined();
    const field = fc.oneof(fc.string(), fc.double(), fc.anything());
    const raw = fc.record({
      stage: field,
      attempt: field,
      attemptsMax: field,
      code: field,
      text: field,
      nextTryAt: field,
    });
    fc.assert(
      fc.property(fc.oneof(raw, fc.anything()), (value) => {
        const read = readTrouble(value);
        if (read) expect(new Date(read.nextTryAt).toISOString()).toMatch(/Z$/);
      }),
    );
  });
});
