// What is promised here: whoever reads about runs sees the same figures in text and JSON, and no byte of a record obeys a terminal.
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { letterKeyOf } from '../../src/connect.ts';
import { readConfig } from '../../src/config.ts';
import type { LedgerKey } from '../../src/store/ledger.ts';
import { insertLetters } from '../../src/store/letters.ts';
import { createSealer } from '../../src/store/seal.ts';
import { stage } from '../../src/engine/worker.ts';
import { writeStack } from '../../src/stack/state.ts';
import { outcomes, throwCode } from '../support/engine.ts';
import { type Client, openClient } from '../support/client.ts';

let client: Client;
beforeAll(async () => {
  client = await openClient();
  await client.engine.startWorker('./test/client/project/pipelines.ts');
  client.engine.script('fetch', outcomes('http_503', 'fine'));
  client.engine.script('load', () => {
    // As every stage that moves records does: only then a loss can be accepted.
    void stage().acceptLoss;
    return throwCode('http_401');
  });
  expect((await start('2026-05-01')).code).toBe(3);
  client.engine.script('load', outcomes('fine'));
  expect((await start('2026-05-02')).code).toBe(0);
});
afterAll(() => client?.close());

const start = (date: string) =>
  client.mendflow(
    'start',
    'copy',
    '--date',
    date,
    '--set',
    'path=a\u001b[2Jb',
    '--set',
    'format=plain',
    '--wait',
    '--json',
  );

describe('runs', () => {
  it('lists the newest first, and only what was asked for', async () => {
    const all = await client.mendflow('runs', '--json');
    expect(all.code).toBe(0);
    expect(
      all.json<{ dataDate: string; state: string }[]>().map(({ dataDate, state }) => `${dataDate} ${state}`),
    ).toEqual(['2026-05-02 done', '2026-05-01 asking']);
    expect(Object.keys(all.json<object[]>()[0]!)).toEqual(
      'run pipeline dataDate generation state health owner read loaded duplicate quarantined skipped waiting stalled note openedAt closedAt'.split(
        ' ',
      ),
    );
    const asking = await client.mendflow(
      'runs',
      '--state',
      'asking',
      '--pipeline',
      'copy',
      '--date',
      '2026-05-01',
      '--json',
    );
    expect(asking.json<object[]>()).toMatchObject([{ waiting: 'load asks: http_401' }]);
    const text = await client.mendflow('runs', '--limit', '1');
    expect(text.out).toMatch(
      /^RUN\s+STATE\s+READ\s+LOADED\s+DUPLICATE\s+QUARANTINED\s+SKIPPED\s+OPENED\s+WAITS OR NOTES\ncopy\/2026-05-02\/\S+\s+done(\s+0){5}\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ\n$/,
    );
    expect(text.err).toMatch(/--limit shows more/);
  });

  it('says of a run that read nothing why', async () => {
    const [row] = (await client.mendflow('runs', '--limit', '1', '--json')).json<{ run: string; note: null }[]>();
    expect(row!.note).toBeNull();
    const say = (text: string): Promise<object[]> =>
      client.engine.rows(
        "insert into mendflow.run_note (run_key, generation, stage, text) values ($1, 1, 'load', $2)",
        [row!.run, text],
      );
    await say(
      'a.1.log was loaded before by run copy/2026-05-01/a.log, and nothing in it is new: nothing was read. More.',
    );
    const out = async (): Promise<string> => (await client.mendflow('runs', '--limit', '1')).out;
    expect(await out()).toMatch(
      /Z {2}a\.1\.log was loaded before by run copy\/2026-05-01\/a\.log, and nothing in it is new\n$/,
    );
    await say('Another sentence.');
    expect(await out()).toMatch(/nothing in it is new \(and 1 more in `show`\)\n$/);
    await client.engine.rows('delete from mendflow.run_note where run_key = $1', [row!.run]);
  });

  it('names the states there are, and a limit that is none', async () => {
    expect(await client.mendflow('runs', '--state', 'fine')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/no state "fine"; there is running, parked, asking/) as string,
    });
    expect((await client.mendflow('runs', '--limit', 'all')).code).toBe(2);
    expect((await client.mendflow('runs', '--pipeline', 'loud')).err).toMatch(/^No run fits/);
  });
});

