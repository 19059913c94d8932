// What is promised here: a command that is printed works where it is printed, whatever the names in it hold and however Mendflow was called.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { wholeOf } from '../../src/commands/support/numbers.ts';
import { runbookPath } from '../../src/commands/support/runbooks.ts';
import { couldBeDataDate } from '../../src/model/data-date.ts';
import { runbookNamed } from '../../src/model/runbook.ts';
import { asCalled, asCalledIn, shellWord, startCommand } from '../../src/model/shell.ts';
import { calledAs } from '../../src/config.ts';
import { dailyReport } from '../../src/workflows/daily-report.ts';
import { logIngest } from '../../src/workflows/log-ingest.ts';

const throughShell = (words: readonly string[]): string[] =>
  execFileSync('bash', ['-c', `printf '%s\\0' ${words.map(shellWord).join(' ')}`], { encoding: 'utf8' })
    .split('\0')
    .slice(0, -1);

describe('a word for the shell', () => {
  it('comes back as it was', () => {
    const words = [
      'log-ingest/2026-11-21/web-3',
      'ingest[sub folder/a b.log]',
      `it's "quoted" $(touch x) \`y\` \\ ! * ? ~ # &`,
      'tab\tline\nend',
      'clear\u001b[2J1f',
      'näme-名-\u202etxt',
      "both' and \u0007",
      '-starts-with-a-dash',
      '',
    ];
    expect(throughShell(words)).toEqual(words);
  });

  it('does so whatever it holds, and never moves a cursor', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 5, maxLength: 30 }), (some) => {
        const words = some.map((word) => word.replaceAll('\0', '').toWellFormed());
        // oxlint-disable-next-line no-control-regex -- control characters are what this is about
        for (const word of words) expect(shellWord(word)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f]/);
        expect(throughShell(words)).toEqual(words);
      }),
      { numRuns: 20 },
    );
  });

  it('stays plain where it is', () => expect(shellWord('http:main_api')).toBe('http:main_api'));
});

describe('a command that starts a run again', () => {
  it('has its pipeline, date and inputs, as a shell takes them', () => {
    const run = { pipeline: 'copy', dataDate: '2026-05-01', input: { path: '/a b', part: 3 } };
    expect(startCommand(run, '--force')).toBe("mendflow start copy --date 2026-05-01 --set 'path=/a b' part=3 --force");
    expect(startCommand({ ...run, input: null })).toBe('mendflow start copy --date 2026-05-01');
  });

  it('is printed whole everywhere: no sentence of ours leaves its pipeline or its date to the reader', () => {
    const src = join(import.meta.dirname, '..', '..', 'src');
    const partly = readdirSync(src, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) =>
        readFileSync(join(src, name), 'utf8')
          .split('\n')
          .map((line) => `${name}: ${line.trim()}`),
      )
      .filter((line) => !/: (\/\/|\/?\*)/.test(line) && /mendflow start(`|\\`| …| again)/.test(line));
    expect(partly).toEqual([]);
  });
});

describe('the name of the program', () => {
  it('is that by which it was called', () => {
    expect(calledAs({})).toBe('mendflow');
    expect(calledAs({ npm_command: 'exec' })).toBe('npx mendflow');
    expect(calledAs({ npm_command: 'run-script' })).toBe('npx mendflow');
  });

  it('is put before every command in a sentence, and nowhere else', () => {
    const said =
      'See `mendflow runs --state asking`; or npx mendflow show a. In /x/mendflow and "mendflow b": mendflow-mendflow.';
    expect(asCalled('npx mendflow', said)).toBe(
      'See `npx mendflow runs --state asking`; or npx mendflow show a. In /x/mendflow and "mendflow b": mendflow-mendflow.',
    );
    expect(asCalled('mendflow', said)).toBe(said);
  });

  it('is put before commands in JSON, and changes no text of a person', () => {
    const page = { commands: ['mendflow retry a b'], reason: 'I said mendflow retry', at: new Date(0), rest: null };
    expect(asCalledIn('npx mendflow', page)).toEqual({
      commands: ['npx mendflow retry a b'],
      reason: 'I said mendflow retry',
      at: '1970-01-01T00:00:00.000Z',
      rest: null,
    });
  });
});

describe('the path of a runbook', () => {
  it('opens from a checkout, from a project, from elsewhere, and stays as it is where it is none of ours', () => {
    const repository = join(import.meta.dirname, '..', '..');
    expect(runbookPath(repository, 'ops/runbooks/files.md')).toBe('ops/runbooks/files.md');
    expect(runbookPath(join(repository, '..'), 'ops/runbooks/files.md')).toMatch(/^[^/].*\/ops\/runbooks\/files\.md$/);
    expect(runbookPath('/', 'ops/runbooks/files.md')).toMatch(/ops\/runbooks\/files\.md$/);
    for (const { runbook = '' } of [logIngest.spec, dailyReport.spec]) {
      expect(existsSync(join(repository, runbookPath(repository, runbook)))).toBe(true);
      // A page of the Web UI is read in folders that nobody knows.
      expect(runbookNamed(runbook)).toMatch(/^[\w-]+\.md in ops\/runbooks of the package mendflow$/);
    }
    expect(runbookNamed('ops/runbooks/orders.md')).toBe('ops/runbooks/orders.md');
    expect(runbookPath('/', 'https://wiki.example/orders')).toBe('https://wiki.example/orders');
    const project = mkdtempSync(join(tmpdir(), 'mendflow-runbook-'));
    try {
      // A project's own runbook of the same name is the one it means.
      mkdirSync(join(project, 'ops/runbooks'), { recursive: true });
      writeFileSync(join(project, 'ops/runbooks/files.md'), '');
      expect(runbookPath(project, 'ops/runbooks/files.md')).toBe('ops/runbooks/files.md');
      expect(runbookPath(project, 'ops/runbooks/disk.md')).toBe(join(repository, 'ops/runbooks/disk.md'));
      expect(runbookPath(project, 'mendflow/ops/runbooks/files.md')).toBe(join(repository, 'ops/runbooks/files.md'));
    } finally {
      rmSync(project, { recursive: true, force: true });
    }
  });
});

describe('numbers and dates on the command line', () => {
  it('are whole numbers in digits', () => {
    expect(['1', ' 20 ', '007'].map((word) => wholeOf(word, 1, 100))).toEqual([1, 20, 7]);
    for (const word of ['', ' ', '0', '101', '-1', '1.5', '1e2', '0x10', 'NaN', 'Infinity', '٣', '1,000', 'ten'])
      expect(wholeOf(word, 1, 100), word).toBeUndefined();
  });

  it('are dates that some pipeline could have', () => {
    for (const word of ['2026-11-21', '2026-11-21T13', '2026-10-25T02+0200', 'none'])
      expect(couldBeDataDate(word), word).toBe(true);
    for (const word of [
      'x',
      '',
      '2026-02-31',
      '2026-11-21T24',
      '21.11.2026',
      'yesterday',
      '2026-11',
      "2026-11-21' or 1=1",
    ])
      expect(couldBeDataDate(word), word).toBe(false);
  });
});
