// What is promised here: a secret is read where it is at each call, is named when it is missing, and is never shown.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { printOf, secretsFrom, valueOf } from '../../src/connectors/secret.ts';
import { CodedError } from '../../src/model/failure.ts';
import { secret } from '../../src/model/upstream.ts';

let dir: string;
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'mendflow-secret-'))));
afterAll(() => rm(dir, { recursive: true }));

const failed = (act: () => unknown): CodedError => {
  try {
    act();
  } catch (error) {
    if (error instanceof CodedError) return error;
  }
  throw new Error('It did not fail as it should.');
};

describe('a secret', () => {
  it('comes from its variable, else from its file, read anew each time', async () => {
    const file = join(dir, 'token');
    await writeFile(file, '  first\n\n');
    const env: Record<string, string | undefined> = { TOKEN_FILE: file };
    const read = secretsFrom(env);
    expect(read('TOKEN')).toBe('first');
    await writeFile(file, 'second\n');
    expect(valueOf(secret('TOKEN', { before: 'Bearer ' }), read)).toBe('Bearer second');
    env['TOKEN'] = 'third';
    expect(read('TOKEN')).toBe('third');
    env['TOKEN'] = '';
    expect(read('TOKEN'), 'an empty variable is none').toBe('second');
  });

  it('that is missing is named by its variable', () => {
    const error = failed(() => valueOf(secret('QUAKE_TOKEN'), secretsFrom({ OTHER: 'x' })));
    expect(error.failure).toMatchObject({ code: 'secret_missing', class: 'permanent', fault: 'config' });
    expect(error.message).toContain('QUAKE_TOKEN nor QUAKE_TOKEN_FILE');
  });

  it('in a file that cannot be used is missing, without a word of its path or content', async () => {
    const pipe = join(dir, 'pipe');
    await promisify(execFile)('mkfifo', [pipe]);
    const large = join(dir, 'large');
    await writeFile(large, 'x'.repeat(70_000));
    const empty = join(dir, 'empty');
    await writeFile(empty, ' \n');
    for (const path of [join(dir, 'none'), dir, pipe, large, empty]) {
      const error = failed(() => valueOf(secret('T'), secretsFrom({ T_FILE: path })));
      expect(error.failure.code).toBe('secret_missing');
      expect(error.message).toContain('T_FILE');
      expect(error.message).not.toContain(dir);
      expect(error.message, path).toContain('read again at the next call');
    }
  });

  it('that is set nowhere wants other workers: no variable reaches one that runs', () =>
    expect(failed(() => valueOf(secret('T'), secretsFrom({}))).message).toMatch(
      /Neither T nor T_FILE is set for the worker\. .*start the workers again .*, then retry\.$/,
    ));
});

describe('a fingerprint', () => {
  const headers = { 'X-Fixed': 'always', 'X-A': secret('A'), 'X-B': secret('B', { before: 'Bearer ' }) };
  const print = (env: Record<string, string>, declared: typeof headers | undefined = headers): string | undefined =>
    printOf(declared, secretsFrom(env));

  it('changes with any value, and with nothing else', () => {
    const first = print({ A: 'one', B: 'two' });
    expect(first).toMatch(/^[0-9a-f]{12}$/);
    expect(print({ A: 'one', B: 'two', C: 'three' })).toBe(first);
    expect(printOf({ 'X-B': headers['X-B'], 'X-A': headers['X-A'] }, secretsFrom({ A: 'one', B: 'two' }))).toBe(first);
    const others = [
      { A: 'One', B: 'two' },
      { A: 'one', B: 'tw' },
      { A: 'onet', B: 'wo' },
      { A: 'two', B: 'one' },
      { A: 'one' },
      {},
      { A: 'one', B_FILE: '/nowhere' },
    ];
    expect(others.map((env) => print(env as Record<string, string>)).filter((one) => one === first)).toEqual([]);
  });

  it('is none where no secret is declared', () => {
    expect(printOf({ 'X-Fixed': 'always' }, secretsFrom({}))).toBeUndefined();
    expect(printOf(undefined, secretsFrom({}))).toBeUndefined();
  });

  it('tells two lists of values apart, however they are cut', () => {
    expect(print({ A: '1X-BB2' })).not.toBe(print({ A: '1', B: '2X-BB' }));
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }),
        fc.string({ minLength: 1 }),
        fc.string({ minLength: 1 }),
        fc.string({ minLength: 1 }),
        (a, b, c, d) => {
          expect(print({ A: a, B: b }) === print({ A: c, B: d })).toBe(a === c && b === d);
        },
      ),
    );
  });
});