describe('show', () => {
  it('has all an operator needs: stages, the question with its token and commands, decisions, balance', async () => {
    await client.mendflow('skip', 'copy/2026-05-01', 'fetch', '--reason', 'by mistake');
    const ran = await client.mendflow('show', 'copy/2026-05-01', '--json');
    const page = ran.json<{ waits: { token: string; commands: string[] }[] }>();
    expect(page).toMatchObject({
      state: 'asking',
      generation: 1,
      owner: 'tests',
      input: { path: 'a\u001b[2Jb', format: 'plain', limit: 10 },
      read: 0,
      balanced: null,
      faults: [],
      letters: {},
      stages: [
        { stage: 'fetch', state: 'done', attempts: 2, code: 'http_503', class: 'transient' },
        { stage: 'load', state: 'asking', attempts: 1, code: 'http_401' },
      ],
      waits: [{ stage: 'load', until: 'decision', code: 'http_401', wakeAt: null }],
      decisions: [{ kind: 'skip', actor: 'anna', reason: 'by mistake', taken: false }],
    });
    // A credential is put where it belongs; more tries and a loss would be no answer.
    expect(page.waits[0]!.commands.map((line) => line.split(' ')[1])).toEqual(['retry', 'skip', 'abort']);
    expect(page.waits[0]!.commands[0]).toContain(`--token ${page.waits[0]!.token} `);
    const { out } = await client.mendflow('show', 'copy/2026-05-01');
    expect(out).toMatch(/is asking, generation 1/);
    expect(out).toMatch(/load\s+asking\s+1\s+.*http_401: http_401 from the script/);
    expect(out).toMatch(/It goes on only after one of:\n {4}mendflow retry copy/);
    expect(out).toMatch(
      /\nretry tries the stage again now, .*; skip .*; abort ends the run, and what is loaded stays\.\n/,
    );
    expect(out).toMatch(/skip of fetch by anna, because "by mistake": refused\./);
    expect(out).toContain('path=a\\x1b[2Jb');
    expect(out).not.toContain('\u001b');
  });

  it('says that a run is not there, and what to do', async () => {
    expect(await client.mendflow('show', 'nothing')).toMatchObject({
      code: 6,
      err: expect.stringMatching(/no run "nothing".*See `mendflow runs`/) as string,
    });
  });

  it('says of a finished run that it adds up', async () => {
    expect((await client.mendflow('show', '2026-05-02')).out).toMatch(
      /read 0 = loaded 0 \+ duplicate 0 \+ quarantined 0 \+ skipped 0 \(it adds up\)/,
    );
  });
});

