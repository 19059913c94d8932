// What is promised here: document 002 on retries, with the figures it states.
import { describe, expect, it } from 'vitest';
import { classify } from '../../src/model/classify.ts';
import { standard } from '../../src/model/policy.ts';
import type { Policy } from '../../src/model/spec.ts';
import { simulate } from '../simulation/stage.ts';
import { guardedStage } from './guarded.ts';

/** `resilient_operation(max_retries=3, backoff_factor=2.0, max_delay=60)`, first delay 1 s. */
const resilient = {
  ...standard,
  budget: { attemptsMax: 3, time: '10 minutes' },
  backoff: { first: '1 second', factor: 2, max: '1 minute' },
} as const satisfies Policy;
/** `@resilient_operation(max_retries=5, backoff_factor=2.0)` on billing. */
const billing = { ...resilient, budget: { attemptsMax: 5, time: '10 minutes' } } as const satisfies Policy;

const lost = (): never => {
  throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
};
const locked = (code: string): Error => Object.assign(new Error('x'), { code, severity: 'ERROR' });

describe('002-4 resilient_operation', () => {
  it('tries three times, waiting 1 s and 2 s', () => {
    expect(simulate(lost, { policy: resilient, parksMax: 0 })).toMatchObject({ calls: 3, waits: [1_000, 2_000] });
  });

  it('on billing five times, waiting 1, 2, 4 and 8 s', () => {
    const { calls, waits } = simulate(lost, { policy: billing, parksMax: 0 });
    expect([calls, waits]).toEqual([5, [1_000, 2_000, 4_000, 8_000]]);
  });

  it('never waits longer than 60 s, however often it is tried', () => {
    const many = { ...resilient, budget: { attemptsMax: 10, time: '1 hour' } } as const;
    const { waits } = simulate(lost, { policy: many, parksMax: 0 });
    expect(waits.slice(-4)).toEqual([32_000, 60_000, 60_000, 60_000]);
  });

  it('says "Operation failed after N attempts" with the last error, once', async () => {
    const told = await guardedStage('load', resilient, lost);
    expect(told.lines.filter(({ level }) => level === 'ERROR').map(({ message }) => message)).toEqual([
      expect.stringMatching(
        /^Stage load gave up after 3 attempts, .* after the first failure: .*The connection was cut/,
      ),
    ]);
    expect(told.failure).toMatchObject({ attempts: 3, why: 'attempts spent', failure: { code: 'net_reset' } });
  });

  it('raises a fatal error at once', async () => {
    const told = await guardedStage('load', resilient, () => {
      throw locked('42P01');
    });
    expect(told).toMatchObject({ delays: [], failure: { attempts: 1, why: 'never retried' } });
  });

  it.each([
    ['a lock that another holds', '55P03'],
    ['a deadlock', '40P01'],
    ['two that changed the same row', '40001'],
  ])('heals what the document wants it for: %s', async (_what, code) => {
    expect(classify(locked(code)).class).toBe('transient');
    const told = await guardedStage('load', resilient, (attempt) => {
      if (attempt < 3) throw locked(code);
    });
    expect(told.failure).toBeUndefined();
    expect(told.lines.map(({ level }) => level)).toEqual(['WARN', 'WARN']);
  });
});
