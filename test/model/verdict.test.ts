// What is promised here: every failure has a verdict; time is waited for only where time heals, and never in a hurry.
import { describe, expect, it } from 'vitest';
import { codes, failure, type Code } from '../../src/model/failure.ts';
import { standard } from '../../src/model/policy.ts';
import { type Ended, verdict } from '../../src/model/verdict.ts';

const SLOW_MS = 15 * 60_000;
const on = { heal: 'on', pastDeadline: false } as const;
const ended = (code: Code, more: Partial<Ended> & { askedMs?: number } = {}): Ended => ({
  failure: failure(code, 'x', more.askedMs === undefined ? {} : { nextDelayMs: more.askedMs }),
  attempts: 8,
  elapsedMs: 240_000,
  why: more.why ?? 'attempts spent',
});

describe('a stage whose budget is spent', () => {
  it('waits for what others do and what this machine lacks, and asks for all else', () => {
    // An answer that comes, and comes wrong at each of the tries, is not healed by time.
    const wrong = ['answer_cut', 'answer_unreadable', 'answer_refused'];
    for (const code of Object.keys(codes) as Code[]) {
      const { class: cls, fault } = codes[code];
      const heals =
        cls === 'delayed' ||
        cls === 'throttled' ||
        (cls === 'transient' && (fault === 'upstream' || fault === 'self') && !wrong.includes(code));
      expect(verdict(ended(code), standard, on), code).toEqual(
        heals ? { do: 'park', until: 'time', delayMs: SLOW_MS } : { do: 'park', until: 'decision' },
      );
    }
  });

  it('asks at once where the upstream answered others meanwhile', () => {
    for (const code of ['http_500', 'net_timeout', 'http_503', 'http_507'] as const)
      expect(verdict(ended(code, { why: 'others answered' }), standard, on)).toEqual({ do: 'park', until: 'decision' });
  });

  it('waits exactly as long as was asked where that was beyond the budget', () => {
    const asked = ended('http_429', { askedMs: 420_000, why: 'wait beyond the budget' });
    expect(verdict(asked, standard, on)).toEqual({ do: 'park', until: 'time', delayMs: 420_000 });
  });

  it('tries slowly after a spent budget, even if the other side keeps saying "in a second"', () => {
    expect(verdict(ended('http_503_retry_after', { askedMs: 1_000 }), standard, on)).toMatchObject({
      delayMs: SLOW_MS,
    });
    expect(verdict(ended('http_503', { askedMs: 0 }), standard, on)).toMatchObject({ delayMs: SLOW_MS });
    expect(verdict(ended('http_503_retry_after', { askedMs: 3_600_000 }), standard, on)).toMatchObject({
      delayMs: 3_600_000,
    });
  });

  it('stands back for as long as the guard says where the retries of an upstream are spent, whatever failed', () => {
    for (const code of ['http_503', 'tls_failed', 'worker_lost', 'http_409_in_progress'] as const)
      expect(verdict(ended(code, { why: 'retry budget spent', askedMs: 31_000 }), standard, on)).toEqual({
        do: 'park',
        until: 'time',
        delayMs: 31_000,
      });
    const unsaid = ended('http_503', { why: 'retry budget spent' });
    expect(verdict(unsaid, standard, on)).toMatchObject({ until: 'time', delayMs: 30_000 });
    const short = ended('http_503_retry_after', { why: 'retry budget spent', askedMs: 1_000 });
    expect(verdict(short, standard, on)).toMatchObject({ until: 'time', delayMs: 15_000 });
  });

  it('waits for the breaker where no call was made, and asks where one code came too often', () => {
    expect(verdict(ended('breaker_open', { why: 'not admitted' }), standard, on)).toEqual({
      do: 'park',
      until: 'upstream',
    });
    for (const code of ['dns_unknown', 'tls_failed', 'file_io'] as const)
      expect(verdict(ended(code, { why: 'tries spent' }), standard, on)).toEqual({ do: 'park', until: 'decision' });
  });

  it('asks once the deadline has passed, and fails only where healing is off', () => {
    expect(verdict(ended('http_503'), standard, { heal: 'on', pastDeadline: true })).toEqual({
      do: 'park',
      until: 'decision',
    });
    for (const code of Object.keys(codes) as Code[])
      expect(verdict(ended(code), standard, { heal: 'off', pastDeadline: false })).toEqual({ do: 'fail' });
  });
});
