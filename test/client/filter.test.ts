// What is promised here: one decision for all that a filter means: listed first, confirmed by a person, each stage with an answer of its own.
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { throwCode } from '../support/engine.ts';
import { type Client, mendflow, openClient, projectFolder, type Ran } from '../support/client.ts';

let client: Client;
let worker: { stop(): Promise<void> };
const failing = { code: 'http_401' };
beforeAll(async () => {
  client = await openClient();
  client.engine.script('fetch', () => 'fine');
  client.engine.script('load', () => (failing.code === '' ? 'fine' : throwCode(failing.code)));
  worker = await client.engine.startWorker('./test/client/project/pipelines.ts');
});
afterAll(() => client?.close());

let day = 0;
/** Runs that ask for this reason. */
async function asking(n: number, code: string): Promise<string[]> {
  failing.code = code;
  const runs: string[] = [];
  for (let no = 0; no < n; no++) {
    const date = `2026-07-${String(++day).padStart(2, '0')}`;
    const ran = await client.mendflow(
      'start',
      'copy',
      '--date',
      date,
      '--set',
      'path=a',
      '--set',
      'format=plain',
      '--wait',
      '--json',
    );
    expect(ran.code).toBe(3);
    runs.push(ran.json<{ run: string }>().run);
  }
  return runs;
}
const states = async (runs: readonly string[]): Promise<string[]> =>
  (
    await client.engine.rows<{ state: string }>('select state from mendflow.run where key = any($1) order by key', [
      runs,
    ])
  ).map(({ state }) => state);
/** As a person at a terminal who types this. */
const typed = (answer: string, ...argv: string[]): Promise<Ran> => {
  const input = Object.assign(new PassThrough(), { isTTY: true });
  input.end(answer);
  return mendflow(argv, projectFolder, { isTTY: true, input });
};
const taken = (): Promise<{ run_key: string; kind: string }[]> =>
  client.engine.rows('select run_key, kind from mendflow.decision where taken order by id');

let expired: string[];
let schema: string[];

