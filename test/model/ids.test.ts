// What is promised here: two things never share an ID, and IDs can be read aloud.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parkToken, queues, runKey, scopeOf, shortHash, slug, stageKey, workflowId } from '../../src/model/ids.ts';

const word = fc.oneof(
  fc.string(),
  fc.stringMatching(/^[a-z.+_-]{0,6}$/),
  fc.constantFrom('', 'a', 'a.b', 'b', 'b.c', '/a', 'a/'),
);

describe('an ID', () => {
  it.each([
    [runKey('daily-report', '2026-11-21', ''), 'daily-report/2026-11-21'],
    [runKey('log-ingest', '2026-11-21', 'web-3'), 'log-ingest/2026-11-21/web-3'],
    [workflowId('', 'a/b'), 'a/b'],
    [workflowId('team', 'a/b'), 'team/a/b'],
    [stageKey('ingest', ''), 'ingest'],
    [stageKey('ingest', 'a.log'), 'ingest[a.log]'],
    [queues('').heal, 'mendflow-heal'],
    [queues('team').work, 'team-mendflow'],
  ])('%s', (made, expected) => expect(made).toBe(expected));

  it('keeps plain words and makes anything else its readable end and a hash', () => {
    expect(slug('web-3')).toBe('web-3');
    expect(slug('/var/log/nginx/')).toMatch(/^nginx-[0-9a-f]{8}$/);
    expect(slug('')).toMatch(/^x-[0-9a-f]{8}$/);
    expect(slug('日本')).toMatch(/^x-[0-9a-f]{8}$/);
    expect(slug('../../etc/passwd')).toMatch(/^passwd-[0-9a-f]{8}$/);
  });

  it('of a scope holds nothing that ends a path or a line, however strange the input', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        expect(slug(value)).toMatch(/^[a-zA-Z0-9._-]{1,57}$/);
      }),
    );
  });

  it('is shared by two scopes only if their inputs are equal', () => {
    const spec = { scope: ['one', 'two'] };
    fc.assert(
      fc.property(word, word, word, word, (a, b, c, d) => {
        const equal = a === c && b === d;
        expect(scopeOf(spec, { one: a, two: b }) === scopeOf(spec, { one: c, two: d })).toBe(equal);
      }),
      { numRuns: 2_000 },
    );
    expect(scopeOf(spec, { one: 'a.b', two: 'c' })).not.toBe(scopeOf(spec, { one: 'a', two: 'b.c' }));
  });

  it('of a park differs by stage, number and execution', () => {
    const tokens = [parkToken('a', 1, 'r1'), parkToken('b', 1, 'r1'), parkToken('a', 2, 'r1'), parkToken('a', 1, 'r2')];
    expect(new Set(tokens).size).toBe(4);
    expect(tokens[2]).toMatch(/^[0-9a-f]{8}-2$/);
  });

  it('hashes as FNV-1a does, in 64 bits', () => {
    expect(shortHash('')).toBe('cbf29ce484222325');
    expect(shortHash('a')).toBe('af63dc4c8601ec8c');
    expect(shortHash('foobar')).toBe('85944171f73967e8');
  });
});
