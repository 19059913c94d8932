// What is promised here: a log that cannot be written costs lines and nothing else, and says afterwards how many.
import { mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { framesOf } from '../../src/model/frame.ts';
import { lineWriter, plainFields } from '../../src/worker/log.ts';

const dir = mkdtempSync(join(tmpdir(), 'mendflow-log-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe.skipIf(process.platform !== 'linux')('a log on a disk that is full', () => {
  it('loses lines without a throw, and the first line after says how many', () => {
    const file = join(dir, 'a.log');
    const [good, full] = [openSync(file, 'a'), openSync('/dev/full', 'w')];
    let space = true;
    const log = lineWriter(good, ((_fd: number, bytes: Buffer, at: number) =>
      writeSync(space ? good : full, bytes, at)) as typeof writeSync);
    log.write('one\n');
    space = false;
    for (const line of ['two\n', 'three\n', 'four\n']) log.write(line);
    space = true;
    log.write('five\n');
    log.write('six\n');
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect([lines[0], ...lines.slice(2)]).toEqual(['one', 'five', 'six']);
    expect(JSON.parse(lines[1]!)).toMatchObject({
      level: 40,
      lost: 3,
      msg: expect.stringContaining('ENOSPC') as string,
    });
  });

  it('begins a new line after one that was torn', () => {
    const file = join(dir, 'b.log');
    const [good, full] = [openSync(file, 'a'), openSync('/dev/full', 'w')];
    let left = 3;
    const log = lineWriter(good, ((_fd: number, bytes: Buffer, at: number) =>
      left > 0
        ? writeSync(good, bytes, at, Math.min(bytes.length - at, (left -= 3) + 3))
        : writeSync(full, bytes, at)) as typeof writeSync);
    log.write('abcdef\n');
    left = 1e6;
    log.write('next\n');
    expect(readFileSync(file, 'utf8')).toMatch(/^abc\n\{"level":40[^\n]*\}\nnext\n$/);
  });
});

describe('what a line of the log holds of an error', () => {
  const quoting = (): Error =>
    Object.assign(new Error('canary\n    at canary (file:///canary.ts:1:1)\n    at /etc/passwd:2:2'), {
      name: 'Canary',
      detail: 'canary',
    });

  it('is a code and places in files that exist, wherever the error stands', () => {
    const told = JSON.stringify(
      plainFields({ error: quoting(), err: quoting(), cause: quoting(), failure: 'canary', run: 'a/b' }),
    );
    expect(told).not.toMatch(/canary|passwd/i);
    expect(told).toContain('log.test.ts:');
    expect(JSON.parse(told)).toMatchObject({ run: 'a/b', error: { code: 'unknown' } });
  });

  it('is no place at all where message and frames cannot be told apart', () => {
    const changed = quoting();
    expect(changed.stack).toContain('canary');
    changed.message = 'another';
    expect(framesOf(changed)).toEqual([]);
    expect(framesOf('text')).toEqual([]);
    expect(framesOf(Object.assign(new Error('x'), { stack: 7 }))).toEqual([]);
  });

  it('are the real frames of an error with no message, one with a message of one letter, and one in a folder with blanks', () => {
    // oxlint-disable-next-line unicorn/error-message -- this is what it is about
    expect(framesOf(new Error())[0]).toMatchObject({ file: expect.stringContaining('log.test.ts') as string });
    expect(framesOf(new Error('r'))[0]).toMatchObject({ file: expect.stringContaining('log.test.ts') as string });
    const made = Object.assign(new Error('m'), { stack: 'Error: m\n    at a.b (file:///my%20folder/a (1)/x.ts:3:4)' });
    expect(framesOf(made)).toEqual([{ file: '/my%20folder/a (1)/x.ts', line: 3, column: 4 }]);
  });
});
