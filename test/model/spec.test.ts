// What is promised here: a spec that would stall or crash a run at night does not get past the start of a worker.
import { describe, expect, it } from 'vitest';
import { presets, standard } from '../../src/model/policy.ts';
import { type AnySpec, faultsOf, reservedNames, text } from '../../src/model/spec.ts';
import type { Duration } from '../../src/model/duration.ts';

const spec = (more: Partial<AnySpec> = {}): AnySpec => ({
  name: 'daily-report',
  owner: 'tests',
  every: 'day',
  logic: '1',
  stages: { load: standard },
  ...more,
});
const withPolicy = (more: object): AnySpec => spec({ stages: { load: { ...standard, ...more } } });

describe('a spec', () => {
  it('is right with every preset', () => {
    expect(
      faultsOf(spec({ stages: { ...presets }, deadline: '12 hours', input: { path: text('x') }, scope: ['path'] })),
    ).toEqual([]);
  });

  it.each(['Daily', 'daily_report', '-a', 'a-', 'a--b', '1a', '', 'a b', 'ä'])('is not called %j', (name) =>
    expect(faultsOf(spec({ name }))[0]).toContain('has to be lower-case words'),
  );
  it.each([...reservedNames])('is not called %j, which is ours', (name) =>
    expect(faultsOf(spec({ name }))).toEqual([expect.stringContaining('reserved')]),
  );

  const wrong: readonly (readonly [string, AnySpec, string])[] = [
    ['without a stage', spec({ stages: {} }), 'declares no stage'],
    ['with a scope that is no input', spec({ scope: ['path'] }), 'no such input'],
    ['with a stage name that is no identifier', spec({ stages: { 'a-b': standard } }), 'plain identifier'],
    ['with no attempt', withPolicy({ budget: { attemptsMax: 0, time: '1 minute' } }), 'allows no attempt'],
    ['with half an attempt', withPolicy({ budget: { attemptsMax: 2.5, time: '1 minute' } }), 'whole number'],
    ['with a share above 1', withPolicy({ quarantineShareMax: 5 }), 'it is a share, 0 to 1'],
    ['with a share that is none', withPolicy({ quarantineShareMax: Number.NaN }), 'it is a share, 0 to 1'],
    [
      'with a time that compiles and is none',
      withPolicy({ attempt: '1e3 seconds' satisfies Duration }),
      '"1e3 seconds"',
    ],
    ['with a negative time', withPolicy({ slow: '-5 minutes' satisfies Duration }), '"-5 minutes"'],
    ['with an attempt that ends at once', withPolicy({ attempt: '0 seconds' }), '"0 seconds"'],
    ['with a budget of no time', withPolicy({ budget: { attemptsMax: 3, time: '0 seconds' } }), '"0 seconds"'],
    ['with waits that shrink', withPolicy({ backoff: { ...standard.backoff, factor: 0.5 } }), 'factor 0.5'],
    ['with a deadline that is none', spec({ deadline: '0x10 hours' }), '"0x10 hours"'],
    ['with half a period of offset', spec({ offset: 0.5 }), 'offset 0.5'],
    [
      'with an input default outside of its words',
      spec({ input: { f: { kind: 'choice', of: ['a'], default: 'b', help: 'x' } } }),
      'default "b"',
    ],
  ];
  it.each(wrong)('%s is refused in a sentence', (_name, one, why) => {
    const faults = faultsOf(one);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(why);
    expect(faults[0]).toMatch(/^[A-Z].*\.$/);
  });

  it('tells all that is wrong at once', () => {
    expect(faultsOf(spec({ name: 'X', scope: ['a', 'b'], stages: {} }))).toHaveLength(4);
  });
});
