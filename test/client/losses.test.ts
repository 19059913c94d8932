// What is promised here: green means loaded, as a user sees it: wrong formats ask once at any size, and who accepts a loss reads everywhere that something is lost.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Ran } from '../support/client.ts';
import type { Engine } from '../support/engine.ts';
import { type LogIngestClient, openLogIngest } from '../support/log-ingest.ts';

let engine: Engine;
let client: LogIngestClient;
let folder: string;
beforeAll(async () => {
  client = await openLogIngest('losses');
  ({ engine, folder } = client);
}, 60_000);
afterAll(() => client?.close());

let day = 0;
interface Report {
  readonly run: string;
  readonly state: string;
  readonly read: number;
  readonly loaded: number;
  readonly quarantined: number;
  readonly lost?: { records: number; bytes: number };
  readonly asks?: readonly { stage: string; code: string; text: string; commands: string[] }[];
}
/** Files by name, below a folder of their own. */
const ingest = async (files: Readonly<Record<string, string>>, format: string): Promise<Ran> => {
  const path = join(folder, String(++day));
  mkdirSync(path, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content);
  const date = `2026-06-${String(day).padStart(2, '0')}`;
  const inputs = ['--set', `path=${path}`, `format=${format}`];
  return await client.mendflow('start', 'log-ingest', '--date', date, ...inputs, '--wait', '--json');
};
const bad = (lines: number): string => 'no line of any format that is known here\n'.repeat(lines);
const good = (lines: number): string =>
  Array.from(
    { length: lines },
    (_, n) =>
      `203.0.113.${n % 200} - - [01/Jun/2026:10:00:${String(n % 60).padStart(2, '0')} +0000] "GET / HTTP/1.1" 200 5 "-" "curl"\n`,
  ).join('');
const many = (count: number, content: string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`part-${n}.log`, content]));

describe('records of which too many are bad', () => {
  it.each([
    ['three lines', { 'a.log': bad(3) }, 'apache'],
    ['one line', { 'a.log': bad(1) }, 'syslog'],
    ['objects of JSON read as something else', { 'a.log': '{"message":"x"}\n'.repeat(40) }, 'log4j'],
    ['twelve files of ninety lines', many(12, bad(90)), 'apache'],
  ])('ask once: %s', async (_what, files, format) => {
    const ran = await ingest(files, format);
    expect(ran.code).toBe(3);
    const report = ran.json<Report>();
    expect(report).toMatchObject({ state: 'asking', loaded: 0, asks: [{ code: 'quarantine_limit' }] });
    expect(report.asks).toHaveLength(1);
    expect(report.asks![0]!.text).toContain(`See what is wrong: \`mendflow letters list --run ${report.run}\`. If`);
    expect(report.asks![0]!.text).toMatch(/100\.0 %, allowed are 5\.0 %/);
    expect(report.asks![0]!.commands.join('\n')).toContain('mendflow accept-loss');
    expect((await client.mendflow('abort', report.run, '--reason', 'wrong format')).code).toBe(0);
  });

  it('end degraded where somebody accepts them, in every place where one looks', async () => {
    const { run } = (await ingest(many(3, bad(4)), 'apache')).json<Report>();
    expect((await client.mendflow('accept-loss', run, '--reason', 'test data')).out).toContain(
      '\n  given up  lost: 12 records or rows\n',
    );
    const handle = engine.client.workflow.getHandle(
      (await engine.rows<{ id: string }>('select workflow_id as id from mendflow.run where key = $1', [run]))[0]!.id,
    );
    expect(await engine.result(handle)).toMatchObject({
      state: 'degraded',
      read: 12,
      quarantined: 12,
      lost: { records: 12, bytes: 0 },
    });
    const { typedSearchAttributes } = await handle.describe();
    expect(JSON.stringify(typedSearchAttributes)).toContain('degraded');
    const listed = (await client.mendflow('runs', '--json')).json<Record<string, unknown>[]>();
    expect(listed.find((row) => row['run'] === run)).toMatchObject({ state: 'degraded', health: 'degraded' });
    const shown = await client.mendflow('show', run);
    expect(shown.out).toContain('is degraded');
    expect(shown.out).toContain('lost: 12 records or rows');
    const night = await client.mendflow('last-night');
    expect(night.out).toMatch(/\n {2}not done {2}\d stages? skipped, failed, aborted or with accepted loss\n/);
    expect(night.out).not.toContain('after a decision');
    expect(night.out).toContain(`\n  given up  in 1 run (${run}), lost: 12 records or rows\n`);
    await says(run, join(folder, String(day)));
  });

  /** Whoever starts it again reads the loss, too, and what loads it again. */
  async function says(run: string, path: string): Promise<void> {
    const date = run.split('/')[1]!;
    const again = ['start', 'log-ingest', '--date', date, '--set', `path=${path}`, '--set'];
    const ran = await client.mendflow(...again, 'format=apache', '--wait');
    expect(ran.code).toBe(0);
    expect(ran.out).toContain('is done already, but degraded (lost: 12 records or rows): 0 loaded, 12 quarantined');
    expect(ran.out).toContain(`mendflow ${again.slice(0, -1).join(' ')} format=apache --force --wait\n`);
    const other = await client.mendflow(...again, 'format=syslog');
    expect(other.code).toBe(4);
    expect(other.err).toContain('is done already, but degraded (lost: 12 records or rows), with other inputs: ');
  }
});