describe('logs', () => {
  it('tells attempts, parks and decisions in order', async () => {
    const { out } = await client.mendflow('logs', 'copy/2026-05-01');
    expect(
      out
        .split('\n')
        .map((line) => line.slice(22, 32).trim())
        .filter(Boolean),
    ).toEqual(['opened', 'attempt', 'attempt', 'park', 'decision']);
    expect(out).toMatch(
      /fetch {2}1 of 3 failed with http_503 \(transient\): http_503 from the script\. Next try at \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ, \d+ ms later; worker \S+:\d+\n/,
    );
    expect((await client.mendflow('logs', 'copy/2026-05-01', '--json')).json()).toMatchObject({
      entries: [
        { what: 'opened' },
        { what: 'attempt', stage: 'fetch' },
        { what: 'attempt', stage: 'load' },
        { what: 'park', endedAt: null },
        { what: 'decision' },
      ],
    });
    expect((await client.mendflow('logs', 'copy/2026-05-01', '--worker')).err).toMatch(/has no workers/);
    const worker = { name: 'worker-1', process: { pid: 2 ** 30, startedAt: 'before' }, logFile: '', fingerprint: '' };
    writeStack(client.dir, { postgres: 'given', temporal: 'given', workersWanted: 1, workers: [worker] });
    expect((await client.mendflow('logs', 'copy/2026-05-01', '--worker')).err).toMatch(
      /^No worker's log has anything about this run: a worker was killed or froze; see mendflow stack status\.\n$/,
    );
    rmSync(join(client.dir, 'stack.json'));
  });

  it('tells attempts of which no row says how they ended', async () => {
    const { run } = (await client.mendflow('runs', '--date', '2026-05-02', '--json')).json<{ run: string }[]>()[0]!;
    const told = async (): Promise<string> => (await client.mendflow('logs', run)).out;
    expect(await told()).not.toContain('worker_lost');
    // As killed workers leave it: the ninth attempt ended well, the fifth failed, and of the others nobody has heard.
    await client.engine.rows(
      `with s as (insert into mendflow.stage_run (run_key, generation, stage, state, attempts, ended_at) values ($1, 1, 'killed', 'done', 9, clock_timestamp()))
       insert into mendflow.attempt (run_key, generation, stage, attempt, attempts_max, code, class, text, worker, at)
         values ($1, 1, 'killed', 5, 9, 'http_503', 'transient', 'away.', 'here:1', clock_timestamp() - interval '1 second')`,
      [run],
    );
    // In order: those before the one that was seen to fail stand before it.
    const said =
      'left no report \\(worker_lost\\): their worker ended, froze, or could not reach the control store; see \\S.*';
    expect(await told()).toMatch(
      RegExp(
        `killed  attempts 1 to 4 ${said}\\n(?:.*\\n)*.*killed  5 of 9 failed (?:.*\\n)+.*killed  attempts 6 to 8 ${said}\\n`,
      ),
    );
    await client.engine.rows("update mendflow.stage_run set attempts = 2 where stage = 'killed'");
    expect(await told()).toContain(
      'killed  attempt 1 left no report (worker_lost): its worker ended, froze, or could not reach the control store; see ',
    );
    expect((await client.mendflow('show', run)).out).toMatch(
      /killed +done +2 .* worker_lost: attempt 1 left no report: its worker ended, froze, or could not reach the control store; see mendflow logs \S+ --worker\n/,
    );
    // The attempt that an abort stopped is none of them.
    await client.engine.rows("update mendflow.stage_run set state = 'aborted', attempts = 1 where stage = 'killed'");
    expect(await told()).not.toContain('left no report');
    expect((await client.mendflow('show', run)).out).toMatch(/killed +aborted +1 .* stopped by the abort\n/);
    await client.engine.rows("delete from mendflow.stage_run where stage = 'killed'");
    await client.engine.rows("delete from mendflow.attempt where stage = 'killed'");
  });
});