describe('a decision over a filter', () => {
  it('lists what it means and decides nothing in a dry run', async () => {
    expired = await asking(3, 'http_401');
    schema = await asking(2, 'pg_schema');
    const dry = await client.mendflow('retry', '--all', '--code', 'http_401', '--dry-run', '--reason', 'x', '--json');
    expect(dry).toMatchObject({ code: 0 });
    const { matches } = dry.json<{ matches: { run: string; code: string; until: string }[] }>();
    expect(matches.map(({ run }) => run)).toEqual(expired);
    expect(matches.every(({ code, until }) => code === 'http_401' && until === 'decision')).toBe(true);
    const text = await client.mendflow('abort', '--all', '--class', 'permanent', '--dry-run', '--reason', 'x');
    expect(text.out.trim().split('\n')).toHaveLength(6);
    expect(text.err).toMatch(/Dry run: nothing was decided/);
    expect(await taken()).toEqual([]);
  });

  it('sends nothing without a yes', async () => {
    const alone = await client.mendflow('retry', '--all', '--reason', 'x');
    expect(alone.code).toBe(2);
    expect(alone.err).toMatch(/Would retry for these 5\. Nothing was decided: .* Repeat the command with --yes/);
    for (const answer of ['n\n', '\n', '', 'yea\n']) {
      const ran = await typed(answer, 'retry', '--all', '--reason', 'x');
      expect(ran.code, JSON.stringify(answer)).toBe(130);
      expect(ran.err).toMatch(/Retry for these 5\? \[y\/N\]/);
    }
    expect(await taken()).toEqual([]);
  });

  it('refuses what cannot be meant', async () => {
    const wrong: [string[], RegExp][] = [
      [['retry', '--reason', 'x'], /Which run\?/],
      [['retry', 'copy/2026-07-01', '--all', '--reason', 'x'], /not both/],
      [
        ['retry', 'copy/2026-07-01', '--code', 'http_401', '--reason', 'x'],
        /A filter, --dry-run and --yes .* need --all/,
      ],
      [
        ['retry', '--all', '--code', 'http_999', '--reason', 'x'],
        /no code "http_999".*\n.* `mendflow runs --state asking`/,
      ],
      [
        ['retry', '--all', '--class', 'bad', '--reason', 'x'],
        /no class "bad"; there is transient.*\n.* `mendflow runs --state asking`/,
      ],
      [['retry', '--all', '--since', 'tomorrow', '--reason', 'x'], /--since has to be a time that has passed/],
      [['retry', '--all'], /--reason/],
      [['extend-budget', '--all', '--reason', 'x'], /needs something to add.*\n.* `mendflow help extend-budget`/],
    ];
    for (const [argv, says] of wrong) {
      const ran = await client.mendflow(...argv);
      expect(ran.code, argv.join(' ')).toBe(2);
      expect(ran.err).toMatch(says);
    }
    // A word that names nothing is no empty answer; one that names something may be.
    expect(await client.mendflow('retry', '--all', '--pipeline', 'none', '--reason', 'x')).toMatchObject({
      code: 6,
      err: expect.stringMatching(/no pipeline "none"\. It has: copy, loud\. Nothing was changed\./) as string,
    });
    expect(await client.mendflow('retry', '--all', '--upstream', 'none', '--reason', 'x')).toMatchObject({
      code: 6,
      err: expect.stringMatching(/no upstream "none"\. Nothing was changed\. See `mendflow upstreams`/) as string,
    });
    expect(await client.mendflow('retry', '--all', '--pipeline', 'loud', '--reason', 'x')).toMatchObject({
      code: 0,
      err: expect.stringMatching(/^No stage fits that asks/) as string,
    });
    expect(
      (await client.mendflow('retry', '--all', '--since', '2026-01-01', '--dry-run', '--reason', 'x')).out,
    ).toMatch(/copy/);
    expect((await client.mendflow('retry', '--all', '--since', '1 ms', '--dry-run', '--reason', 'x')).out).toBe('');
    expect(await taken()).toEqual([]);
  });

  it('goes to all of it after a yes, to nothing else, and keeps who and why for each', async () => {
    failing.code = '';
    const ran = await typed(
      'y\n',
      'retry',
      '--all',
      '--code',
      'http_401',
      '--pipeline',
      'copy',
      '--reason',
      'token renewed',
    );
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.out).toMatch(/Taken 3, refused 0, not confirmed 0\.\n$/);
    await expect.poll(() => states(expired), { timeout: 20_000 }).toEqual(['done', 'done', 'done']);
    expect(await states(schema)).toEqual(['asking', 'asking']);
    const kept = await client.engine.rows(
      'select run_key, kind, actor, reason from mendflow.decision where taken order by run_key',
    );
    expect(kept).toEqual(
      expired.map((run) => ({ run_key: run, kind: 'retry', actor: 'anna', reason: 'token renewed' })),
    );
  });

  it('tells each refusal with its reason, and ends with its code', async () => {
    failing.code = '';
    // `skip` fits the stage `load`; the stage `fetch` of one more run cannot be skipped.
    client.engine.script('fetch', () => throwCode('http_403'));
    const date = `2026-07-${String(++day).padStart(2, '0')}`;
    await client.mendflow('start', 'copy', '--date', date, '--set', 'path=a', '--set', 'format=plain', '--wait');
    client.engine.script('fetch', () => 'fine');
    const ran = await client.mendflow('skip', '--all', '--reason', 'not needed', '--yes');
    expect(ran.code).toBe(4);
    expect(ran.out).toMatch(new RegExp(`copy/${date}/a +fetch +refused +Stage fetch cannot be skipped`));
    expect(ran.out).toMatch(/Taken 2, refused 1, not confirmed 0\.\n$/);
    await expect.poll(() => states(schema), { timeout: 20_000 }).toEqual(['done', 'done']);
    const gone = await client.mendflow(
      'abort',
      '--all',
      '--code',
      'http_403',
      '--yes',
      '--reason',
      'not wanted',
      '--json',
    );
    expect(gone).toMatchObject({ code: 0 });
    expect(gone.json()).toMatchObject({ kind: 'abort', answers: [{ answer: 'taken' }] });
    await expect.poll(() => states([`copy/${date}/a`]), { timeout: 20_000 }).toEqual(['aborted']);
  });

  it('says what nobody confirmed, and learns it when it is repeated', async () => {
    const runs = await asking(2, 'http_401');
    await worker.stop();
    const late = await client.mendflow('retry', '--all', '--yes', '--reason', 'token renewed', '--json');
    expect(late.code).toBe(5);
    expect(late.json<{ answers: { answer: string }[] }>().answers.map(({ answer }) => answer)).toEqual([
      'not confirmed',
      'not confirmed',
    ]);
    failing.code = '';
    worker = await client.engine.startWorker('./test/client/project/pipelines.ts');
    await expect.poll(() => states(runs), { timeout: 20_000 }).toEqual(['done', 'done']);
  });
});

it('stands in the help of each decision', async () => {
  for (const kind of ['retry', 'skip', 'extend-budget', 'accept-loss', 'abort'])
    expect((await client.mendflow(kind, '--help')).out).toMatch(/--all .*asks first/s);
});

it('is preceded by a list that says of each stage whether it asks, or until when it waits', async () => {
  const [run] = await asking(1, 'http_401');
  await client.engine.rows(
    `insert into mendflow.parked_run (run_key, stage, workflow_id, token, until, code, class, text, attempts, elapsed_ms, since, wake_at)
     select run_key, 'slow', workflow_id, 'slow-1', 'time', 'net_timeout', 'transient', 'late.', 1, 0, since + interval '1 second', '2026-05-03 04:05:06Z'
     from mendflow.parked_run where run_key = $1`,
    [run],
  );
  expect((await client.mendflow('runs', '--state', 'asking')).out).toContain(
    'load asks: http_401, slow waits until 2026-05-03 04:05:06Z: net_timeout\n',
  );
});