describe('a small file in another format', () => {
  const times = (count: number, line: (n: number) => string): string =>
    Array.from({ length: count }, (_, n) => `${line(n)}\n`).join('');
  const two = (n: number): string => String(n % 60).padStart(2, '0');
  const shapes = {
    apache: good,
    syslog: (count: number) => times(count, (n) => `<13>1 2026-06-01T10:00:${two(n)}Z web sshd 12 - - line ${n}`),
    jsonl: (count: number) =>
      times(count, (n) => `{"time":"2026-06-01T10:00:${two(n)}Z","level":"info","message":"line ${n}"}`),
    log4j: (count: number) =>
      times(count, (n) => `2026-06-01 10:00:${two(n)},123 INFO  [main] com.acme.Cart - line ${n}`),
    plain: (count: number) => times(count, (n) => `2026-06-01T10:00:${two(n)}.000Z INFO [cart] line ${n}`),
  } as const;

  it.each([
    ['syslog', 'apache', 40],
    ['apache', 'syslog', 90],
    ['jsonl', 'log4j', 3],
    ['apache', 'jsonl', 1],
    ['log4j', 'syslog', 25],
    ['plain', 'apache', 12],
  ] as const)('is told: %s read as %s, %i lines', async (is, chosen, count) => {
    const ran = await ingest({ 'a.log': shapes[is](count), 'good.log': shapes[chosen](5) }, chosen);
    const { run, state, notes } = ran.json<Report & { notes: readonly string[] }>();
    expect(state).toBe('asking');
    const none = count === 1 ? 'The only record does not have' : `No record of the first ${count} has`;
    expect(notes).toContain(
      `a.log: ${none} the shape of ${chosen}; it looks like ${is}. To load it as such: abort this run, then start it with \`--set format=${is}\`.`,
    );
    expect(notes.join(' ')).not.toContain('good.log: ');
    expect((await client.mendflow('show', run)).out).toContain(`it looks like ${is}.`);
    expect((await client.mendflow('abort', run, '--reason', 'wrong format')).code).toBe(0);
  });
});