describe('letters', () => {
  const raw = Buffer.from([0x1b, 0x5d, 0x30, 0x3b, 0x78, 0x07, 0xff, 0x00, 0x41, 0xc2, 0x9b]);
  let run: string;
  beforeAll(async () => {
    run = (await client.mendflow('runs', '--date', '2026-05-02', '--json')).json<{ run: string }[]>()[0]!.run;
    const [source] = await client.engine.rows<{ id: string }>(
      `insert into mendflow.source (pipeline, name) values ('copy', 'dir/b\\011.log') returning id`,
    );
    key = { runKey: run, generation: 1, stage: 'load', sourceId: source!.id };
    await found('utf8_invalid', false);
  });
  let key: LedgerKey;
  const found = async (code: string, sample: boolean): Promise<void> => {
    const rawSha256 = createHash('sha256').update(raw).digest();
    const violations = [{ field: 'line', code, message: 'Not \u001b[31mUTF-8.' }];
    const reject = { offset: 17, length: 11, line: 3, raw, rawWhole: true, rawSha256, code, violations };
    const pg = await client.engine.pool.connect();
    await insertLetters(pg, key, [reject], { seal: createSealer([letterKeyOf(readConfig())]), sample });
    pg.release();
  };

  it('are listed without anything that came from the record', async () => {
    const list = await client.mendflow('letters', 'list', '--run', run, '--pipeline', 'copy', '--json');
    expect(list.json<object[]>()).toMatchObject([
      { runKey: run, stage: 'load', source: 'dir/b\t.log', offset: 17, line: 3, code: 'utf8_invalid', state: 'open' },
    ]);
    const { out, err } = await client.mendflow('letters', 'list');
    // A list says what, and where it is told why.
    expect(err).toMatch(/What is wrong with one, and its bytes: (npx )?mendflow letters show [-\da-f]{13}\n/);
    expect(out).toMatch(/dir\/b\\t\.log\s+3\s+17\s+11/);
    expect((await client.mendflow('letters', 'list', '--pipeline', 'loud')).err).toMatch(/No letters fit/);
  });

  it('are opened by their ID or its beginning, every byte shown and none sent to the terminal as it is', async () => {
    const [letter] = (await client.mendflow('letters', 'list', '--json')).json<{ id: string }[]>();
    const shown = await client.mendflow('letters', 'show', letter!.id.slice(0, 13));
    expect(shown.code).toBe(0);
    expect(shown.err).toMatch(/values of a record/);
    expect(shown.out).toContain('\\x1b]0;x\\x07\\xff\\x00A\\xc2\\x9b');
    expect(shown.out).toContain('Not \\x1b[31mUTF-8.');
    // oxlint-disable-next-line no-control-regex -- control characters are what this is about
    expect(shown.out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    const json = (await client.mendflow('letters', 'show', letter!.id, '--json')).json();
    expect(Buffer.from(String(json['rawBase64']), 'base64')).toEqual(raw);
    expect(json).toMatchObject({ raw: null, violations: [{ field: 'line', code: 'utf8_invalid' }] });
  });

  it('say when the record was found bad first and last, and of a sample that a stop kept it, whichever it was', async () => {
    const [letter] = (await client.mendflow('letters', 'list', '--json')).json<{ id: string }[]>();
    const shown = async (): Promise<string> => (await client.mendflow('letters', 'show', letter!.id)).out;
    expect(await shown()).toMatch(/, stage load, found \S+ \S+Z\n/);
    await client.engine.rows("update mendflow.dead_letter set at = '2026-05-02 03:04:05Z', sample = true");
    await found('other', true);
    const out = await shown();
    expect(out).toMatch(/, stage load, found 2026-05-02 03:04:05Z first, \d{4}-\d\d-\d\d \S+Z last\n/);
    expect(out).toMatch(/ other, open \(sample: kept when its stage stopped; no figure of records counts it\)\n/);
  });

  it('are not there, or the ID is too short', async () => {
    expect((await client.mendflow('letters', 'show', 'ffffffff')).code).toBe(6);
    expect((await client.mendflow('letters', 'show', 'ff')).code).toBe(2);
  });
});

describe('pipelines and explain', () => {
  it('show what is declared', async () => {
    expect((await client.mendflow('pipelines', '--json')).json<object[]>()).toMatchObject([
      { name: 'copy', scope: ['path'], heal: 'on' },
      { name: 'loud', heal: 'off' },
    ]);
    const { out } = await client.mendflow('pipelines', 'show', 'copy');
    expect(out).toMatch(/format\s+line format: plain or apache\s+required/);
    expect(out).toMatch(/limit\s+lines at most \(a number\)\s+10/);
    expect(out).toMatch(
      /load\s+3 attempts in 20 seconds.*asks above 50 % bad records\s+skipped, continued with accepted loss/,
    );
    expect(out).toContain('mendflow start copy --set path=… --set format=… --wait');
    expect((await client.mendflow('pipelines', 'show', 'copy', '--json')).json()).toMatchObject({
      name: 'copy',
      stages: { fetch: { slow: '300 milliseconds' } },
    });
  });

  it('explain a stage, or say which word is no outcome', async () => {
    const told = await client.mendflow('explain', 'copy', 'load', '--when', 'http_503,http_503,ok', '--json');
    expect(told.json()).toMatchObject({
      pipeline: 'copy',
      stage: 'load',
      end: 'done',
      steps: [
        { attempt: 1, waitMs: { typical: 0 } },
        { attempt: 2, waitMs: { min: 10, typical: 20, max: 30 } },
        { attempt: 3, outcome: 'ok' },
      ],
    });
    const { out } = await client.mendflow('explain', 'copy', 'load', '--when', 'ok');
    expect(out).toContain(
      'Bad records become letters. More than 50 % of them bad, and it asks; up to ten never make it ask, unless they are more than half, or all that a source has.\n',
    );
    expect((await client.mendflow('explain', 'copy', 'fetch', '--when', 'ok')).out).not.toContain('letters');
    for (const [argv, says] of [
      [['--when', 'http_429@30s@40s,ok'], /^"http_429@30s@40s" names several times/],
      [['--when', 'ok@30s'], /^"ok@30s": what ends well asks for no time/],
      [['--when', 'http_429@99999999999999999999d'], /^"9+d" after @ has to be a duration .* of a year at most/],
      [['--when', 'ok', '--took', 'nonsense'], /^--took has to be a duration .* is "nonsense"/],
      [['--when', 'ok', '--took', '9999999d'], /^--took has to be a duration .* of a year at most/],
    ] as const) {
      const ran = await client.mendflow('explain', 'copy', 'load', ...argv);
      expect(ran.code, argv.join(' ')).toBe(2);
      expect(ran.err).toMatch(says);
      expect(ran.err).toMatch(/Nothing was changed\. See `mendflow help explain`\.\n$/);
    }
    const wrong = await client.mendflow('explain', 'copy', 'load', '--when', 'http_50x');
    expect(wrong).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^"http_50x" is no outcome; there is http_500, http_501/) as string,
    });
    expect((await client.mendflow('explain', 'copy', 'lod', '--when', 'ok')).err).toMatch(
      /has no stage "lod"\. It has: fetch, load/,
    );
  });
});