describe('the rest of a file that was given up', () => {
  const attemptsOf = async (run: string): Promise<string> => (await client.mendflow('show', run)).out;

  it('is told by a skip as by an accepted loss', async () => {
    const { run } = (await ingest({ 'big.log': bad(250) }, 'apache')).json<Report>();
    const figure = bad(250).length.toLocaleString('en-US');
    const dry = await client.mendflow('skip', '--all', '--pipeline', 'log-ingest', '--dry-run', '--reason', 'x');
    expect(dry.out).toMatch(new RegExp(`BYTES UNREAD\\n(.*\\n)*.*big\\.log.* ${figure}\\n`));
    expect(dry.err).toContain(`skip would give up ${figure} bytes of which nothing is loaded`);
    expect((await client.mendflow('skip', run, '--reason', 'a debug log')).out).toMatch(
      new RegExp(
        `\\n  given up  lost: ${figure} bytes of which nothing is loaded .*\\n  kept      rows that are loaded stay\\n`,
      ),
    );
    await expect.poll(() => attemptsOf(run), { timeout: 20_000 }).toMatch(/ingest\[big\.log\] +skipped +1 /);
  });

  it('is told in bytes, its samples are closed with the reason, and it is no ordinary end', async () => {
    const { run, asks } = (await ingest({ 'big.log': bad(250) }, 'apache')).json<Report>();
    expect(asks).toMatchObject([{ stage: 'ingest[big.log]' }]);
    expect(asks![0]!.text).toMatch(
      /^No record of the first 200 has .*See what is wrong: `mendflow letters list --run \S+`$/,
    );
    const figure = bad(250).length.toLocaleString('en-US');
    expect((await client.mendflow('show', run)).out).toContain(
      `skip as well as accept-loss would give up ${figure} bytes of which nothing is loaded, the good records in them included.`,
    );
    const all = ['accept-loss', '--all', '--pipeline', 'log-ingest', '--dry-run', '--reason', 'x'];
    const dry = await client.mendflow(...all);
    expect(dry.out).toMatch(new RegExp(`BYTES UNREAD\\n(.*\\n)*.*big\\.log.* ${figure}\\n`));
    expect(dry.err).toContain(`accept-loss would give up ${figure} bytes of which nothing is loaded`);
    const taken = await client.mendflow('accept-loss', run, '--reason', 'a debug log');
    expect(taken.out).toContain(
      'ingest[big.log] gives up what it has not read: told in bytes, for nobody knows its records, and skipped only where',
    );
    expect(taken.out).toContain(
      `\n  given up  lost: ${figure} bytes of which nothing is loaded (how many records they hold is unknown)\n`,
    );
    const rows = await engine.rows<{ id: string }>('select workflow_id as id from mendflow.run where key = $1', [run]);
    expect(await engine.result(engine.client.workflow.getHandle(rows[0]!.id))).toMatchObject({
      state: 'degraded',
      lost: { records: 0, bytes: bad(250).length },
      stages: [
        { stage: 'list', state: 'done' },
        { stage: 'ingest[big.log]', state: 'loss-accepted', attempts: 1 },
      ],
    });
    // To give up is no attempt: one figure in all places.
    expect(await attemptsOf(run)).toMatch(/ingest\[big\.log\] +loss-accepted +1 /);
    const letters = (await client.mendflow('letters', 'list', '--run', run, '--json')).json<
      { state: string; reason: string }[]
    >();
    expect(letters).toHaveLength(20);
    for (const letter of letters)
      expect(letter).toMatchObject({
        state: 'discarded',
        reason: expect.stringMatching(/accepted by anna.*a debug log/) as string,
      });
  });

  it('is offered where records move, and not where none do', async () => {
    const ran = await client.mendflow(
      'start',
      'log-ingest',
      '--date',
      '2026-07-01',
      '--set',
      `path=${join(folder, 'nowhere')}`,
      'format=plain',
      '--wait',
      '--json',
    );
    const { asks, run } = ran.json<Report>();
    expect(asks).toMatchObject([{ stage: 'list', code: 'file_missing' }]);
    expect(asks![0]!.commands.join('\n')).not.toContain('accept-loss');
    const refused = await client.mendflow('accept-loss', run, '--reason', 'x');
    expect(refused).toMatchObject({ code: 4 });
    expect(refused.out + refused.err).toContain('moves no records');
  });
});

it('is an ordinary end where a few bad lines are among good ones', async () => {
  const ran = await ingest({ 'a.log': good(60) + bad(3), 'b.log': good(60) }, 'apache');
  expect(ran.code, ran.out).toBe(0);
  expect(ran.json<Report>()).toMatchObject({ state: 'done', quarantined: 3, loaded: 120 });
});

describe('folders in the folder of a run', () => {
  const within = async (names: readonly string[], files: Readonly<Record<string, string>>): Promise<Ran> => {
    const path = join(folder, String(day + 1));
    for (const name of names) {
      mkdirSync(join(path, name), { recursive: true });
      writeFileSync(join(path, name, 'c.log'), good(1));
    }
    return await ingest(files, 'apache');
  };

  it('are not entered, and the run says so', async () => {
    const ran = await within(['sub', 'old'], { 'a.log': good(61).split('\n').slice(1).join('\n') });
    expect(ran.code, ran.out).toBe(0);
    expect(ran.json<Report & { notes: string[] }>()).toMatchObject({
      loaded: 60,
      notes: [expect.stringMatching(/^Not read: 2 folders in the folder \(old and 1 more\), which are not entered/)],
    });
  });

  it('are asked about where there is nothing else', async () => {
    const ran = await within(['sub'], {});
    expect(ran.code, ran.out).toBe(3);
    const { run, asks } = ran.json<Report>();
    expect(asks).toMatchObject([{ stage: 'list', code: 'file_missing' }]);
    expect(asks![0]!.text).toMatch(/ holds no file but 1 folder \(sub\), and folders in a folder are not entered/);
    expect((await client.mendflow('abort', run, '--reason', 'a start for each')).code).toBe(0);
  });
});