describe('doctor', () => {
  it('finds all well, and names a queue that nobody polls with the command that starts workers', async () => {
    const well = await client.mendflow('doctor', '--json');
    const { checks, healthy } = well.json<{
      healthy: boolean;
      checks: { name: string; state: string; mend?: string }[];
    }>();
    expect(checks.filter(({ state }) => state === 'wrong')).toEqual([]);
    expect(well.code).toBe(0);
    expect(healthy).toBe(true);
    expect(checks.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'Node',
        'Stack folder',
        'Project',
        'Temporal',
        'Namespace',
        'Search attributes',
        'Postgres',
        'Schema',
        'Runs',
      ]),
    );
    process.env['MENDFLOW_PREFIX'] = 'nobody';
    const ill = await client.mendflow('doctor');
    process.env['MENDFLOW_PREFIX'] = client.engine.prefix;
    expect(ill.code).toBe(1);
    expect(ill.out).toMatch(
      /✖ Queue nobody-mendflow\s+no worker polls it for workflows; runs wait\n.*→ mendflow stack up/,
    );
  });

  it('says what does not answer and goes on looking', async () => {
    process.env['DATABASE_URL'] = 'postgres://mendflow@127.0.0.1:1/none';
    const ill = await client.mendflow('doctor', '--json');
    const runs = await client.mendflow('runs');
    process.env['DATABASE_URL'] = client.env['DATABASE_URL'];
    expect(ill.code).toBe(1);
    expect(ill.json<{ checks: object[] }>().checks).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'Temporal', state: 'ok' }),
        expect.objectContaining({
          name: 'Postgres',
          state: 'wrong',
          mend: 'Start the server, or correct DATABASE_URL.',
        }),
      ]),
    );
    expect(runs).toMatchObject({
      code: 8,
      err: expect.stringMatching(/^The database does not answer: .*refused.* Nothing was changed\./) as string,
    });
  });
});
